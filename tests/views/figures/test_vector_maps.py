"""Heat maps of vectors along training."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm

from spectrain.probes.records.record import Geometry, Record
from spectrain.theory.quantity import Quantity
from spectrain.views.figures import quantities, style
from spectrain.views.figures.vector_maps import vector_maps, vector_quantities

LAYERS = tuple(f"blocks.{i}" for i in range(5))


def records(count=6, layers=LAYERS):
    return [
        Record(
            10 * step,
            measured=Geometry(
                (
                    Quantity("trace", np.arange(len(layers)) - step, "loss", (layers,)),
                    Quantity("largest", 10.0 ** np.arange(len(layers)), "loss", (layers,)),
                    Quantity("share", np.full(len(layers), np.nan), "share", (layers,))
                    if step == 2
                    else Quantity("share", np.linspace(0, 1, len(layers)), "share", (layers,)),
                )
            ),
        )
        for step in range(count)
    ]


@pytest.mark.parametrize("columns", style.WIDTHS)
def test_each_vector_is_a_map_of_its_values_over_time(columns):
    run = records()
    figure = vector_maps(run, columns)
    FigureCanvasAgg(figure).draw()
    assert figure.get_figwidth() <= style.WIDTHS[columns]
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["Trace", "Largest", "Share"]
    for axes, name in zip(panels, ("trace", "largest", "share"), strict=True):
        drawn = axes.collections[0].get_array()
        expected = np.array([record.measured.quantity(name).values for record in run]).T
        np.testing.assert_array_equal(np.ma.filled(drawn, np.nan), expected)
        assert [text.get_text() for text in axes.get_yticklabels()] == list(LAYERS)
        assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first layer on top
    assert panels[0].collections[0].norm.vmin == -panels[0].collections[0].norm.vmax
    assert isinstance(panels[1].collections[0].norm, LogNorm)


def test_fewer_records_or_other_entries_are_not_drawn():
    assert not vector_quantities(records(2))
    assert not vector_quantities(records(6, LAYERS[:2]))
    assert not vector_quantities([*records(2), *records(2, LAYERS[:4])])


def test_a_threshold_is_a_line_in_the_panel_of_its_quantity():
    run = [
        Record(
            step, measured=Geometry((Quantity.number("sharpness", step, "loss", threshold=3.0),))
        )
        for step in range(4)
    ]
    (axes,) = quantities(run).axes
    lines = [line.get_ydata() for line in axes.get_lines() if len(line.get_xdata()) == 4]
    assert any(np.array_equal(line, [3.0] * 4) for line in lines)


@pytest.mark.parametrize(("threshold", "scale"), [(1.0, "linear"), (4000.0, "log")])
def test_a_threshold_far_off_leaves_what_is_measured_readable(threshold, scale):
    def sharpness(step):
        value = 0.1 + 0.01 * step
        return Quantity.number("sharpness", value, "loss", threshold=threshold)

    run = [Record(step, measured=Geometry((sharpness(step),))) for step in range(3)]
    (panel,) = quantities(run).axes
    assert panel.get_yscale() == scale
