"""The tab "Spectrum" in a real browser."""

import csv
import json
import math
import re
import shutil
import subprocess
import sys
import urllib.parse
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectrain.probes.records.record import Failure, Geometry, Record, Transition
from spectrain.probes.records.record_file import RECORDS, RecordFile, load
from spectrain.probes.records.version1 import direction, quantities
from spectrain.theory.matrix_kind import MatrixKind
from spectrain.theory.quantity import Quantity
from spectrain.theory.spectrum import Bulk, Density, Edge, Eigenpair, Jacobi, Spectrum
from spectrain.views.board import compared_runs, tab_address

pytestmark = pytest.mark.browser

DIRECTIONS = ("x0", "x1", "mu0", "mu1")
SIZE = 200


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def server(logs, served):
    with served(logs) as address:
        yield address


class Tab:
    """A page with the tab alone in it."""

    def __init__(self, page, address, place=""):
        self.page = page
        self.errors, self.requests, self.bytes = [], [], 0
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)
        page.on("response", self._count)
        page.goto(f"{address}data/plugin_entry.html?name=spectrain{place}")

    def _note(self, message):
        # A browser asks for a picture of its own accord, which TensorBoard does not have here.
        if message.type in ("error", "warning") and "favicon" not in message.location["url"]:
            self.errors.append(message.text)

    def _count(self, response):
        self.requests.append(response.url)
        if "/plugin/spectrain/" in response.url:
            self.bytes += int(response.headers.get("content-length", 0))

    def get(self, name):
        return self.page.get_by_test_id(name)

    def choose(self, *names):
        """Show these runs and no others."""
        self.get("runs").click()
        for name in names:
            self.box(name).check()
        for label in self.get("run").all():
            if label.locator("span").last.inner_text() not in names:
                box = label.locator("input")
                if box.is_enabled():
                    box.uncheck()
        self.page.keyboard.press("Escape")

    def box(self, name):
        named = self.page.get_by_text(name, exact=True)
        return self.get("run").filter(has=named).locator("input")

    def wait_for_step(self, *steps):
        shown = " ".join(map(str, steps))
        self.page.wait_for_selector(f'[data-testid=spectrain][data-step="{shown}"]')

    def wait_for_text(self, test_id, text):
        self.get(test_id).filter(has_text=text).wait_for()

    def values(self, test_id):
        return [float(each.get_attribute("data-value")) for each in self.get(test_id).all()]

    def points(self, test_id):
        return self.get(test_id).first.get_attribute("d")


@pytest.fixture
def open_tab(browser, server):
    opened = []

    def open_one(place="", **options):
        context = browser.new_context(viewport={"width": 1280, "height": 656}, **options)
        page = context.new_page()
        page.set_default_timeout(20_000)
        opened.append((context, Tab(page, server, place)))
        return opened[-1][1]

    yield open_one
    for context, tab in opened:
        context.close()
        assert tab.errors == []


def make_record(index, count=12):
    """A semicircle with one outlier that leaves it half way through."""
    share = index / (count - 1)
    radius, spike = 1.2 - 0.4 * share, 0.6 + 1.6 * share
    place = radius / 2 * (spike + 1 / spike)
    points = np.linspace(-1.3 * radius, 1.3 * radius, 120)
    law = 2 / (math.pi * radius**2) * np.sqrt(np.clip(radius**2 - points**2, 0, None))
    errors = 0.03 * law + 1e-3
    cumulative = np.cumsum(law) * (points[1] - points[0])
    shares = np.array([0.1, 0.2, 0.6, 0.1]) * max(1 - 1 / spike**2, 0)

    def ends(sign):
        return Edge(sign * radius, "square-root", sign * 0.97 * radius, sign * 1.03 * radius, 1e-9)

    def pair(value, error):
        return Eigenpair(value, error, float(shares.sum()), shares, 0.02, np.array([value]))

    outlier = pair(place, 1e-9)
    outliers = (outlier,) if spike > 1 else ()
    seen = (pair(place * 1.01, 3e-8), pair(0.95 * radius, 2e-8))
    bottom = (pair(-0.96 * radius, 1e-8),)
    alpha, beta = np.zeros(8), np.full(7, radius / 2)
    exact = Jacobi(alpha, beta, 0 * alpha, 0 * beta)
    random = Jacobi(alpha + 0.01, beta * 1.02, alpha + 0.02, 0 * beta + 0.02)
    gram = np.diag([1.0, 1.0, 1.0, 1.0]) + share * np.ones((4, 4)) / 4
    spectra = {
        "measured": Spectrum(
            "hessian", "all", SIZE, seen, bottom, None,
            Density(points, law * 1.02, errors, cumulative, errors), jacobi=random,
        ),
        "predicted": Spectrum(
            "hessian", "all", SIZE, outliers, (), Bulk(ends(-1), ends(1)),
            Density(points, law, 0 * law, cumulative, 0 * law), jacobi=exact,
        ),
    }  # fmt: skip
    is_first = spike > 1 and 0.6 + 1.6 * (index - 1) / (count - 1) <= 1
    appears = Transition("hessian", "all", "top", "appears", 0, 1)

    def named(**fields):
        found = quantities(**fields)
        return tuple(
            replace(each, axes=(DIRECTIONS, DIRECTIONS)) if each.name == "gram" else each
            for each in found
        )

    return Record(
        step=10 * index,
        epoch=float(index),
        time=index / 4,
        clock="time t = steps × c/d",
        reference=tuple(map(direction, DIRECTIONS)),
        measured=Geometry(
            named(gram=gram + 0.01, loss=1 - share, loss_error=0.01), (spectra["measured"],)
        ),
        predicted=Geometry(spectra=(spectra["predicted"],)),
        forecast=Geometry(named(gram=gram), (spectra["predicted"],)),
        transitions=(appears,) if is_first else (),
    )


