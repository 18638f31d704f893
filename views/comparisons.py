"""Comparisons of what was measured with what theory predicts, as data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..probes.records.distance import cdf_distance
from ..probes.records.outliers import estimate, is_clear, is_outlier, outlier_count, pairs
from ..probes.records.record import Record
from ..theory.spectrum import ENDS, End, Spectrum
from .quantities import Compared, compared_quantities, worst
from .readings import both, clock, failed, landmarks, relative_difference

__all__ = [
    "BulkDistance",
    "Comparison",
    "CountAgreement",
    "QuantityComparison",
    "bulk_distance",
    "bulk_distances",
    "compared",
    "comparisons",
    "count_agreements",
    "counts_agree",
    "quantity_comparisons",
]

_CURVATURE = {"unit": "that of the matrix"}
_SHARE = {"unit": "1, between 0 and 1"}


@dataclass(frozen=True)
class Comparison:
    """One outlier at one record, measured beside predicted; pairs are of equal rank.

    Attributes:
        time: of the clock of the dynamics; epochs or steps without theory.
        side: "top" or "bottom" of the spectrum.
        rank: from 1, the most extreme first.
        measured: mean over the draws of the probe sample; NaN if not measured.
        error: standard error of ``measured``.
        draws: number of probe samples behind ``measured``.
        predicted: NaN if no outlier of this rank is predicted.
        difference: (measured - predicted) / |predicted|.
        clear: whether the predicted outlier lies beyond the detection edge; if not, whether it
            can be seen at this size is undecided.
        measured_overlap: of the first draw's eigenvector with the span of the reference directions.
        predicted_overlap: the same, predicted.
    """

    step: int = field(metadata={"unit": "optimiser steps"})
    time: float = field(metadata={"unit": "see Record"})
    matrix: str = field(metadata={"unit": "none"})
    block: str = field(metadata={"unit": "none"})
    side: End = field(metadata={"unit": "none"})
    rank: int = field(metadata={"unit": "none"})
    measured: float = field(metadata=_CURVATURE)
    error: float = field(metadata=_CURVATURE)
    draws: int = field(metadata={"unit": "probe samples"})
    predicted: float = field(metadata=_CURVATURE)
    difference: float = field(metadata={"unit": "1"})
    clear: bool = field(metadata={"unit": "none"})
    measured_overlap: float = field(metadata=_SHARE)
    predicted_overlap: float = field(metadata=_SHARE)

    @property
    def verdict(self) -> str:
        """What the comparison is worth, in a word or two."""
        if math.isnan(self.predicted):
            return "not predicted"
        if math.isnan(self.measured):
            return "not measured"
        return "clear" if self.clear else "undecided"


@dataclass(frozen=True)
class QuantityComparison:
    """One quantity at one record, measured beside predicted or forecast: its worst number.

    Attributes:
        time: of the clock of the dynamics; epochs or steps without theory.
        quantity: its name.
        is_single: whether it has no other number.
        against: "predicted" or "forecast".
        worst: the number that is farthest off, see `worst`.
    """

    step: int = field(metadata={"unit": "optimiser steps"})
    time: float = field(metadata={"unit": "see Record"})
    quantity: str = field(metadata={"unit": "none"})
    is_single: bool = field(metadata={"unit": "none"})
    against: str = field(metadata={"unit": "none"})
    worst: Compared = field(metadata={"unit": "that of the quantity"})


@dataclass(frozen=True)
class CountAgreement:
    """How often as many outliers are measured as predicted, in one block.

    Attributes:
        agreeing: probings with equal counts on each side, among the decided ones.
        decided: probings at which every predicted outlier is clear of the detection edge, and
            enough eigenvalues were measured to count them.
        probings: all probings with a prediction.
    """

    matrix: str = field(metadata={"unit": "none"})
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

    matrix: str = field(metadata={"unit": "none"})
    block: str = field(metadata={"unit": "none"})
    mean: float = field(metadata=_SHARE)
    largest: float = field(metadata=_SHARE)
    step: int = field(metadata={"unit": "optimiser steps"})
    hard: bool = field(default=False, metadata={"unit": "none"})


def comparisons(records: Sequence[Record]) -> tuple[Comparison, ...]:
    """Every outlier, predicted or measured, at the first, the middle and the last record."""
    shown = landmarks([record for record in records if not failed(record)])
    times, _ = clock(shown)
    return tuple(
        comparison
        for record, time in zip(shown, times, strict=True)
        for comparison in compared(record, float(time))
    )


def compared(record: Record, time: float = math.nan) -> Iterator[Comparison]:
    """Every outlier, predicted or measured, of one record taken at a time."""
    for measured, predicted in both(record):
        for side in ENDS:
            yield from _compare(record.step, time, measured, predicted, side)


def quantity_comparisons(records: Sequence[Record]) -> tuple[QuantityComparison, ...]:
    """The worst number of each quantity at each record, against what is predicted and forecast."""
    times, _ = clock(records)
    return tuple(
        QuantityComparison(record.step, float(time), name, len(entries) == 1, against, found)
        for record, time in zip(records, times, strict=True)
        for name, entries in compared_quantities(record).items()
        for against, other in (("predicted", "forecast"), ("forecast", "predicted"))
        if (found := worst([replace(entry, **{other: None}) for entry in entries])) is not None
    )


def count_agreements(records: Sequence[Record]) -> tuple[CountAgreement, ...]:
    """Counts of measured eigenvalues beyond the predicted detection edge against predicted ones."""
    totals: dict[tuple[str, str], list[int]] = {}
    for record in records:
        for measured, predicted in both(record):
            total = totals.setdefault((predicted.matrix, predicted.block), [0, 0, 0])
            agree = [counts_agree(measured, predicted, side) for side in ENDS]
            total[0] += agree == [True, True]
            total[1] += None not in agree
            total[2] += 1
    return tuple(CountAgreement(*key, *total) for key, total in totals.items())


def counts_agree(measured: Spectrum, predicted: Spectrum, side: End) -> bool | None:
    """Whether as many outliers are measured as predicted.

    None where that is undecided: if a predicted one is not clear of the detection edge, if there is
    no such edge, or if fewer eigenvalues were measured than outliers are predicted and all of them
    are outliers.
    """
    expected, bulk = pairs(predicted, side), predicted.bulk
    if bulk is None or not all(is_clear(pair, bulk, side) for pair in expected):
        return None
    count = outlier_count(measured, bulk, side)
    if count == len(pairs(measured, side)) < len(expected):
        return None
    return count == len(expected)


def bulk_distances(records: Sequence[Record]) -> tuple[BulkDistance, ...]:
    """Distance of cumulative distributions, for every matrix and block with both densities."""
    found: dict[tuple[str, str], list[tuple[float, int]]] = {}
    hard: set[tuple[str, str]] = set()
    for record in records:
        for measured, predicted in both(record):
            distance = bulk_distance(measured, predicted)
            if math.isnan(distance):
                continue
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


def bulk_distance(measured: Spectrum, predicted: Spectrum) -> float:
    """Kolmogorov distance of two spectra; NaN where one has no density."""
    if measured.density is None or predicted.density is None:
        return math.nan
    atom = predicted.bulk.atom if predicted.bulk is not None else 0.0
    return cdf_distance(measured.density, predicted.density, atom)


def _compare(
    step: int, time: float, measured: Spectrum, predicted: Spectrum, side: End
) -> Iterator[Comparison]:
    seen, expected = pairs(measured, side), pairs(predicted, side)
    for place in range(max(len(seen), len(expected))):
        found = seen[place] if place < len(seen) else None
        theory = expected[place] if place < len(expected) else None
        if theory is None and not (found and is_outlier(found, predicted.bulk, side)):
            continue
        value, error = estimate(found) if found is not None else (math.nan, math.nan)
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
            difference=relative_difference(value, target),
            clear=theory is not None and is_clear(theory, predicted.bulk, side),
            measured_overlap=found.overlap if found is not None else math.nan,
            predicted_overlap=theory.overlap if theory is not None else math.nan,
        )
