"""A system that no view has heard of: its quantities and matrices are shown everywhere, or not."""

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import spectrain
from spectrain.figures.catalogue import drawings_of_run
from spectrain.probes.records.numbers import numbers
from spectrain.probes.records.record import Failure, Geometry, Record
from spectrain.probes.records.record_file import RECORDS, RecordFile, Run, load
from spectrain.probes.records.record_table import rows
from spectrain.theory.matrix_kind import HESSIAN, MatrixKind
from spectrain.theory.quantity import Quantity
from spectrain.theory.spectrum import Bulk, Density, Edge, Eigenpair, Jacobi, Spectrum
from spectrain.theory.transitions import Transition
from spectrain.views import quantities
from spectrain.views.errors import error_names, errors
from spectrain.views.export import arrays
from spectrain.views.figures import dynamic_transitions, spectra, style
from spectrain.views.figures import quantities as quantity_figure
from spectrain.views.figures.matrix_maps import matrix_maps
from spectrain.views.plugin.messages import moment, outline, plain
from spectrain.views.plugin.run_index import RunIndex
from spectrain.views.report import report
from spectrain.views.sinks.console import ConsoleSink
from spectrain.views.sinks.scalars import scalars
from spectrain.views.sinks.tensorboard import TensorBoardSink
from spectrain.views.table import format_table

TANGENT = MatrixKind("tangent-hessian", "Tangent Hessian", "T", "joule per squared radian")
ROWS, COLUMNS = ("north", "south"), ("a", "b", "c", "d")
MANY = tuple(f"site {place}" for place in range(40))


def statistics(time, shift, error=None, band=None):
    """A number, a short vector, a long one, and a matrix that is not symmetric."""

    def parts(shape):
        return {
            name: None if width is None else np.full(shape, width)
            for name, width in (("errors", error), ("band", band))
        }

    coupling = np.arange(8.0).reshape(2, 4) - 3 * time + shift
    return (
        Quantity("energy", np.array(-2 + time + shift), "joule", **parts(())),
        Quantity(
            "spin", np.array([time, -time, 1.0]) + shift, "bohr", (("x", "y", "z"),), **parts(3)
        ),
        Quantity("field", np.sin(np.arange(40) + time) + shift, "tesla", (MANY,), **parts(40)),
        Quantity("coupling", coupling, "volt", (ROWS, COLUMNS), **parts((2, 4))),
    )


def spectrum(matrix, top, bulk=None):
    points = np.linspace(-1, 1, 21)
    flat, none = np.full(21, 0.5), np.zeros(21)
    return Spectrum(
        matrix, "sphere", 50, (Eigenpair(top, 1e-6, sampling_error=0.1),),
        (Eigenpair(-0.9, 1e-6),), bulk, Density(points, flat, none, (points + 1) / 2, none),
        jacobi=Jacobi(np.zeros(3), np.full(2, 0.5), np.zeros(3), np.zeros(2)),
    )  # fmt: skip


def record(place, with_theory=True):
    time = place / 2
    kinds = (HESSIAN, TANGENT)
    edges = (Edge(sign, "square-root", 0.98 * sign, 1.1 * sign, 0.0) for sign in (-1.0, 1.0))
    bulk = Bulk(*edges)
    measured = Geometry(
        statistics(time, 0.1, error=0.05), tuple(spectrum(kind.name, 2 + time) for kind in kinds)
    )
    found = Record(
        10 * place,
        float(place),
        time if with_theory else math.nan,
        "sweeps" if with_theory else "",
        matrices=kinds,
        measured=measured,
    )
    if not with_theory:
        return found
    predicted = tuple(spectrum(kind.name, 2.1 + time, bulk) for kind in kinds)
    return replace(
        found,
        predicted=Geometry(statistics(time, 0.0)[:1], predicted),
        forecast=Geometry(statistics(time, 0.0, band=0.2), predicted),
        transitions=(Transition(TANGENT.name, "sphere", "top", "appears", 0, 1),) * (place == 2),
    )