def write(folder, records):
    folder.mkdir(parents=True, exist_ok=True)
    records = tuple(records)
    file = RecordFile(folder / RECORDS)
    for record in records:
        file.write(record)
    file.close()
    return records


@pytest.fixture(scope="module")
def records(logs):
    """As the file holds them."""
    write(logs / "plain", map(make_record, range(12)))
    return list(load(logs / "plain").records)


@pytest.fixture(scope="module")
def second(logs):
    return write(logs / "second", (replace(make_record(i), time=i / 3) for i in range(12)))


def test_the_tab_is_in_tensorboard(browser, server, records, screenshots):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(f"{server}#spectrain")
    frame = page.frame_locator("iframe")
    frame.locator("[data-testid=spectrain][data-step]").wait_for()
    assert page.get_by_role("tab", name="Spectrum").count() == 1
    page.screenshot(path=screenshots / "tensorboard-light.png")
    # TensorBoard's own switch to a dark page reaches the tab.
    page.evaluate("document.body.classList.add('dark-mode')")
    frame.locator(":root[data-theme=dark]").wait_for()
    page.screenshot(path=screenshots / "tensorboard-dark.png")
    page.close()


def test_everything_fits_into_the_window(open_tab, records):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(110)
    size = tab.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert size[0] <= 1280
    assert size[1] <= 656


def test_the_slider_moves_the_density(open_tab, records):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(records[-1].step)
    last = tab.points("predicted-density")
    tab.get("slider").fill("0")
    tab.wait_for_step(0)
    first = tab.points("predicted-density")
    assert first != last
    assert tab.points("measured-density") != ""
    assert tab.get("position").inner_text() == "step 0 · epoch 0 · t = 0"
    tab.get("slider").press("ArrowRight")
    tab.wait_for_step(10)
    assert tab.points("predicted-density") not in (first, last)


def test_numbers_on_screen_are_those_of_the_file(open_tab, logs, records):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(110)
    for place in (11, 7):
        tab.get("slider").fill(str(place))
        record = load(logs / "plain").records[place]
        tab.wait_for_step(record.step)
        measured = record.measured.spectra[0].top[0]
        predicted = record.predicted.spectra[0].top[0]
        assert tab.values("measured") == [measured.value]
        assert tab.values("residual") == [measured.error]
        assert tab.values("predicted") == [predicted.value]
        assert tab.values("forecast") == [record.forecast.spectra[0].top[0].value]
        assert tab.get("forecast-outliers").count() == 1
        assert tab.values("overlap") == [measured.overlap]
        text = tab.get("outlier").inner_text()
        assert f"{measured.value:.3f} ± 0.020" in text
        assert f"{predicted.value:.3f} ± 0.020" in text
        assert "μ0" in text
        assert (
            f"{record.predicted.spectra[0].bulk.upper.detection:.4g}"
            in tab.get("note").last.inner_text()
        )
        for name, gram in (("measured", record.measured.gram), ("forecast", record.forecast.gram)):
            cells = tab.get(f"quantity-{name}").locator("rect").all()
            shown = [float(cell.get_attribute("data-value")) for cell in cells]
            assert shown == gram.ravel().tolist()


