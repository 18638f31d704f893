"""The page: what was run, what was found, how far it is from theory, and how to have it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from string import Template

import yaml

from ...probes.records.record import Record
from ...probes.records.record_file import Run
from ...probes.records.sources import sources
from ..figures.figure import RunFigure
from ..figures.run_figures import RUN_FIGURES
from ..readings import blocks, clock, failed
from ..timeline import Happening, Timeline, rows
from .errors import error_tables
from .markup import number, paragraph, picture, preformatted, section, table

__all__ = ["is_report", "report"]

_PAGE = Path(__file__).with_name("page.html")


def is_report(path: Path) -> bool:
    """Whether there is nothing in the file but a report, or nothing at all."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        begin = file.read(2**12)
    return not begin or b'<meta name="generator" content="spectrain">' in begin


def report(
    run: Run,
    name: str,
    notices: Sequence[str] = (),
    figures: Sequence[RunFigure] = RUN_FIGURES,
    texts: Sequence[str] = (),
) -> str:
    """The report on a run as an HTML page that needs nothing else.

    Args:
        run: what is reported; it may be empty, cut short, or without theory.
        name: of the run, as it is shown; any text.
        notices: what went wrong when the run was read.
        figures: are shown where the run holds what they show.
        texts: paragraphs on what was run.
    """
    title = f"Report on {name}"
    parts = {
        "Figures": _figures(run, figures),
        "Errors": _errors(run.records),
        "Transitions": _transitions(run.records),
        "What failed": _failures(run.records),
        "Configuration": _configuration(run),
        "Environment": _environment(run),
        "How to reproduce": _reproduction(run),
        "Citations": _citations(run.records),
    }
    contents = (f'<li><a href="#{_anchor(each)}">{escape(each)}</a></li>' for each in parts)
    summary = [paragraph(_summary(run)), *map(paragraph, texts)]
    summary += [paragraph(_extent(run.records), "faint")]
    summary += [paragraph(text, "missing") for text in (*notices, *_missing(run))]
    return Template(_PAGE.read_text("utf-8")).substitute(
        title=escape(title),
        summary="\n".join(summary),
        contents="".join(contents),
        sections="\n".join(section(head, *body) for head, body in parts.items()),
        footer=escape("Made by spectrain from the run's data file alone."),
    )


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _summary(run: Run) -> str:
    config = run.config
    facts = [str(config["system"])] if "system" in config else []
    for key, words in (
        ("dimension", "d = {}"),
        ("aspect_ratio", "aspect ratio {}"),
        ("seed", "seed {}"),
    ):
        if key in config:
            facts.append(words.format(config[key]))
    names = blocks(run.records)
    if names:
        facts.append(("block: " if len(names) == 1 else "blocks: ") + ", ".join(names))
    return "; ".join(facts) or "A run without a configuration."


def _extent(records: Sequence[Record]) -> str:
    if not records:
        return "No probing."
    times, label = clock(records)
    count = f"{len(records)} probing" + ("s" if len(records) > 1 else "")
    spent = sum(sum(record.seconds.values()) for record in records)
    return (
        f"{count}, steps {records[0].step} to {records[-1].step} "
        f"({label}: {times[0]:.4g} to {times[-1]:.4g}); probing took {spent:.3g} s in all."
    )


def _missing(run: Run) -> Iterator[str]:
    """What a reader may look for in vain, and why."""
    records = run.records
    if not records:
        yield "The data file holds no record: nothing was measured, or the run was stopped before."
        return
    incomplete = sum(bool(record.failures) for record in records)
    if incomplete:
        yield f"{incomplete} of {len(records)} probings are incomplete; see What failed."
    if not all(map(failed, records)):
        if not any(record.predicted for record in records):
            yield "Nothing is predicted: the probe had no theory."
        elif not any(record.forecast for record in records):
            yield "Nothing is forecast: the theory was not told of the algorithm."
    epochs = run.config.get("epochs")
    last = records[-1].epoch
    if isinstance(epochs, int) and last < epochs:
        yield f"The run is not complete: {last:g} of {epochs} epochs are recorded."


