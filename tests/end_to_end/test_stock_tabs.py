"""TensorBoard's own tabs in a real browser, on a run in which outliers come and go."""

import pytest

from spectrain import SoftmaxMixtureConfig, TensorBoardSink, load, run
from spectrain.views.timeline import Timeline, rows

pytestmark = pytest.mark.browser

CONFIG = SoftmaxMixtureConfig(dimension=80, epochs=8, time=12.0)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    settings = CONFIG.to_dict()

    def sink(path, step):
        return TensorBoardSink(path, step, 0, CONFIG.dimension, settings)

    run(CONFIG, logs / "first run", sinks=[sink])
    return logs


@pytest.fixture(scope="module")
def open_tab(browser, served, logs):
    """A function that opens a tab by its name in the address."""
    with served(logs) as address:

        def open_one(name):
            page = browser.new_page(viewport={"width": 1500, "height": 1000})
            page.set_default_timeout(60_000)
            page.goto(f"{address}#{name}")
            return page

        yield open_one


def test_every_margin_chart_draws_its_band(open_tab, screenshots):
    """A chart whose value and bounds are at other steps shows an error instead."""
    page = open_tab("custom_scalars")
    cards = page.locator("tf-custom-scalar-margin-chart-card")
    cards.first.wait_for()
    cards.first.get_by_text("Matches (1)").wait_for()
    assert page.get_by_text("Hessian, class 0").count() == 1
    assert page.get_by_text("do not match").count() == 0
    page.screenshot(path=screenshots / "stock-custom-scalars.png")


def test_the_text_is_the_whole_timeline(open_tab, logs, screenshots):
    timeline = Timeline()
    for record in load(logs / "first run").records:
        timeline.add(record)
    page = open_tab("text")
    # The tab's own layout is a table of tables; the last step comes first.
    table = page.locator("table:not(:has(table))").first
    table.wait_for()
    shown = [cell.strip() for cell in table.locator("td").all_inner_texts()]
    assert shown == [cell for row in rows(timeline)[1:] for cell in row]
    assert len(shown) > 6
    page.screenshot(path=screenshots / "stock-text.png")


def test_measured_and_predicted_histograms_are_there(open_tab, screenshots):
    page = open_tab("histograms")
    for kind in ("measured", "predicted"):
        page.get_by_text(f"{kind}/hessian/class_0/bulk").first.wait_for()
    page.screenshot(path=screenshots / "stock-histograms.png")


def test_the_configuration_stands_beside_the_errors(open_tab, screenshots):
    page = open_tab("hparams")
    page.get_by_text("first run").first.wait_for()
    page.get_by_text("optimiser.scaled_learning_rate").first.wait_for()
    page.get_by_text("hessian/outliers").first.wait_for()
    assert page.get_by_text("80.000").count() >= 1
    page.screenshot(path=screenshots / "stock-hparams.png")