def test_a_click_on_a_transition_goes_to_its_step(open_tab, records):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(110)
    (step,) = (record.step for record in records if record.transitions)
    mark = tab.get("transition")
    assert "an outlier appears" in mark.get_attribute("aria-label")
    mark.click()
    tab.wait_for_step(step)
    tab.page.keyboard.press("End")
    tab.wait_for_step(110)
    tab.get("transition").focus()
    tab.page.keyboard.press("Enter")
    tab.wait_for_step(step)
    tab.get("slider").fill("0")
    tab.wait_for_step(0)
    tab.get("next-transition").click()
    tab.wait_for_step(step)


def test_a_click_along_training_goes_to_the_nearest_step(open_tab, records):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(110)
    chart = tab.get("trajectories").locator("svg.chart")
    chart.click(position={"x": 62, "y": 200})
    tab.wait_for_step(0)
    chart.hover(position={"x": 62, "y": 220})
    value = records[0].measured.spectra[0].top[0].value
    assert "step 0" in tab.get("trajectories").locator(".tip").inner_text()
    assert value > 0


def test_keys_move_and_play(open_tab, records):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(110)
    for key, step in (("Home", 0), ("ArrowRight", 10), ("PageDown", 110), ("ArrowLeft", 100)):
        tab.page.keyboard.press(key)
        tab.wait_for_step(step)
    tab.page.keyboard.press("Home")
    tab.wait_for_step(0)
    tab.get("play").focus()
    tab.page.keyboard.press("Space")
    tab.page.get_by_role("button", name="Pause").wait_for()
    tab.wait_for_step(110)
    tab.page.get_by_role("button", name="Play").wait_for()


def test_everything_can_be_reached_by_keyboard_and_has_a_name(open_tab, records):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(110)
    nameless = tab.page.evaluate(
        """[...document.querySelectorAll("button, select, input, [role=button], svg.chart")]
        .filter((node) => !(node.getAttribute("aria-label") || node.closest("label")?.textContent))
        .map((node) => node.outerHTML)"""
    )
    assert nameless == []


def test_zoom_changes_the_axis_and_comes_back(open_tab, records):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(110)
    whole = tab.points("predicted-density")
    chart = tab.get("density").locator("svg.chart")
    box = chart.bounding_box()
    tab.page.mouse.move(box["x"] + 200, box["y"] + 150)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 300, box["y"] + 150, steps=3)
    tab.page.mouse.up()
    assert tab.points("predicted-density") != whole
    tab.get("density-reset").click()
    assert tab.points("predicted-density") == whole
    tab.page.get_by_title("Logarithmic density axis").click()
    assert tab.points("predicted-density") != whole


def test_two_runs_lie_over_one_another(open_tab, records, second, screenshots):
    tab = open_tab()
    tab.choose("plain", "second")
    tab.wait_for_step(110, 110)
    assert tab.get("measured-density").count() == 2
    colours = {each.get_attribute("stroke") for each in tab.get("measured-density").all()}
    assert len(colours) == 2
    text = tab.get("outliers").inner_text()
    assert "plain" in text
    assert "second" in text
    tab.get("detail").select_option("second")
    drawing = tab.get("density").locator("svg.chart")
    assert "at step" not in drawing.text_content()
    tab.page.screenshot(path=screenshots / "two-runs.png")


def test_a_run_that_was_probed_at_other_steps_shows_its_last_before(open_tab, logs, records):
    write(logs / "sparse", records[::4])
    tab = open_tab()
    tab.choose("plain", "sparse")
    tab.wait_for_step(110, 80)
    tab.get("slider").fill("6")
    tab.wait_for_step(60, 40)
    drawing = tab.get("density").locator("svg.chart")
    assert "sparse at step 40" in drawing.text_content()
    shutil.rmtree(logs / "sparse")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_looks_as_it_should(open_tab, records, screenshots, scheme):
    tab = open_tab(color_scheme=scheme)
    tab.choose("plain")
    tab.wait_for_step(110)
    ground = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.search(r"\d+", ground)[0]) > 128) == (scheme == "light")
    tab.page.screenshot(path=screenshots / f"tab-{scheme}.png")
    tab.get("density-enlarge").click()
    tab.page.screenshot(path=screenshots / f"density-{scheme}.png")