WITH = tuple(record(place) for place in range(5))
WITHOUT = tuple(record(place, with_theory=False) for place in range(5))
BOTH = pytest.mark.parametrize("run", [WITH, WITHOUT], ids=["theory", "no theory"])


def words(figure):
    return " ".join(text.get_text().replace("\n", " ") for text in figure.findobj(Text))


def test_one_walk_has_every_number_with_its_errors():
    found = {(each.kind, *each.place): each for each in numbers(WITH[1])}
    energy = found["measured", "", "", "energy"]
    assert (energy.value, energy.unit, energy.standard_error) == (-1.4, "joule", 0.05)
    forecast = found["forecast", "", "", "coupling/south.c"]
    assert (forecast.value, forecast.band, forecast.quantity) == (4.5, 0.2, "coupling")
    top = found["predicted", TANGENT.name, "sphere", "top_1"]
    assert (top.unit, top.side, top.error) == (TANGENT.unit, "top", 1e-6)
    assert not any(each.is_product or each.is_fixed for each in found.values())
    assert len({(each.kind, *each.place) for each in numbers(WITH[1])}) == len(found)


def test_the_table_and_the_arrays_are_the_walk():
    walked = [each for each in numbers(WITH[2]) if not math.isnan(each.value)]
    shown = list(rows(WITH[2]))
    assert [(row.kind, row.quantity, row.value, row.unit) for row in shown] == [
        (each.kind, each.name, each.value, each.unit) for each in walked
    ]
    found = arrays(Run({}, WITH))
    assert found["forecast/coupling/north.d:band_upper"][0] == 3.0 + 0.1  # of the measurement
    assert found["measured/tangent-hessian/sphere/top_1"].tolist() == [2, 2.5, 3, 3.5, 4]


def test_tags_have_bands_about_what_is_predicted():
    found = scalars(WITH[1])
    assert found["measured/coupling/north.b"] == pytest.approx(-0.4)
    assert found["predicted/spin/x"] == found["forecast/spin/x"] == 0.5
    assert found["band/energy/upper"] - found["band/energy/lower"] == pytest.approx(4 * 0.2)
    assert found["detection/tangent-hessian/sphere/upper_edge"] == 1.1
    bare = scalars(WITHOUT[1], dimension=100)
    assert {tag.split("/")[0] for tag in bare} == {"measured"}


def test_errors_of_numbers_are_relative_and_of_arrays_the_largest():
    found = errors(WITH[1])
    assert found["energy"] == pytest.approx(0.1 / 1.5)
    assert found["spin"] == pytest.approx(0.1)
    assert found["tangent-hessian/outliers"] == pytest.approx(0.1 / 2.6)
    assert set(found) <= set(error_names(WITH[1]))
    assert "tangent-hessian/overlaps" not in error_names(WITH[1])  # there is no direction
    assert errors(WITHOUT[1]) == {}
    assert error_names(WITHOUT[1]) == ()


def test_a_number_is_compared_in_its_own_spread():
    compared = quantities.compared_quantities(WITH[1])
    (energy,) = compared["energy"]
    assert (energy.spread, energy.deviation) == (0.05, pytest.approx(2.0))
    exact = replace(energy, measured=energy.measured._replace(standard_error=math.nan))
    exact = replace(exact, predicted=None)
    assert exact.deviation == pytest.approx(0.1 / 0.2)
    assert math.isnan(replace(exact, forecast=None).deviation)


@BOTH
def test_the_console_has_its_numbers(run):
    stream = io.StringIO()
    sink = ConsoleSink(stream)
    for each in run:
        sink.write(each)
    head, names, *lines = stream.getvalue().splitlines()
    assert len(lines) == len(run)
    assert "energy" in names
    assert "loss" not in names
    assert "T sphere" in head
    assert ("Coupling" in head) == (run is WITH)
    assert ("-1.400/-1.500" in lines[1]) == (run is WITH)


