import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from spectrain.probes.records.record import Failure, Geometry, Record, Transition
from spectrain.probes.records.sweep import CountMap, Sweep
from spectrain.probes.records.version1 import quantities as quantities_of
from spectrain.theory.quantity import Quantity
from spectrain.theory.spectrum import Eigenpair
from spectrain.views.figures import (
    dynamic_transitions,
    gram_entries,
    matrix_maps,
    overlaps,
    phase_diagram,
    quantities,
    spectra,
    static_transition,
    style,
)

CURVATURE = "loss per squared parameter"


def words(figure):
    """All text of a figure, the lines of each label in one."""
    return "\n".join(text.get_text().replace("\n", " ") for text in figure.findobj(Text))


def legend_labels(figure):
    return {text.get_text() for legend in figure.legends for text in legend.get_texts()}


FIGURES = {
    "dynamic": lambda records: dynamic_transitions(records, ("class 0",) if records else ()),
    "spectra": spectra,
    "gram": lambda records: gram_entries(records, 80),
    "quantities": quantities,
    "maps": matrix_maps,
    "overlaps": overlaps,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_figures_take_any_records(name, any_records):
    figure = FIGURES[name](any_records)
    figure.draw_without_rendering()
    assert words(figure).strip()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_without_data_says_so(name):
    assert words(FIGURES[name](())).startswith("No ")


@pytest.mark.slow
@pytest.mark.parametrize("columns", style.WIDTHS)
@pytest.mark.parametrize("name", [*FIGURES, "static", "phase"])
def test_figures_fit_into_their_columns(name, columns, records, sweep, maps):
    figure = {
        "dynamic": lambda: dynamic_transitions(records, columns=columns),
        "spectra": lambda: spectra(records, columns=columns),
        "gram": lambda: gram_entries(records, 80, columns),
        "overlaps": lambda: overlaps(records, columns=columns),
        "maps": lambda: matrix_maps(records, columns=columns),
        "quantities": lambda: quantities(records, columns),
        "static": lambda: static_transition(sweep, columns),
        "phase": lambda: phase_diagram(*maps, columns),
    }[name]()
    assert figure.get_figwidth() <= style.WIDTHS[columns]
    assert figure.get_figheight() < 9.5  # of a page
    FigureCanvasAgg(figure).draw()
    drawn = figure.get_tightbbox()
    assert drawn.x0 > -0.01
    assert drawn.x1 < figure.get_figwidth() + 0.01
    assert drawn.y0 > -0.01
    assert drawn.y1 < figure.get_figheight() + 0.01
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 5


def test_a_density_is_drawn_where_the_detection_edges_are_not_known(records):
    """A theory that knows the limiting edges alone bounds no density."""

    def unknown(spectrum):
        bulk = spectrum.bulk
        ends = {end: replace(getattr(bulk, end), detection=math.nan) for end in ("lower", "upper")}
        return replace(spectrum, bulk=replace(bulk, **ends))

    bare = [
        replace(
            record,
            predicted=record.predicted
            and replace(record.predicted, spectra=tuple(map(unknown, record.predicted.spectra))),
        )
        for record in records
    ]
    for axes in spectra(bare, "class 0").axes:
        points = [container for container in axes.containers if container.lines[0] is not None]
        assert all(len(container.lines[0].get_xdata()) > 10 for container in points)
        assert points


def test_a_predicted_density_ends_where_its_error_passes_half_of_it(records):
    def doubtful(spectrum):
        density = spectrum.density
        unknown = density.points > np.median(density.points)
        errors = np.where(unknown & (density.values > 0), 0.51 * density.values, 0.0)
        return replace(spectrum, density=replace(density, errors=errors))

    changed = [
        replace(
            record,
            predicted=record.predicted
            and replace(record.predicted, spectra=tuple(map(doubtful, record.predicted.spectra))),
        )
        for record in records
    ]
    for axes, whole in zip(
        spectra(changed, "class 0").axes, spectra(records, "class 0").axes, strict=True
    ):
        (curve,), (known,) = (
            [line for line in each.lines if line.get_label() == "predicted density"]
            for each in (axes, whole)
        )
        drawn, there = np.isfinite(curve.get_ydata()), known.get_ydata() > 1e-20
        middle = np.median(curve.get_xdata())
        assert drawn[curve.get_xdata() <= middle].all()
        assert not drawn[(curve.get_xdata() > middle) & there].any()


def test_quantities_that_change_have_a_panel(records):
    still = Quantity.number("noise", 0.5, "loss")
    held = [
        replace(
            each, measured=replace(each.measured, quantities=(*each.measured.quantities, still))
        )
        for each in records
    ]
    figure = quantities(held)
    assert [axes.get_title() for axes in figure.axes] == ["Loss", "Accuracy"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "share"]
    assert legend_labels(figure) == {
        "measured ± s.e.",
        "predicted at the step",
        "forecast from the start",
    }
    assert [axes.get_title() for axes in quantities(held[:1]).axes][-1] == "Noise"


def test_gram_entries_without_a_dimension_have_no_band_that_is_not_known(records):
    figure = gram_entries(records, None)
    assert legend_labels(figure) == {
        "measured (points)",
        "forecast from the start (lines)",
    }


def test_dynamic_transitions_shows_measured_predicted_and_forecast(records):
    figure = dynamic_transitions(records, ("class 0",))
    assert {
        "measured outlier ± s.e.",
        "measured, in the bulk",
        "measured, single samples",
        "predicted outlier",
        "predicted bulk",
        "forecast outlier",
        "detection edge",
        "predicted transition",
    } <= legend_labels(figure)
    assert CURVATURE in words(figure)
    assert f"squared {CURVATURE}" in words(figure)
    assert "time t = steps × c/d" in words(figure)
    hessian, information = figure.axes
    assert hessian.get_title() == "Hessian, class 0"
    assert information.get_title() == "Information matrix, class 0"
    assert "3→2" in words(figure)


def test_dynamic_transitions_has_one_row_a_block(records):
    assert len(dynamic_transitions(records).axes) == 6


def test_points_beyond_the_detection_edge_are_the_outliers(records):
    figure = dynamic_transitions(records, ("class 0",))
    by_label = {
        container.get_label(): container.lines[0].get_ydata()
        for container in figure.axes[0].containers
    }
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    outliers = by_label["measured outlier ± s.e."]
    edges = np.concatenate([lines["detection edge"].get_ydata()])
    assert outliers.min() >= edges.min()
    total = sum(len(record.measured.spectrum("hessian", "class 0").top) for record in records)
    hollow = [line for line in figure.axes[0].lines if line.get_label() == "measured, in the bulk"]
    assert len(outliers) + len(hollow[0].get_ydata()) == total


def test_negative_outliers_are_shown_below_the_bulk(network_records):
    figure = dynamic_transitions(network_records, ("unit 0",))
    values = np.concatenate([line.get_ydata() for line in figure.axes[0].lines])
    predicted = network_records[0].predicted.spectrum("hessian", "unit 0").bottom[0].value
    assert predicted < 0
    assert predicted in values


def test_without_theory_nothing_is_called_an_outlier(records):
    bare = [replace(record, predicted=None, forecast=None, transitions=()) for record in records]
    assert legend_labels(dynamic_transitions(bare)) == {
        "measured ± s.e.",
        "measured, single samples",
    }


def test_what_has_no_standard_error_does_not_say_so(records):
    spectra = tuple(
        replace(each, top=(Eigenpair(1.0, 0.0),), bottom=()) for each in records[0].measured.spectra
    )
    bare = Record(0, measured=Geometry(spectra=spectra))
    assert legend_labels(dynamic_transitions([bare])) == {"measured"}


def test_failed_probings_are_marked(records):
    lost = Record(records[3].step, time=records[3].time, failures=(Failure("", "boom"),))
    broken = (*records[:3], lost, *records[4:])
    assert "failed probing" in legend_labels(dynamic_transitions(broken, ("class 0",)))


def test_words_of_close_transitions_do_not_overlap(records):
    split = Transition("hessian", "class 0", "bottom", "splits", 2, 3)
    busy = [replace(record, transitions=(split,)) for record in records]
    figure = dynamic_transitions(busy[-4:], ("class 0",))
    figure.draw_without_rendering()
    boxes = [
        text.get_window_extent()
        for text in figure.axes[0].texts
        if text.get_text() == "left splits"
    ]
    assert len(boxes) == 4
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_a_block_probed_three_times_is_shown(records):
    def thinned(place, record):
        if place in (0, 3, 6):
            return record
        kept = tuple(s for s in record.measured.spectra if s.block != "class 2")
        return replace(
            record, measured=replace(record.measured, spectra=kept), predicted=None, forecast=None
        )

    figure = dynamic_transitions([thinned(*pair) for pair in enumerate(records)], ("class 2",))
    first = next(line for line in figure.axes[0].lines if line.get_label() == "predicted outlier")
    assert len(first.get_xdata()) == 3


def test_static_transition_marks_the_thresholds(sweep):
    figure = static_transition(sweep)
    assert {"predicted outlier", "predicted bulk", "BBP threshold (predicted)"} <= legend_labels(
        figure
    )
    assert "measured outlier ± s.e." in legend_labels(figure)
    text = words(figure)
    assert "BBP 1.5" in text
    assert CURVATURE in text
    assert "snr (inverse noise variance)" in text
    assert figure.axes[0].get_xscale() == "log"


def test_static_transition_of_nothing_says_so():
    assert "No spectrum" in words(static_transition(Sweep("snr", np.zeros(0), ())))


def test_spectra_shows_three_times(records):
    figure = spectra(records)
    assert len(figure.axes) == 6
    assert {
        "measured density ± s.e.",
        "predicted density",
        "measured outlier",
        "predicted outlier",
        "detection edge",
    } == legend_labels(figure)
    assert [axes.get_title() for axes in figure.axes[::2]] == [
        f"Hessian, class 0, t = {time}" for time in (0, 10, 20)
    ]
    assert figure.axes[0].get_yscale() == "log"
    assert CURVATURE in words(figure)


def banded(geometry, band):
    held = geometry.quantities
    found = (replace(each, band=band) if each.name == "gram" else each for each in held)
    return replace(geometry, quantities=tuple(found))


def test_gram_entries_band_is_two_standard_deviations(records):
    with_bands = [
        replace(one, forecast=banded(one.forecast, np.full((6, 6), 0.03 + 0.01 * i)))
        for i, one in enumerate(records)
    ]
    figure = gram_entries(with_bands, 100)
    assert "forecast ± 2 standard deviations of a run" in legend_labels(figure)
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    for time, half in ((records[0].time, 0.06), (records[3].time, 0.12)):
        there = band[np.isclose(band[:, 0], time), 1]
        assert there.max() - there.min() == pytest.approx(2 * half)


def test_gram_entries_band_is_the_scale_of_one_run_if_no_more_is_known(records):
    figure = gram_entries(records, 100)
    assert "measured (points)" in legend_labels(figure)
    assert "forecast ± 1/√d" in legend_labels(figure)
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    at_start = band[np.isclose(band[:, 0], 0.0), 1]
    assert at_start.max() - at_start.min() == pytest.approx(2 / 10)
    assert "squared parameter" in words(figure)


def test_matrices_are_measured_forecast_and_difference_at_three_steps(records):
    titles = [axes.get_title().split("\n") for axes in matrix_maps(records).axes]
    parts = ("measured", "forecast", "difference")
    assert titles == [
        [f"Gram, {part}, t = {time}", "(squared parameter)"]
        for time in (0, 10, 20)
        for part in parts
    ]
    alone = matrix_maps([replace(records[3], forecast=None)])
    assert len(alone.axes) == 1
    without = replace(records[3], measured=Geometry(quantities_of(loss=1.0)))
    assert "No matrix" in words(matrix_maps([without]))


@pytest.mark.parametrize(("scale", "power"), [(3e-306, -300), (3e-3, -3), (3.0, 0), (3e12, 12)])
def test_entries_fit_into_their_cells_whatever_their_size(records, scale, power):
    """The title says in which power of ten they are written."""
    values = scale * np.array([[1.0, -0.5], [-0.5, 0.25]])
    tiny = replace(records[3], forecast=None, measured=Geometry(quantities_of(gram=values)))
    (axes,) = matrix_maps([tiny]).axes
    texts = [text.get_text() for text in axes.texts]
    np.testing.assert_allclose(
        [float(text) for text in texts], (values / 10.0**power).ravel(), atol=0.006
    )
    assert max(map(len, texts)) <= 5
    assert (f"$10^{{{power}}}$ squared parameter" in axes.get_title()) == (power != 0)


def test_overlaps_show_span_and_means(records):
    figure = overlaps(records)
    assert {
        "measured, span",
        "predicted, span",
    } <= legend_labels(figure)
    assert r"predicted, $\mu_{2}$" in legend_labels(figure)
    assert [axes.get_title() for axes in figure.axes] == [
        "Hessian, class 0, top 1",
        "Hessian, class 0, top 2",
        "Hessian, class 0, top 3",
        "Information matrix, class 0, top 1",
    ]


def test_overlaps_of_negative_outliers_are_shown(network_records):
    titles = [axes.get_title() for axes in overlaps(network_records).axes]
    assert "Hessian, unit 0, bottom 1" in titles


def test_phase_diagram_shows_where_counts_differ(maps):
    figure = phase_diagram(*maps)
    figure.draw_without_rendering()
    assert {"measured, agrees", "measured, differs", "predicted boundary"} == legend_labels(figure)
    assert "Number of outliers: Hessian, class 0" in words(figure)
    differing = next(
        line for line in figure.axes[0].lines if line.get_label() == "measured, differs"
    )
    assert len(differing.get_xdata()) == 1
    assert float(differing.get_xdata()[0]) == pytest.approx(maps[1].x[2])
    drawn = [line for line in figure.axes[0].lines if line.get_label() == "predicted boundary"]
    assert len(drawn) == len(maps[0].boundaries) > 1
    np.testing.assert_array_equal(drawn[0].get_xydata(), maps[0].boundaries[0].points)


def empty_map():
    return CountMap("snr", np.zeros(0), "phi", np.zeros(0), np.zeros((0, 0), np.int64))


def test_phase_diagram_takes_one_map_alone_or_none(maps):
    predicted, measured = maps
    for pair in ((predicted, empty_map()), (empty_map(), measured)):
        phase_diagram(*pair).draw_without_rendering()
    assert "No count" in words(phase_diagram(empty_map(), empty_map()))


def test_phase_diagram_of_a_single_phase(maps):
    predicted, measured = maps
    flat = replace(predicted, counts=np.zeros_like(predicted.counts), boundaries=())
    style.pixels(phase_diagram(flat, measured), dpi=40)