def test_a_panel_is_exported(open_tab, records):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(110)
    with tab.page.expect_download() as waiting:
        tab.get("density-svg").click()
    drawing = ET.parse(waiting.value.path()).getroot()
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(drawing.iter("{http://www.w3.org/2000/svg}path"))) > 5
    with tab.page.expect_download() as waiting:
        tab.get("density-csv").click()
    rows = list(csv.DictReader(Path(waiting.value.path()).read_text("utf-8").splitlines()))
    density = records[-1].measured.spectra[0].density
    shown = [float(row["value"]) for row in rows if row["kind"] == "measured density"]
    assert shown == density.values.tolist()
    with tab.page.expect_download() as waiting:
        tab.get("trajectories-csv").click()
    rows = list(csv.DictReader(Path(waiting.value.path()).read_text("utf-8").splitlines()))
    shown = [
        float(row["eigenvalue"])
        for row in rows
        if (row["kind"], row["side"], row["rank"]) == ("measured", "top", "1")
    ]
    assert shown == [record.measured.spectra[0].top[0].value for record in records]


def test_coefficients_are_those_of_the_file(open_tab, records):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(110)
    measured, predicted = (
        getattr(records[-1], kind).spectra[0].jacobi for kind in ("measured", "predicted")
    )
    for letter, values in (("alpha", measured.diagonal), ("beta", measured.off_diagonal)):
        # One mark a coefficient, and a smaller one upon it where it is hollow.
        marks = tab.points(f"measured-{letter}").count("M")
        assert marks == len(values)
        assert tab.points(f"predicted-{letter}") != ""
    chart = tab.get("jacobi").locator("svg.chart")
    box = chart.bounding_box()
    chart.hover(position={"x": 64, "y": box["height"] / 2})
    text = tab.get("jacobi").locator(".tip").inner_text()
    assert "α0: measured 0.010 ± 0.020, predicted 0" in text
    assert f"β0: measured {measured.off_diagonal[0]:.3f} ± 0.020, predicted 0.4" in text
    with tab.page.expect_download() as waiting:
        tab.get("jacobi-csv").click()
    rows = list(csv.DictReader(Path(waiting.value.path()).read_text("utf-8").splitlines()))

    def column(kind, coefficient, name):
        chosen = (row for row in rows if (row["kind"], row["coefficient"]) == (kind, coefficient))
        return [float(row[name]) for row in chosen]

    assert column("measured", "alpha", "value") == measured.diagonal.tolist()
    assert column("measured", "beta", "error") == measured.off_diagonal_errors.tolist()
    assert column("predicted", "beta", "value") == predicted.off_diagonal.tolist()
    with tab.page.expect_download() as waiting:
        tab.get("jacobi-svg").click()
    assert ET.parse(waiting.value.path()).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_records_of_earlier_versions_have_no_coefficients_and_it_is_said(open_tab, logs):
    record = make_record(11)

    def without(geometry):
        return replace(geometry, spectra=(replace(geometry.spectra[0], jacobi=None),))

    old = replace(record, measured=without(record.measured), predicted=without(record.predicted))
    write(logs / "old", [old])
    tab = open_tab()
    tab.choose("old")
    tab.wait_for_step(110)
    tab.wait_for_text("jacobi-empty", "No coefficients")
    shutil.rmtree(logs / "old")


def quantities_at(place):
    entries = tuple(f"site {entry}" for entry in range(6))
    values = np.arange(6.0) - place
    return (
        Quantity("energy", np.array(1.0 - place), "joule", band=np.array(0.25)),
        Quantity("spin", values, "bohr", (entries,), errors=np.full(6, 0.5)),
    )


