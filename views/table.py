"""The closing table: how far measurements are from what theory predicts, as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..probes.records.record import Record
from .comparisons import (
    QuantityComparison,
    bulk_distances,
    comparisons,
    count_agreements,
    quantity_comparisons,
)
from .quantities import entry_title
from .readings import clock, clock_symbol, failed, landmarks, matrices, units

__all__ = ["format_table"]

_MISSING = "–"


def format_table(records: Sequence[Record]) -> str:
    """The whole comparison of one run, its records in order, as text."""
    parts = [
        _format_outliers(records),
        _format_quantities(records),
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
    return f"Outliers ({units(matrices(records))})\n" + _aligned([head, *body])


def _format_quantities(records: Sequence[Record]) -> str:
    sound = [record for record in records if record.measured.quantities]
    rows = quantity_comparisons(sound)
    if not rows:
        return ""
    steps = {record.step for record in landmarks(sound)}
    largest: dict[tuple[str, str], QuantityComparison] = {}
    for row in rows:
        key = row.quantity, row.against
        if key not in largest or abs(row.worst.difference) > abs(largest[key].worst.difference):
            largest[key] = row
    shown = [row for row in rows if row.step in steps or row in largest.values()]
    shown.sort(key=lambda row: (list(largest).index((row.quantity, row.against)), row.step))
    head = (
        clock_symbol(clock(sound)[1]),
        "quantity",
        "against",
        "measured",
        "expected",
        "difference",
        "± s.d.",
        "z",
        "unit",
    )
    body = [
        (
            f"{row.time:.4g}",
            entry_title(row.worst),
            row.against,
            _number(row.worst.measured.value, "#.4g"),
            _number(row.worst.expected.value, "#.4g"),
            _number(row.worst.difference, "+.2g"),
            _number(row.worst.spread, ".2g"),
            _number(row.worst.deviation, "+.1f"),
            row.worst.any.unit + ("  (largest)" if row in largest.values() else ""),
        )
        for row in shown
        if row.worst.measured is not None and row.worst.expected is not None
    ]
    return "Quantities, of several numbers the worst\n" + _aligned([head, *body])


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