def test_the_closing_table_has_units():
    text = format_table(WITH)
    assert "Tangent Hessian: joule per squared radian" in text
    line = next(line for line in text.splitlines() if " Coupling, north·" in line)
    assert line.split()[3:] == ["forecast", *line.split()[4:9], "volt", *line.split()[10:]]
    assert "joule" in text
    assert "Quantities" not in format_table(WITHOUT)


@pytest.mark.slow
@BOTH
def test_every_figure_that_shows_something_has_no_empty_panel(run):
    drawings = drawings_of_run(Run({}, run))
    expected = {"dynamic-transitions", "spectra", "quantities", "matrix-maps", "vector-maps"}
    assert set(drawings) == expected
    for name, draw in drawings.items():
        figure = draw(2 if run is WITH else 1)
        figure.draw_without_rendering()
        assert "Gram" not in words(figure)
        for axes in figure.axes:
            assert axes.has_data() or not axes.axison, name


def test_panels_have_the_unit_of_their_matrix():
    for figure in (dynamic_transitions(WITH), spectra(WITH)):
        labels = [axes.get_ylabel() + axes.get_xlabel() for axes in figure.axes]
        shown = [label.replace("\n", " ") for label in labels if "eigenvalue (" in label]
        assert HESSIAN.unit in shown[0]
        assert TANGENT.unit in shown[1]
    (axes,) = [a for a in dynamic_transitions(WITH).axes if a.get_title().startswith("Tangent")]
    assert "eigenvalue (joule per squared radian)" in axes.get_ylabel().replace("\n", " ")


def test_quantities_are_drawn_over_what_is_expected():
    figure = quantity_figure(WITH)
    titles = [axes.get_title() for axes in figure.axes if axes.axison]
    assert titles == ["Energy", "Spin", "Field, t = 2"]
    assert [axes.get_ylabel() for axes in figure.axes[:3]] == ["joule", "bohr", "tesla"]
    energy = figure.axes[0]
    lines = {line.get_color(): line.get_ydata() for line in energy.lines if len(line.get_xdata())}
    np.testing.assert_allclose(lines[style.PREDICTED["color"]], [-2, -1.5, -1, -0.5, 0])
    np.testing.assert_allclose(energy.containers[0].lines[0].get_ydata()[0], -1.9)
    band = energy.collections[0].get_paths()[0].vertices
    at_start = band[np.isclose(band[:, 0], 0), 1]
    assert at_start.max() - at_start.min() == pytest.approx(4 * 0.2)
    assert "forecast from the start" in words(figure)
    assert "forecast" not in words(quantity_figure(WITHOUT))


def test_what_is_predicted_alone_is_named_too():
    """Its lines have a legend though no point of it was measured."""
    run = [replace(each, measured=Geometry(each.measured.quantities[:1])) for each in WITH]
    figure = quantity_figure(run)
    spin = next(axes for axes in figure.axes if axes.get_title() == "Spin")
    assert [text.get_text() for text in spin.get_legend().get_texts()] == ["x", "y", "z"]
    lines = [line.get_ydata() for line in spin.lines if len(line.get_xdata()) == len(run)]
    np.testing.assert_allclose(lines[1], [0, -0.5, -1, -1.5, -2])


def test_a_matrix_that_is_not_symmetric_keeps_rows_and_columns():
    first = matrix_maps(WITH).axes[0]
    shown = first.images[0].get_array()
    np.testing.assert_allclose(shown, np.arange(8.0).reshape(2, 4) + 0.1)
    assert [text.get_text() for text in first.get_yticklabels()] == list(ROWS)
    assert "volt" in first.get_title()


def test_a_spectrum_that_failed_alone_is_marked_in_its_panel_only():
    kept = tuple(each for each in WITH[2].measured.spectra if each.matrix == "hessian")
    failure = Failure("spectra", "boom", TANGENT.name, "sphere")
    broken = replace(WITH[2], measured=replace(WITH[2].measured, spectra=kept), failures=(failure,))
    hessian, tangent = dynamic_transitions((*WITH[:2], broken, *WITH[3:])).axes
    crosses = [
        [line.get_xdata().tolist() for line in axes.lines if line.get_label() == "failed probing"]
        for axes in (hessian, tangent)
    ]
    assert crosses == [[], [[1.0]]]