def test_any_quantity_has_its_drawing_and_none_leaves_no_panel(open_tab, logs, screenshots):
    kind = MatrixKind("tangent-hessian", "Tangent Hessian", "T", "joule per squared radian")

    def of(place):
        record = make_record(place)
        measured = replace(
            record.measured,
            quantities=quantities_at(place),
            spectra=tuple(replace(each, matrix=kind.name) for each in record.measured.spectra),
        )
        forecast = Geometry(quantities_at(place - 0.5)[:1])
        return replace(
            record, measured=measured, forecast=forecast, predicted=None, transitions=(),
            matrices=(kind,), reference=(), clock="sweeps",
        )  # fmt: skip

    write(logs / "other", map(of, range(4)))
    bare = [replace(of(place), forecast=None, measured=Geometry()) for place in range(4)]
    write(logs / "bare", [replace(each, measured=of(0).measured) for each in bare])
    nothing = [replace(e, measured=Geometry(spectra=of(0).measured.spectra)) for e in bare]
    write(logs / "nothing", nothing)
    tab = open_tab()
    tab.choose("other")
    tab.wait_for_step(30)
    panel = tab.get("quantities")
    assert panel.locator("h2").inner_text() == "Spin (bohr)"
    assert tab.get("matrix").locator("option").inner_text() == "Tangent Hessian"
    assert "joule per squared radian" in tab.get("density").locator("svg.chart").text_content()
    assert "sweeps" in tab.get("trajectories").locator("svg.chart").text_content()
    assert "site 0" in panel.locator("svg.chart:visible").text_content()
    assert tab.points("quantity-measured").count("M") == 6
    assert not tab.get("alignment").is_visible()
    tab.page.screenshot(path=screenshots / "vector.png")
    tab.get("quantity-name").select_option("energy")
    assert panel.locator("h2").inner_text() == "Energy (joule)"
    drawn = panel.locator("svg.chart:visible").text_content()
    assert "forecast ± 2 s.d. of a run" in drawn
    assert "predicted" not in drawn
    assert tab.points("quantity-measured").count("M") == 4
    tab.page.screenshot(path=screenshots / "number.png")
    with tab.page.expect_download() as waiting:
        tab.get("quantities-csv").click()
    rows = list(csv.DictReader(Path(waiting.value.path()).read_text("utf-8").splitlines()))
    assert [float(row["value"]) for row in rows if row["kind"] == "forecast"] == [
        1.5,
        0.5,
        -0.5,
        -1.5,
    ]
    tab.choose("bare")
    tab.wait_for_step(30)
    panel.locator("svg.chart:visible").filter(has_not_text="forecast").wait_for()
    tab.choose("nothing")
    tab.wait_for_step(30)
    panel.wait_for(state="hidden")
    assert tab.get("outliers").bounding_box()["width"] > 1200
    for name in ("other", "bare", "nothing"):
        shutil.rmtree(logs / name)


def test_parts_are_stacked_over_time(open_tab, logs, screenshots):
    """Upwards from zero, negative ones downwards; on top the line of their sum."""
    steps = range(5)
    values = [np.array([4.0 - step, 1.0 + step, -0.5]) for step in steps]

    def of(step):
        parts = Quantity("parts", values[step], "joule", (("first", "second", "third"),), total="e")
        total = Quantity.number("e", float(values[step].sum()), "joule")
        record = make_record(step)
        measured = replace(record.measured, quantities=(total,))
        return replace(
            record, measured=measured, forecast=Geometry((parts, total)), predicted=None,
            transitions=(),
        )  # fmt: skip

    write(logs / "parts", map(of, steps))
    tab = open_tab()
    tab.choose("parts")
    tab.wait_for_step(40)
    tab.get("quantity-name").select_option("parts")
    areas = tab.get("quantity-part")
    assert not tab.get("quantity-over-time").is_visible()
    assert areas.count() == 3
    tops, bottoms = [], []
    for area in areas.all():
        ends = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", area.get_attribute("d"))]
        tops.append(ends[: len(steps)])
        bottoms.append(ends[: len(steps) - 1 : -1])
    zero = bottoms[0][0]
    joule = (zero - tops[0][0]) / 4.0
    expected = np.cumsum(np.array(values)[:, :2], axis=1).T
    assert np.abs(zero - np.array(tops[:2]) - joule * expected).max() < 0.3
    assert np.abs(np.array(bottoms[1]) - tops[0]).max() < 0.3
    assert np.abs(np.array(tops[2]) - zero).max() < 0.3
    assert np.abs(np.array(bottoms[2]) - zero - 0.5 * joule).max() < 0.3
    total = tab.points("quantity-total")
    line = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", total)]
    assert np.abs(zero - np.array(line) - joule * np.sum(values, axis=1)).max() < 0.3
    assert tab.points("quantity-measured").count("M") == 5
    tab.page.screenshot(path=screenshots / "parts.png")
    with tab.page.expect_download() as waiting:
        tab.get("quantities-csv").click()
    rows = list(csv.DictReader(Path(waiting.value.path()).read_text("utf-8").splitlines()))
    assert [float(row["second"]) for row in rows] == [1.0, 2.0, 3.0, 4.0, 5.0]
    shutil.rmtree(logs / "parts")


