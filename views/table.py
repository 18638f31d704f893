"""The closing table: how far measurements are from what theory predicts, first as data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..probes.distance import cdf_distance
from ..probes.record import Record
from ..theory.spectrum import Matrix, Spectrum
from .readings import (
    SIDES,
    Side,
    both,
    clock,
    estimate,
    is_clear,
    is_outlier,
    landmarks,
    outlier_count,
    pairs,
)

__all__ = [
    "BulkDistance",
    "Comparison",
    "CountAgreement",
    "GramDifference",
    "bulk_distances",
    "comparisons",
    "count_agreements",
    "format_table",
    "gram_differences",
]

_CURVATURE = {"unit": "loss per squared parameter"}
_SHARE = {"unit": "1, between 0 and 1"}
_MISSING = "–"


@dataclass(frozen=True)
class Comparison:
    """One outlier at one record, measured beside predicted; pairs are of equal rank.

    Attributes:
        time: t = steps × c/d; epochs or steps without theory.
        side: "top" or "bottom" of the spectrum.
        rank: from 1, the most extreme first.
        measured: mean over the draws of the probe sample; NaN if not measured.
        error: standard error of ``measured``.
        draws: number of probe samples behind ``measured``.
        predicted: NaN if no outlier of this rank is predicted.
        difference: (measured - predicted) / |predicted|.
        clear: whether the predicted outlier lies beyond the detection edge; if not, whether it
            can be seen at this size is undecided.
        measured_overlap: of the first draw's eigenvector with span(x, mu).
        predicted_overlap: the same, predicted.
    """

    step: int = field(metadata={"unit": "optimiser steps"})
    time: float = field(metadata={"unit": "steps times scaled step size / d"})
    matrix: Matrix = field(metadata={"unit": "none"})
    block: str = field(metadata={"unit": "none"})
    side: Side = field(metadata={"unit": "none"})
    rank: int = field(metadata={"unit": "none"})
    measured: float = field(metadata=_CURVATURE)
    error: float = field(metadata=_CURVATURE)
    draws: int = field(metadata={"unit": "probe samples"})
    predicted: float = field(metadata=_CURVATURE)
    difference: float = field(metadata={"unit": "1"})
    clear: bool = field(metadata={"unit": "none"})
    measured_overlap: float = field(metadata=_SHARE)
    predicted_overlap: float = field(metadata=_SHARE)


@dataclass(frozen=True)
class GramDifference:
    """Largest deviation of the Gram matrix from the effective dynamics at one record.

    Attributes:
        time: t = steps × c/d.
        largest: max |measured - forecast| over the entries.
        scaled: ``largest`` in units of d^(-1/2), the scale of a single run's fluctuations.
    """

    step: int = field(metadata={"unit": "optimiser steps"})
    time: float = field(metadata={"unit": "steps times scaled step size / d"})
    largest: float = field(metadata={"unit": "squared parameter"})
    scaled: float = field(metadata={"unit": "d^(-1/2) squared parameter"})


@dataclass(frozen=True)
class CountAgreement:
    """How often as many outliers are measured as predicted, in one block.

    Attributes:
        agreeing: probings with equal counts on each side, among the decided ones.
        decided: probings at which every predicted outlier is clear of the detection edge.
        probings: all probings with a prediction.
    """

    matrix: Matrix = field(metadata={"unit": "none"})
    block: str = field(metadata={"unit": "none"})
    agreeing: int = field(metadata={"unit": "probings"})
    decided: int = field(metadata={"unit": "probings"})
    probings: int = field(metadata={"unit": "probings"})


@dataclass(frozen=True)
class BulkDistance:
    """Kolmogorov distance between measured and predicted spectrum of one block.

    Attributes:
        mean: over the records.
        largest: over the records.
        step: where it is largest.
        hard: whether the predicted bulk ends at zero in a singular density, which Lanczos does
            not resolve: the distance is then that of the quadrature.
    """

    matrix: Matrix = field(metadata={"unit": "none"})
    block: str = field(metadata={"unit": "none"})
    mean: float = field(metadata=_SHARE)
    largest: float = field(metadata=_SHARE)
    step: int = field(metadata={"unit": "optimiser steps"})
    hard: bool = field(default=False, metadata={"unit": "none"})


def comparisons(records: Sequence[Record]) -> tuple[Comparison, ...]:
    """Every outlier, predicted or measured, at the first, the middle and the last record."""
    shown = landmarks([record for record in records if not record.failure])
    times, _ = clock(shown)
    return tuple(
        comparison
        for record, time in zip(shown, times, strict=True)
        for measured, predicted in both(record)
        for side in SIDES
        for comparison in _compare(record.step, float(time), measured, predicted, side)
    )


def gram_differences(records: Sequence[Record], dimension: int) -> tuple[GramDifference, ...]:
    """Deviation of the measured Gram matrix from its forecast, one row for each record with both.

    Args:
        records: of one run, in order.
        dimension: d, the length of a direction.
    """
    rows = []
    for record in records:
        measured = record.measured.gram
        forecast = record.forecast.gram if record.forecast is not None else None
        if forecast is not None and measured.size and forecast.shape == measured.shape:
            largest = float(np.abs(measured - forecast).max())
            scaled = largest * math.sqrt(dimension)
            rows.append(GramDifference(record.step, record.time, largest, scaled))
    return tuple(rows)


def count_agreements(records: Sequence[Record]) -> tuple[CountAgreement, ...]:
    """Counts of measured eigenvalues beyond the predicted detection edge against predicted ones."""
    totals: dict[tuple[Matrix, str], list[int]] = {}
    for record in records:
        for measured, predicted in both(record):
            total = totals.setdefault((predicted.matrix, predicted.block), [0, 0, 0])
            decided = all(
                is_clear(pair, predicted.bulk, side)
                for side in SIDES
                for pair in pairs(predicted, side)
            )
            equal = all(
                outlier_count(measured, predicted.bulk, side) == len(pairs(predicted, side))
                for side in SIDES
            )
            total[0] += decided and equal
            total[1] += decided
            total[2] += 1
    return tuple(CountAgreement(*key, *total) for key, total in totals.items())


def bulk_distances(records: Sequence[Record]) -> tuple[BulkDistance, ...]:
    """Distance of cumulative distributions, for every matrix and block with both densities."""
    found: dict[tuple[Matrix, str], list[tuple[float, int]]] = {}
    hard: set[tuple[Matrix, str]] = set()
    for record in records:
        for measured, predicted in both(record):
            if measured.density is not None and predicted.density is not None:
                distance = cdf_distance(measured.density, predicted.density)
                key = (predicted.matrix, predicted.block)
                found.setdefault(key, []).append((distance, record.step))
                if predicted.bulk is not None and predicted.bulk.lower.kind == "hard":
                    hard.add(key)
    return tuple(
        BulkDistance(
            *key, float(np.mean([distance for distance, _ in rows])), *max(rows), key in hard
        )
        for key, rows in found.items()
    )


def format_table(records: Sequence[Record], dimension: int) -> str:
    """The whole comparison as text.

    Args:
        records: of one run, in order.
        dimension: d, the length of a direction.
    """
    parts = [
        _format_outliers(records),
        _format_gram(records, dimension),
        _format_counts(records),
        _format_distances(records),
    ]
    failed = [record for record in records if record.failure]
    if failed:
        parts.append(
            f"{len(failed)} of {len(records)} probings failed, the first at step "
            f"{failed[0].step}: {failed[0].failure}"
        )
    text = "\n\n".join(part for part in parts if part)
    return text or "Nothing to compare: no record holds both a measurement and a prediction."


def _compare(
    step: int, time: float, measured: Spectrum, predicted: Spectrum, side: Side
) -> Iterable[Comparison]:
    seen, expected = pairs(measured, side), pairs(predicted, side)
    for place in range(max(len(seen), len(expected))):
        found = seen[place] if place < len(seen) else None
        theory = expected[place] if place < len(expected) else None
        value, error = estimate(found) if found is not None else (math.nan, math.nan)
        if theory is None and not is_outlier(value, predicted.bulk, side):
            continue
        target = theory.value if theory is not None else math.nan
        yield Comparison(
            step=step,
            time=time,
            matrix=predicted.matrix,
            block=predicted.block,
            side=side,
            rank=place + 1,
            measured=value,
            error=error,
            draws=max(1, len(found.draws)) if found is not None else 0,
            predicted=target,
            difference=(value - target) / abs(target) if target else math.nan,
            clear=theory is not None and is_clear(theory, predicted.bulk, side),
            measured_overlap=found.overlap if found is not None else math.nan,
            predicted_overlap=theory.overlap if theory is not None else math.nan,
        )


def _format_outliers(records: Sequence[Record]) -> str:
    rows = comparisons(records)
    if not rows:
        return ""
    label = clock([record for record in records if not record.failure])[1]
    symbol = "t" if label.startswith("time t") else label
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
            _verdict(row),
        )
        for row in rows
    ]
    return "Outliers (loss per squared parameter)\n" + _aligned([head, *body])


def _verdict(row: Comparison) -> str:
    if math.isnan(row.predicted):
        return "not predicted"
    if math.isnan(row.measured):
        return "not measured"
    return "clear" if row.clear else "undecided"


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