@BOTH
def test_the_report_has_its_quantities(run):
    text = report(Run({"system": "magnet"}, run), "magnet", figures=())
    assert ("Coupling" in text.split('id="errors"')[1].split("</section>")[0]) == (run is WITH)
    assert "Gram" not in text
    if run is WITH:
        assert "joule per squared radian" in text
        assert re.search(r"Energy</td><td>joule</td>.*?<td>predicted</td>", text)
        assert "Tangent Hessian" in text.split('id="transitions"')[1]
    else:
        assert "No record holds both a measurement and a prediction." in text


@BOTH
def test_tensorboard_has_charts_and_pictures_of_what_there_is(run, tmp_path):
    sink = TensorBoardSink(tmp_path, figures_every=10, config={"seed": 1})
    for each in run:
        sink.write(each)
    sink.close()
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0, "images": 0}).Reload()
    assert set(events.Tags()["images"]) == {"spectra/sphere", "coupling"}
    charts = (
        events.Tensors("custom_scalars__config__")[-1]
        .tensor_proto.string_val[0]
        .decode("utf-8", "replace")
    )
    assert "Tangent Hessian, sphere" in charts
    assert "Coupling" in charts
    assert ("error/[^/]+/bulk" in charts) == (run is WITH)
    assert "accuracy" not in charts
    matched = [tag for tag in scalars(WITH[0]) if re.match(r"^error/[^/]+/bulk$", tag)]
    assert matched == ["error/hessian/bulk", "error/tangent-hessian/bulk"]


@BOTH
def test_the_tab_is_told_of_everything(run, tmp_path):
    file = RecordFile(tmp_path / RECORDS)
    for each in run:
        file.write(each)
    file.close()
    index = RunIndex(tmp_path / RECORDS)
    answer = json.loads(index.history("tangent-hessian", "sphere", 0, 0))
    assert answer["kinds"]["tangent-hessian"] == {"title": TANGENT.title, "unit": TANGENT.unit}
    assert answer["quantities"]["coupling"] == {
        "title": "Coupling", "unit": "volt", "axes": 2, "entries": None, "parts": None, "total": "",
    }  # fmt: skip
    assert [each["axes"] for each in answer["quantities"].values()] == [0, 1, 1, 2]
    assert answer["clock"] == ("sweeps" if run is WITH else "")
    energy = answer["records"][1]["heading"]["numbers"]["energy"]
    expected = [-1.5, None, -1.5, 0.2] if run is WITH else [None] * 4
    assert energy == [-1.4, 0.05, *expected]
    shown = {each["name"]: each for each in moment(load(tmp_path).records[1], "", "")["quantities"]}
    coupling = shown["coupling"]
    assert coupling["axes"] == [list(ROWS), list(COLUMNS)]
    assert coupling["measured"]["values"][1][2] == pytest.approx(4.6)
    assert coupling["predicted"] is None
    assert (coupling["forecast"] is None) == (run is WITHOUT)


def test_an_outline_names_directions_without_tex(records):
    assert outline(records[0])["directions"][-1] == "μ2"
    assert plain(replace(records[0].reference[0], symbol="")) == "x0"
    assert plain(replace(records[0].reference[0], symbol=r"\Theta_{12}")) == "Θ12"
    assert plain(replace(records[0].reference[0], symbol=r"\nonsense")) == "nonsense"


def test_no_view_names_a_quantity_of_a_system():
    """Only the figure of the Gram matrix, and where it is registered, may."""
    folder = Path(spectrain.__file__).parent / "views"
    naming = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in (".py", ".js", ".css", ".html")
        and re.search(r"(?i)(?<![a-z])gram(?![a-z])|\bmu\d", path.read_text("utf-8"))
    }
    assert naming == {"figures/__init__.py", "figures/gram_entries.py", "figures/run_figures.py"}
