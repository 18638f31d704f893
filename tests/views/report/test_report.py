import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from spectrain.cli import main
from spectrain.probes.records.record import Failure, Record
from spectrain.probes.records.record_file import RecordFile, Run
from spectrain.probes.records.sources import sources
from spectrain.theory.direction import Direction
from spectrain.views.figures import style
from spectrain.views.figures.figure import RunFigure
from spectrain.views.figures.run_figures import RUN_FIGURES
from spectrain.views.report import report
from spectrain.views.timeline import Timeline, rows

HOSTILE = "<script>alert('x')</script><img src=x onerror=\"alert(1)\"> & $$ ${title} größe"
ENVIRONMENT = {"python": "3.11", "torch": "2.13.0"}
CONFIG = {"system": "softmax-mixture", "dimension": 80, "epochs": 6, "mixture": {"snr": 3.0}}
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page taken apart; fails where elements are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text(records):
    return report(Run(CONFIG, records, ENVIRONMENT), "first")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_all_sections_are_there_and_can_be_reached(page):
    headings = ["Figures", "Errors", "Transitions", "What failed", "Configuration"]
    headings += ["Environment", "How to reproduce", "Citations"]
    names = [attributes["id"] for attributes in page.all("section")]
    assert names == [heading.lower().replace(" ", "-") for heading in headings]
    links = [attributes["href"] for attributes in page.all("a")]
    assert links[: len(names)] == [f"#{name}" for name in names]
    assert len(page.all("h1")) == 1


def test_the_page_needs_neither_network_nor_scripts(page, text):
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form"})
    assert all(attributes["src"].startswith("data:image/") for attributes in page.all("img"))
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "url(" not in text
    assert "@import" not in text
    hosts = {
        attributes["href"].split("/")[2]
        for attributes in page.all("a")
        if "/" in attributes["href"]
    }
    assert hosts == {"arxiv.org"}


def test_pictures_have_descriptions_and_are_whole(page):
    pictures = page.all("img")
    assert len(pictures) == 6
    for attributes in pictures:
        assert len(attributes["alt"]) > 30
        kind, data = re.fullmatch(r"data:image/([\w+]+);base64,(.*)", attributes["src"]).groups()
        start = {"png": b"\x89PNG", "svg+xml": b"<?xml"}[kind]
        assert base64.b64decode(data, validate=True).startswith(start)


def test_tables_have_captions_and_column_heads(page):
    tables = page.all("table")
    assert len(tables) == len(page.all("caption")) >= 6
    assert all(attributes["scope"] == "col" for attributes in page.all("th"))


def test_it_says_what_was_run_and_where_and_how_to_have_it_again(page):
    assert "softmax-mixture; d = 80; blocks: class 0, class 1, class 2" in page.text
    assert "snr: 3.0" in page.text
    assert "2.13.0" in page.text
    assert "spectrain train config.yaml" in page.text


def test_outliers_are_compared_in_standard_errors(text, records):
    pair = records[0].measured.spectrum("hessian", "class 0").top[0]
    predicted = records[0].predicted.spectrum("hessian", "class 0").top[0].value
    mean = pair.draws.mean()
    error = pair.draws.std(ddof=1) / len(pair.draws) ** 0.5
    row = re.search(
        r"<tr><td class=\"number\">0</td><td>Hessian</td><td>class 0</td>.*?</tr>", text
    )
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row[0])
    expected = (f"{mean:#.4g}", f"{error:#.2g}", f"{predicted:#.4g}")
    assert cells[4:7] == list(expected)
    assert cells[8] == f"{(mean - predicted) / error:+.1f}".replace("-", "−")


def test_transitions_are_those_of_the_timeline(text, records):
    timeline = Timeline()
    for record in records:
        timeline.add(record)
    section = text[text.index('id="transitions"') : text.index('id="what-failed"')]
    foreseen = [each for each in timeline.happenings if each.is_foreseen]
    others = [each for each in timeline.happenings if not each.is_foreseen]
    expected = [list(row) for part in (foreseen, others) for row in rows(part)[1:]]
    found = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall("<tr>.*?</tr>", section)]
    assert [row for row in found if row] == expected
    assert len(foreseen) > 3