def test_a_threshold_is_a_line_with_a_gauge_and_a_vector_a_map_over_time(
    open_tab, logs, screenshots
):
    layers = tuple(f"blocks.{i}" for i in range(5))

    def of(place):
        sharp = Quantity.number("sharpness", 4.0 * place, "loss", threshold=10.0)
        traces = Quantity("layer_trace", np.arange(5.0) - place, "loss", (layers,))
        return replace(make_record(place), measured=Geometry((sharp, traces)), predicted=None)

    write(logs / "layered", map(of, range(4)))
    tab = open_tab()
    tab.choose("layered")
    tab.wait_for_step(30)
    tab.get("quantity-name").select_option("sharpness")
    panel = tab.get("quantities")
    panel.locator("h2").filter(has_text="Sharpness (loss)").wait_for()
    assert tab.get("gauge-text").inner_text() == "120 %"
    assert "was not probed" not in tab.page.locator("body").inner_text()
    assert float(tab.get("gauge").evaluate("meter => meter.value")) == pytest.approx(1.2)
    assert "threshold" in panel.locator("svg.chart:visible").text_content()
    assert tab.points("quantity-threshold").count("L") == 3  # a line through four points
    assert not tab.get("quantity-over-time").is_visible()
    tab.page.screenshot(path=screenshots / "threshold.png")
    tab.get("quantity-name").select_option("layer_trace")
    tab.get("quantity-over-time").check()
    cells = panel.locator("[data-testid=quantity-path] [data-value]")
    cells.last.wait_for()
    values = [float(cell.get_attribute("data-value")) for cell in cells.all()]
    assert values == [row - place for row in range(5) for place in range(4)]
    assert not tab.get("gauge").is_visible()
    assert "blocks.4" in panel.locator("svg.chart:visible").text_content()
    tab.page.screenshot(path=screenshots / "layers.png")
    shutil.rmtree(logs / "layered")


def test_cells_are_read_with_the_arrow_keys(open_tab, records):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(110)
    panel = tab.get("quantities")
    panel.locator("svg.chart:visible").focus()
    keys = tab.page.keyboard
    gram, forecast = records[-1].measured.gram, records[-1].forecast.gram

    def heard():
        return panel.locator("output.heard").inner_text()

    keys.press("ArrowRight")
    assert heard() == f"measured, x0, x0: {gram[0, 0]:.5g}"
    keys.press("ArrowDown")
    assert heard() == f"measured, x1, x0: {gram[1, 0]:.5g}"
    for _ in range(4):
        keys.press("ArrowRight")
    assert heard() == f"forecast, x1, x0: {forecast[1, 0]:.5g}"
    keys.press("ArrowLeft")
    assert heard() == f"measured, x1, μ1: {gram[1, 3]:.5g}"
    assert panel.locator(".marked").count() == 1
    assert panel.locator(".tip:visible").inner_text() == heard()
    # The player did not take the keys; Escape gives them back.
    assert tab.get("position").inner_text().startswith("step 110 ")
    keys.press("Escape")
    assert panel.locator(".marked").count() == 0
    keys.press("Home")
    tab.wait_for_step(0)


@pytest.mark.parametrize("kind", ["svg", "csv"])
def test_every_panel_is_exported_by_keyboard(open_tab, records, kind):
    tab = open_tab()
    tab.choose("plain")
    tab.wait_for_step(110)
    panels = {"density", "trajectories", "jacobi", "quantities", "alignment"}
    panels |= {"outliers"} if kind == "csv" else set()
    saved = set()
    for _ in range(50):
        tab.page.keyboard.press("Tab")
        test_id = tab.page.evaluate("document.activeElement.dataset.testid") or ""
        if test_id.endswith(f"-{kind}"):
            with tab.page.expect_download() as waiting:
                tab.page.keyboard.press("Enter")
            assert Path(waiting.value.path()).stat().st_size > 100
            saved.add(waiting.value.suggested_filename)
    assert saved == {f"{name}.{kind}" for name in panels}


def shown(address):
    """What the address of a page says is shown."""
    parts = urllib.parse.urlsplit(address).fragment.split("&")
    pairs = (map(urllib.parse.unquote, part.split("=")) for part in parts if "=" in part)
    return {key.removeprefix("p.spectrain."): value for key, value in pairs}


