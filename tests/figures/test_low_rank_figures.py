"""Figures of low-rank reconstruction, from a short run and from none."""

import numpy as np
import pytest

from spectrain.figures.catalogue import drawings_of_run, report_texts
from spectrain.figures.low_rank import Scale, figures_at
from spectrain.probes.records.record_file import Run
from spectrain.training.run import run
from spectrain.training.systems.low_rank import LowRankConfig
from spectrain.views.figures.low_rank import reconstruction

SCALE = Scale(10, (1e-1, 1e-2), 2, 8, (2, 3), 1, 60)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    config = LowRankConfig(
        size=12, eigenvalues=(1.0, 0.5), factors=3, measurements=120, epochs=10, steps=26
    )
    return run(config, tmp_path_factory.mktemp("low-rank") / "run")


@pytest.fixture(scope="module")
def drawn():
    return {figure.name: figure.draw(2) for figure in figures_at(SCALE)}


def line(axes, label):
    return [np.asarray(each.get_ydata()) for each in axes.lines if each.get_label() == label]


@pytest.mark.parametrize("columns", [1, 2])
def test_the_path_is_drawn_in_four_panels(short, columns):
    figure = reconstruction(short.records, columns)
    stairs, strengths, angle, negative = figure.axes
    expected = [float(record.measured.quantity("rho").values) for record in short.records]
    assert line(stairs, "measured")[0] == pytest.approx(expected)
    assert len(line(strengths, "measured")) == 2
    assert len(line(strengths, "forecast of learning")) == 2
    assert ((line(angle, "measured")[0] >= 0) & (line(angle, "measured")[0] <= np.pi / 2)).all()
    (shaded,) = angle.patches
    assert shaded.get_label() == "outside the theory"
    last = [each for each in strengths.lines if each.get_label() == "forecast of learning"][-1]
    assert shaded.get_x() == last.get_xdata()[0]
    lowest = line(negative, "measured")[0]
    assert lowest == pytest.approx(
        [record.measured.spectra[0].bottom[0].value for record in short.records]
    )
    assert len(line(stairs, "most stationary: saddles")[0]) >= 1


def test_a_run_has_this_figure_and_a_text(short):
    assert "reconstruction" in drawings_of_run(short)
    assert "phase I" in report_texts(short)[0]
    other = Run({"system": "low-rank"}, ())
    assert "reconstruction" not in drawings_of_run(other)
    assert "No reconstruction" in reconstruction([]).texts[0].get_text()


def test_errors_over_the_scale(drawn):
    (axes,) = drawn["low-rank-error"].axes
    assert len(axes.containers) == 3
    told = line(axes, "predicted, m = 10 nr, q = n")[0]
    assert (np.diff(told) > 0).all()
    assert any("outside" in str(patch.get_label()) for patch in axes.patches)


def test_successes_over_the_grid(drawn):
    axes = drawn["low-rank-success"].axes[0]
    shares = np.asarray(axes.collections[0].get_array())
    assert shares.size == 6
    assert ((shares >= 0) & (shares <= 1)).all()
    names = {each.get_label() for each in axes.lines}
    assert {"predicted threshold", "degrees of freedom", "trace minimisation"} <= names
