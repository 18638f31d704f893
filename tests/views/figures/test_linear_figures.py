"""Figures of linear models: what is on the axes is what was given."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from spectrain.figures.linear import RUN_FIGURES, system_figures
from spectrain.training.run import run
from spectrain.training.systems.linear import CovarianceConfig, LinearConfig
from spectrain.views.figures.curve_panels import Curve, Panel, Plane, curve_panels, plane
from spectrain.views.figures.split_losses import split_losses


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    config = LinearConfig(
        covariance=CovarianceConfig(dimension=30), samples=40, features=20, epochs=2, steps=10
    )
    return run(config, tmp_path_factory.mktemp("linear") / "run").records


@pytest.mark.parametrize("columns", [1, 2])
def test_losses_are_stacked_from_their_parts(records, columns):
    test, train = split_losses(records, columns).axes
    stacks = [each for each in test.collections if isinstance(each, PolyCollection)]
    assert len(stacks) == 6  # five parts, and the band round their sum
    expected = float(records[0].forecast.quantity("test_loss").values)
    size = float(records[0].forecast.quantity("finite_size_correction").values)
    tops = [max(path.vertices[:, 1].max() for path in each.get_paths()) for each in stacks]
    assert max(tops[:5]) == pytest.approx(expected, rel=1e-6)
    assert tops[5] == pytest.approx(expected * (1 + size), rel=1e-6)
    forecast, measured = train.lines[:2]
    expected = [float(r.forecast.quantity("train_loss").values) for r in records]
    np.testing.assert_allclose(forecast.get_ydata(), expected)
    np.testing.assert_allclose(measured.get_ydata(), [r.measured.loss for r in records])


def test_a_run_without_a_split_says_so():
    assert split_losses([], 2).texts[0].get_text() == "No split of the loss to show."
    assert RUN_FIGURES[0].name == "split-losses"


def test_panels_hold_lines_and_points():
    x = np.geomspace(1, 100, 5)
    curve = Curve("one", x, x**-2, x[:2], x[:2] ** -2 * 1.1, np.array([0.1, 0.2]))
    panels = [
        Panel("left", "a", "b", (curve,), (("here", 3.0),)),
        Panel("right", "a", "b", (curve,)),
    ]
    figure = curve_panels([*panels, panels[1]])
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), curve.y)
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.containers[0].lines[0].get_xdata().tolist() == x[:2].tolist()
    assert [each.get_title() for each in figure.axes[:3]] == ["left", "right", "right"]
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["measured, mean ± s.e. over runs", "predicted"]


def test_numerical_errors_are_a_band_and_no_measurement():
    x = np.array([1.0, 2.0, 3.0])
    panel = Panel("p", "a", "b", (Curve("one", x, x, doubts=x / 10),))
    figure = curve_panels([panel])
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == pytest.approx((0.9, 3.3))
    assert not figure.legends


@pytest.mark.parametrize(("asked", "scale"), [(None, "linear"), (True, "log"), (False, "linear")])
def test_axes_are_logarithmic_where_that_is_asked_for(asked, scale):
    x = np.array([1.0, 2.0, 3.0])
    axes = curve_panels([Panel("p", "a", "b", (Curve("one", x, x),), logarithmic=asked)]).axes[0]
    assert axes.get_xscale() == axes.get_yscale() == scale


def test_a_plane_holds_numbers_lines_and_points():
    x, y = np.array([1.0, 2.0, 4.0]), np.array([1.0, 10.0])
    values = np.array([[1.0, 2.0, np.nan], [3.0, 4.0, 5.0]])
    shown = Plane(
        "title", "a", "b", "c", x, y, values,
        lines=(("line", x, np.full(3, 2.0)),), points=(("run", x[:1], y[:1]),),
        logarithmic=True, texts=((2.0, 3.0, "II"),),
        measured=("trained", x[1:2], y[1:2], np.array([3.0])),
    )  # fmt: skip
    axes = plane(shown).axes[0]
    mesh = axes.collections[0].get_array()
    assert mesh.mask.sum() == 1
    assert mesh.compressed().tolist() == [1, 2, 3, 4, 5]
    assert [line.get_label() for line in axes.lines] == ["line", "run"]
    points = axes.collections[1]
    assert points.get_array().tolist() == [3.0]
    assert points.get_clim() == axes.collections[0].get_clim()
    assert axes.texts[0].get_text() == "II"


@pytest.mark.slow
def test_figures_without_a_run_are_drawn():
    for figure in system_figures(quick=True):
        for columns in (1, 2):
            assert figure.draw(columns).axes