def wait_for_address(page, text):
    page.wait_for_url(lambda address: text in urllib.parse.unquote(address))


def test_the_address_holds_what_is_shown_and_a_reload_keeps_it(open_tab, logs, records, second):
    tab = open_tab()
    tab.choose("plain", "second")
    tab.wait_for_step(110, 110)
    wait_for_address(tab.page, 'runs=["plain","second"]')
    assert "step" not in shown(tab.page.url)  # it follows
    tab.get("slider").fill("4")
    tab.wait_for_step(40, 40)
    wait_for_address(tab.page, "step=40")
    assert shown(tab.page.url) == {
        "runs": '["plain","second"]', "matrix": "hessian", "block": "all", "step": "40"
    }  # fmt: skip
    tab.page.reload()
    tab.wait_for_step(40, 40)
    assert tab.get("measured-density").count() == 2
    assert tab.get("runs").inner_text().startswith("Runs: 2 of ")


@pytest.mark.parametrize(
    "place",
    [
        "#p.spectrain.runs=nonsense&p.spectrain.step=-1",
        "#p.spectrain.runs=%5B%22plain%22%2C1%5D&p.spectrain.matrix=no&p.spectrain.block=such",
        "#p.spectrain.runs=%E0%A4%A&p.spectrain.step=1e3&=&&a=b=c",
    ],
)
def test_an_address_without_sense_is_no_obstacle(open_tab, records, second, place):
    tab = open_tab(place)
    tab.wait_for_step(110)
    assert tab.get("measured-density").count() == 1
    assert tab.get("matrix").input_value() == "hessian"


def test_a_run_of_the_address_that_is_not_there_is_told(open_tab, records):
    name = "<img src=x onerror=alert(1)>"
    tab = open_tab("#p.spectrain.runs=" + urllib.parse.quote(json.dumps([name]), safe=""))
    tab.wait_for_text("problems", f"{name}: has no data file")
    assert tab.page.locator("#spectrain img").count() == 0


def test_runs_of_different_folders_are_compared(browser, served, tmp_path, screenshots):
    write(tmp_path / "here" / "run", map(make_record, range(12)))
    write(tmp_path / "there" / "run", (replace(make_record(i), time=i / 3) for i in range(12)))
    runs = compared_runs([tmp_path / "here" / "run", tmp_path / "there" / "run"])
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    with served(runs) as address:
        page.goto(tab_address(address, list(runs)))
        frame = page.frame_locator("iframe")
        frame.locator('[data-testid=spectrain][data-step="110 110"]').wait_for()
        assert frame.get_by_test_id("measured-density").count() == 2
        # In TensorBoard, too, the address follows, and a reload comes back to it.
        frame.get_by_test_id("slider").fill("3")
        frame.locator('[data-testid=spectrain][data-step="30 30"]').wait_for()
        wait_for_address(page, "step=30")
        assert urllib.parse.urlsplit(page.url).fragment.startswith("spectrain&")
        page.reload()
        frame.locator('[data-testid=spectrain][data-step="30 30"]').wait_for()
        page.screenshot(path=screenshots / "compared.png")
        page.close()
    assert errors == []


def test_names_are_text(open_tab, logs):
    name = "<img src=x onerror=alert(1)> \"größe\" & 'λ'"
    block = "<b onmouseover=alert(2)>block</b>"
    record = make_record(11)

    def renamed(geometry):
        spectra = (replace(geometry.spectra[0], block=block),)
        return replace(geometry, spectra=spectra)

    record = replace(
        record,
        reference=tuple(map(direction, ("<i>x</i>", "x1", "mu0", "=mu1"))),
        measured=renamed(record.measured),
        predicted=renamed(record.predicted),
        failures=(Failure("", "<script>alert(3)</script>"),),
    )
    write(logs / name, [record])
    tab = open_tab()
    dialogs = []
    tab.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    tab.choose(name)
    tab.wait_for_step(110)
    assert tab.get("runs").inner_text() == f"Run: {name}"
    assert tab.get("block").locator("option").inner_text() == block
    assert tab.page.locator("#spectrain img, #spectrain i, #spectrain b, script").count() <= 1
    assert dialogs == []
    shutil.rmtree(logs / name)