def _figures(run: Run, figures: Sequence[RunFigure]) -> list[str]:
    shown = [figure for figure in figures if figure.shows(run)]
    if not shown:
        return [paragraph("The run holds nothing that a figure shows.", "missing")]
    return [picture(figure.draw(run, 2), figure.title, figure.text) for figure in shown]


def _errors(records: Sequence[Record]) -> list[str]:
    tables = [each for each in error_tables(records) if each]
    if not tables:
        return [paragraph("No record holds both a measurement and a prediction.")]
    words = (
        "z is the difference in standard errors of the measurement, or, where it has none, in "
        "standard deviations of a run; predictions are limits for large d, and are off by more at "
        "finite d. Clear: the predicted outlier lies beyond the detection edge; undecided: it may "
        "not be told from the bulk at this size."
    )
    return [paragraph(words, "faint"), *tables]


def _transitions(records: Sequence[Record]) -> list[str]:
    timeline = Timeline()
    for record in records:
        timeline.add(record)
    theory = [each for each in timeline.happenings if each.is_foreseen]
    others = [each for each in timeline.happenings if not each.is_foreseen]
    words = (
        "Steps of the first probing that shows the change. At finite size an outlier can be told "
        "from the bulk beyond the detection edge only. Measured: an eigenvalue passes it; "
        "detectable: the predicted outlier passes it, which is what to compare with; predicted "
        "(from the statistics measured at the step) and forecast (from the initial ones): the "
        "outlier meets the bulk."
    )
    parts = [paragraph(words, "faint")] if theory or others else []
    parts.append(_transition_table("Transitions of theory", theory))
    if not theory:
        parts.append(paragraph("No transition is predicted or forecast."))
    if others:
        inner = _transition_table("Passages alone", others)
        summary = f"{len(others)} passages of the detection edge without a transition in theory"
        parts.append(f"<details><summary>{escape(summary)}</summary>{inner}</details>")
    return parts


def _transition_table(caption: str, happenings: Sequence[Happening]) -> str:
    head, *body = rows(happenings)
    return table(caption, head, body)


def _failures(records: Sequence[Record]) -> list[str]:
    rows = [
        (number(record.step, "d"), failure.matrix or failure.part, failure.block, failure.reason)
        for record in records
        for failure in record.failures
    ]
    if not rows:
        return [paragraph("Nothing." if records else "There was no probing.")]
    return [table("What failed", ("step", "what", "block", "reason"), rows)]


def _configuration(run: Run) -> list[str]:
    if not run.config:
        return [paragraph("The data file holds no configuration.")]
    return [preformatted(_yaml(run))]


def _yaml(run: Run) -> str:
    return yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True, default_flow_style=None)


def _environment(run: Run) -> list[str]:
    if not run.environment:
        return [paragraph("The data file does not say where the run began.")]
    rows = ((name, str(value)) for name, value in run.environment.items())
    return [table("Where the run began", ("what", "version or number"), rows)]


def _reproduction(run: Run) -> list[str]:
    parts = []
    if "system" in run.config:
        parts = [
            paragraph(
                "Save the configuration above as config.yaml. The same versions on the same kind "
                "of machine give the same weights and records, wall times aside."
            ),
            preformatted("spectrain train config.yaml --folder again"),
        ]
    else:
        parts = [paragraph("The loop was written by hand: the data file does not hold it.")]
    parts.append(paragraph("Figures, numbers and this page from the data file:"))
    commands = ("figures RUN", "export RUN --format csv", "report RUN")
    parts.append(preformatted("\n".join(f"spectrain {command}" for command in commands)))
    return parts


def _citations(records: Sequence[Record]) -> list[str]:
    items = [
        f"<li>{escape(each.authors)}: <cite>{escape(each.title)}</cite>, "
        f'<a href="https://arxiv.org/abs/{each.arxiv}">arXiv {each.arxiv}</a> '
        f"({escape(each.used_for)}).</li>"
        for each in sources(records)
    ]
    items.append("<li>The spectrain authors: <cite>spectrain</cite> (this software).</li>")
    return ["<ul>" + "\n".join(items) + "</ul>"]
