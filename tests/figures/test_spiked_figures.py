"""Figures of the spiked matrix-tensor model, from a short run and from none."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from spectrain.figures.catalogue import drawings_of_run, report_texts
from spectrain.figures.spiked import Scale, figures_at
from spectrain.probes.records.record_file import Run
from spectrain.training.run import run
from spectrain.training.systems.spiked_matrix_tensor import SpikedMatrixTensorConfig
from spectrain.views.figures.lowest_outlier import lowest_outlier

SCALE = Scale((10, 12), 2, 2, 3, 2.0, 4, 6)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    config = SpikedMatrixTensorConfig(dimension=30, epochs=2)
    return run(config, tmp_path_factory.mktemp("spiked") / "run")


@pytest.fixture(scope="module")
def drawn():
    return {figure.name: figure.draw(2) for figure in figures_at(SCALE)}


def line(figure, label):
    """Heights of the curves of that label, one row a panel."""
    found = [each for axes in figure.axes for each in axes.lines if each.get_label() == label]
    return np.array([each.get_ydata() for each in found], dtype=float)


@pytest.mark.parametrize("columns", [1, 2])
def test_the_lowest_eigenvalue_is_drawn_in_three_ways(short, columns):
    figure = lowest_outlier(short.records, columns)
    values, overlaps = line(figure, "measured")
    for place, record in enumerate(short.records):
        pair = record.measured.spectra[0].bottom[0]
        mu = float(record.measured.quantity("multiplier").values)
        assert values[place] == pytest.approx(pair.value - mu)
        assert overlaps[place] == pytest.approx(pair.overlap)
    naive, dynamic = line(figure, "x independent of the noise"), line(figure, "along the descent")
    assert naive[1, 0] == pytest.approx(dynamic[1, 0], rel=1e-5)
    assert (naive[:, 1:] != dynamic[:, 1:]).all()
    (edge,) = line(figure, "edge of the bulk")
    assert edge == pytest.approx(np.full(3, edge[0]), rel=1e-6)


def test_a_run_has_this_figure_and_a_text(short):
    assert {"lowest-outlier", "quantities", "dynamic-transitions"} <= set(drawings_of_run(short))
    assert "sphere" in report_texts(short)[0]
    other = Run({"system": "softmax-mixture"}, short.records)
    assert "lowest-outlier" not in drawings_of_run(other)


def test_without_a_sphere_it_says_so():
    assert isinstance(lowest_outlier([]), Figure)
    assert "No spectrum" in lowest_outlier([]).texts[0].get_text()


def test_lines_over_the_noise(drawn):
    figure = drawn["spiked-lines"]
    rows = [line(figure, name)[0] for name in ("trivialisation", "gradient flow", "Bayes AMP")]
    assert (rows[0] <= rows[1]).all()
    assert (rows[1] < rows[2]).all()
    assert (rows[2] == 1).all()


def test_overlaps_of_descents_stand_between_0_and_1(drawn):
    (axes,) = drawn["spiked-overlaps"].axes
    assert len(axes.containers) == len(SCALE.sizes)
    heights = np.concatenate([bar.lines[0].get_ydata() for bar in axes.containers])
    assert ((heights >= 0) & (heights <= 1)).all()


def test_ageing_flows_and_complexity(drawn):
    gap = line(drawn["spiked-ageing"], "tensor alone, Δ₃ = 2/3")[0]
    assert (np.diff(gap) < 0).all()
    assert (gap > 0).all()
    mesh = drawn["spiked-complexity"].axes[0].collections[0].get_array()
    assert 0 <= float(np.ma.min(mesh)) <= float(np.ma.max(mesh)) < 0.1
