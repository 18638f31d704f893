"""The closing table: how far measurements are from what theory predicts, as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..probes.records.record import Record
from .comparisons import bulk_distances, comparisons, count_agreements, gram_differences
from .readings import clock, clock_symbol, failed

__all__ = ["format_table"]

_MISSING = "–"


def format_table(records: Sequence[Record], dimension: int | None) -> str:
    """The whole comparison as text.

    Args:
        records: of one run, in order.
        dimension: d, the length of a direction; None if there is none.
    """
    parts = [
        _format_outliers(records),
        _format_gram(records, dimension) if dimension is not None else "",
        _format_counts(records),
        _format_distances(records),
    ]
    incomplete = [record for record in records if record.failures]
    if incomplete:
        first = incomplete[0]
        parts.append(
            f"{len(incomplete)} of {len(records)} probings are incomplete, the first at step "
            f"{first.step}: {'; '.join(map(str, first.failures))}"
        )
    text = "\n\n".join(part for part in parts if part)
    return text or "Nothing to compare: no record holds both a measurement and a prediction."


def _format_outliers(records: Sequence[Record]) -> str:
    rows = comparisons(records)
    if not rows:
        return ""
    label = clock([record for record in records if not failed(record)])[1]
    symbol = clock_symbol(label)
    head = (
        symbol,
        "matrix",
        "block",
        "rank",
        "measured",
        "± s.e.",
        "draws",
        "predicted",
        "difference",
        "overlap",
        "predicted",
        "beyond the detection edge",
    )
    body = [
        (
            f"{row.time:.4g}",
            row.matrix,
            row.block,
            f"{row.side} {row.rank}",
            _number(row.measured, "#.4g"),
            _number(row.error, ".2g"),
            str(row.draws),
            _number(row.predicted, "#.4g"),
            _number(row.difference, "+.1%"),
            _number(row.measured_overlap, ".2f"),
            _number(row.predicted_overlap, ".2f"),
            row.verdict,
        )
        for row in rows
    ]
    return "Outliers (loss per squared parameter)\n" + _aligned([head, *body])


def _format_gram(records: Sequence[Record], dimension: int) -> str:
    rows = gram_differences(records, dimension)
    if not rows:
        return ""
    shown = {id(row): row for row in (rows[0], rows[len(rows) // 2], rows[-1])}
    lines = [
        f"  t = {row.time:<7.4g} max |measured - forecast| = {row.largest:.3g} "
        f"= {row.scaled:.2f} / sqrt(d)"
        for row in shown.values()
    ]
    worst = max(rows, key=lambda row: row.largest)
    lines.append(
        f"  worst     max |measured - forecast| = {worst.largest:.3g} "
        f"= {worst.scaled:.2f} / sqrt(d), at t = {worst.time:.4g}"
    )
    return f"Gram matrix against the effective dynamics, d = {dimension}\n" + "\n".join(lines)


def _format_counts(records: Sequence[Record]) -> str:
    rows = count_agreements(records)
    if not rows:
        return ""
    body: list[tuple[str, ...]] = [
        (
            row.matrix,
            row.block,
            f"{row.agreeing} of {row.decided}",
            _number(row.agreeing / row.decided if row.decided else math.nan, ".0%"),
            str(row.probings - row.decided),
        )
        for row in rows
    ]
    agreeing, decided = sum(row.agreeing for row in rows), sum(row.decided for row in rows)
    body.append(
        (
            "all",
            "",
            f"{agreeing} of {decided}",
            _number(agreeing / decided if decided else math.nan, ".0%"),
            str(sum(row.probings - row.decided for row in rows)),
        )
    )
    head = ("matrix", "block", "agree", "share", "undecided")
    return "Counts of outliers, measured against predicted\n" + _aligned([head, *body])


def _format_distances(records: Sequence[Record]) -> str:
    rows = bulk_distances(records)
    if not rows:
        return ""
    body = [
        (
            row.matrix,
            row.block,
            f"{row.mean:.4f}",
            f"{row.largest:.4f}",
            str(row.step),
            "hard edge at zero, not resolved by the measurement" if row.hard else "",
        )
        for row in rows
    ]
    head = ("matrix", "block", "mean", "largest", "at step", "")
    title = "Kolmogorov distance of measured and predicted spectrum"
    return f"{title}\n" + _aligned([head, *body])


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else _MISSING


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to equal width: words to the left, numbers to the right."""
    columns = list(zip(*rows, strict=True))
    padded = []
    for column in columns:
        width = max(map(len, column))
        numeric = all(cell[:1] in f"+-.0123456789{_MISSING}" for cell in column[1:])
        padded.append([cell.rjust(width) if numeric else cell.ljust(width) for cell in column])
    return "\n".join("  " + "  ".join(row).rstrip() for row in zip(*padded, strict=True))