def hostile(records):
    spectra = [replace(each, block=HOSTILE) for each in records[0].measured.spectra[:2]]
    predicted = [replace(each, block=HOSTILE) for each in records[0].predicted.spectra[:2]]
    first = replace(
        records[0],
        reference=(Direction(HOSTILE, "", True), *records[0].reference[1:]),
        measured=replace(records[0].measured, spectra=tuple(spectra)),
        predicted=replace(records[0].predicted, spectra=tuple(predicted)),
    )
    return first, Record(7, failures=(Failure("", HOSTILE),))


@pytest.mark.slow
def test_what_a_run_calls_itself_is_text(records):
    config = {"system": HOSTILE, HOSTILE: {HOSTILE: HOSTILE}, "seed": HOSTILE}
    text = report(Run(config, hostile(records), {HOSTILE: HOSTILE}), HOSTILE, [HOSTILE])
    page = Page(text)
    assert page.all("script") == []
    assert "onerror" not in {name for _, attributes in page.elements for name in attributes}
    assert all(attributes["src"].startswith("data:") for attributes in page.all("img"))
    shown = page.text
    assert shown.count("<script>alert('x')</script>") >= 6
    assert f"Report on {HOSTILE}" in shown


def test_any_run_has_a_page_that_says_what_is_missing(any_records):
    # That every figure takes any records is tested with the figures.
    figures = [figure for figure in RUN_FIGURES if figure.name == "quantities"]
    page = Page(report(Run({}, any_records), "any", figures=figures))
    kinds = [attributes.get("class") for attributes in page.all("p")]
    with_theory = any(record.predicted for record in any_records)
    failed = any(record.failure for record in any_records)
    if not any_records or failed or not with_theory:
        assert "missing" in kinds
    if not any_records:
        assert "holds no record" in page.text
        assert page.all("img") == []
        assert "The run holds nothing that a figure shows." in page.text
    if failed:
        assert "probings are incomplete" in page.text
    assert "holds no configuration" in page.text
    assert "does not say where the run began" in page.text


def test_figures_and_words_of_a_system_are_added(records):
    def draw(run, columns):
        figure = Figure(figsize=(style.WIDTHS[columns], 1))
        figure.subplots().set_title(f"{len(run.records)} records")
        return figure

    own = RunFigure("own", "Beads", HOSTILE, lambda run: len(run.records) > 1, draw)
    texts = ("An abacus has beads.", HOSTILE)
    page = Page(report(Run(CONFIG, records[:2]), "first", figures=[own], texts=texts))
    assert [attributes["alt"] for attributes in page.all("img")] == [HOSTILE]
    assert all(text in page.text for text in ("Beads.", *texts))
    lacking = Page(report(Run(CONFIG, records[:1]), "first", figures=[own]))
    assert lacking.all("img") == []


@pytest.mark.slow
def test_a_run_that_was_stopped_says_so(records):
    assert "3 of 6 epochs are recorded" in report(Run(CONFIG, records[:4]), "first")


def test_sources_are_those_of_what_is_shown_and_of_the_documentation(records):
    assert [source.arxiv for source in sources(())] == []
    found = {source.arxiv for source in sources(records)}
    assert {"2502.15655", "2206.04030", "2105.06595"} <= found
    bare = [replace(record, predicted=None, forecast=None) for record in records]
    assert [source.arxiv for source in sources(bare)] == ["2105.06595"]
    theory = (Path(__file__).parents[3] / "docs/theory.md").read_text("utf-8")
    assert all(identifier in theory for identifier in found)


@pytest.mark.slow
def test_the_command_reports_a_file_that_was_cut(records, tmp_path, capsys):
    folder = tmp_path / "a <b> run"
    folder.mkdir()
    file = RecordFile(folder / "records.jsonl", CONFIG)
    for record in records[:2]:
        file.write(record)
    file.close()
    content = (folder / "records.jsonl").read_bytes()
    (folder / "records.jsonl").write_bytes(content[:-5])
    assert main(["report", str(folder)]) == 0
    output = capsys.readouterr()
    assert output.out.strip() == str(folder / "report.html")
    assert output.err.startswith("spectrain: warning: records.jsonl: line 3")
    first = (folder / "report.html").read_text("utf-8")
    assert main(["report", str(folder), "--output", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_text("utf-8") == first
    page = Page(first)
    assert "Report on a <b> run" in page.text
    assert "is incomplete; what precedes it was read" in page.text
    assert str(tmp_path) not in page.text