def test_what_is_missing_is_said(open_tab, logs, records):
    path = logs / "broken"
    write(path, map(make_record, range(4)))
    content = (path / RECORDS).read_bytes()
    (path / RECORDS).write_bytes(content[:-2000].replace(b'"step":20', b'"step":21'))
    write(logs / "new", [])
    write(
        logs / "failed",
        [Record(0, failures=(Failure("", "ValueError: loss: expected finite numbers"),))],
    )
    (logs / "events").mkdir()
    (logs / "events" / "events.out.tfevents.1.broken").write_bytes(b"no event")
    (logs / "nothing").mkdir()
    tab = open_tab()
    tab.choose("broken")
    tab.wait_for_text("problems", "broken: its data file cannot be read from byte")
    tab.wait_for_step(10)
    tab.choose("new")
    tab.wait_for_text("problems", "new: its data file has no record yet")
    tab.wait_for_text("density-empty", "Nothing to show yet")
    tab.choose("failed")
    tab.wait_for_text("density-empty", "expected finite numbers")
    assert not tab.box("events").is_enabled()
    for name in ("broken", "new", "failed", "events"):
        shutil.rmtree(logs / name)


def test_new_records_arrive_and_a_deleted_run_stays_on_screen(open_tab, logs, records):
    write(logs / "growing", map(make_record, range(3)))
    tab = open_tab()
    tab.choose("growing")
    tab.wait_for_step(20)
    write(logs / "growing", [make_record(3)])
    tab.wait_for_step(30)
    tab.get("slider").fill("1")
    tab.wait_for_step(10)
    write(logs / "growing", [make_record(4)])
    tab.page.wait_for_selector('[data-testid=slider][max="4"]')
    assert tab.get("position").inner_text().startswith("step 10 ")
    shutil.rmtree(logs / "growing")
    tab.wait_for_text("problems", "growing: its data file is gone")
    assert tab.get("measured-density").count() == 1


TRAINING = """
import sys
from spectrain import SoftmaxMixtureConfig, run
from spectrain.training.callbacks import Callback

class Wait(Callback):
    def on_epoch_end(self, step, epoch):
        print("probed", flush=True)
        sys.stdin.readline()

run(SoftmaxMixtureConfig(dimension=40, epochs=3, time=1.5), sys.argv[1], callbacks=[Wait()])
"""


def test_a_training_is_followed(open_tab, logs):
    """A training that waits after each epoch until what it has measured is on the screen."""
    folder = logs / "training"
    pipe = subprocess.PIPE
    training = subprocess.Popen(
        [sys.executable, "-c", TRAINING, folder], stdin=pipe, stdout=pipe, text=True
    )
    try:
        tab = None
        for count in (2, 3, 4):  # there is one before the first step
            assert training.stdout.readline() == "probed\n"
            found = load(folder).records
            assert len(found) == count
            if tab is None:
                tab = open_tab()
                tab.choose("training")
            tab.wait_for_step(found[-1].step)
            measured = found[-1].measured.spectra[0]
            if tab.get("measured").count():
                assert tab.values("measured")[0] == measured.top[0].value
            marks = tab.points("measured-alpha").count("M")
            assert marks == len(measured.jacobi.diagonal)
            training.stdin.write("\n")
            training.stdin.flush()
        assert training.wait(timeout=120) == 0
    finally:
        training.kill()
        training.communicate()
    shutil.rmtree(folder)


def test_a_thousand_steps_cost_one_request_a_step(open_tab, logs):
    count = 1000
    write(logs / "long", (make_record(i, count) for i in range(count)))
    tab = open_tab()
    tab.choose("long")
    tab.wait_for_step(9990)
    tab.page.wait_for_selector(f'[data-testid=slider][max="{count - 1}"]')

    def asked(route):
        return sum(f"/spectrain/{route}?" in url for url in tab.requests)

    # While a long file is read, a few moments of its middle are shown.
    assert asked("record") <= 30
    assert tab.bytes < 2_000_000
    before, sent = asked("record"), tab.bytes
    for place in range(500, 510):
        tab.get("slider").fill(str(place))
    tab.wait_for_step(5090)
    assert 1 <= asked("record") - before <= 10
    assert tab.bytes - sent < 10 * 60_000
    before = asked("record")
    tab.get("slider").fill("509")
    tab.get("slider").fill("508")
    tab.get("slider").fill("509")
    tab.wait_for_step(5090)
    assert asked("record") - before <= 1
    shutil.rmtree(logs / "long")
