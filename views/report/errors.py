"""The tables of errors: measured against predicted, each difference in its standard errors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ...probes.records.record import Record
from ...theory.matrix_kind import MatrixKind, kind_named
from ..comparisons import bulk_distances, comparisons, count_agreements, quantity_comparisons
from ..quantities import entry_title
from ..readings import landmarks, matrices, units
from .markup import Cell, number, table

__all__ = ["error_tables"]


def error_tables(records: Sequence[Record]) -> list[str]:
    """Outliers and quantities at the start, in the middle and at the end; counts; bulks."""
    kinds = matrices(records)
    with_quantities = [record for record in records if record.measured.quantities]
    return [
        table(
            f"Outliers ({units(kinds)})",
            ("step", "matrix", "block", "outlier", "measured", "s.e.", "predicted", "difference",
             "z", "overlap", "predicted overlap", "verdict"),
            _outliers(records, kinds),
        ),
        table(
            "Quantities against what is predicted and forecast; of several numbers the worst",
            ("step", "quantity", "unit", "measured", "against", "expected", "difference",
             "standard error or deviation", "z"),
            _quantities(landmarks(with_quantities)),
        ),
        table(
            "Numbers of outliers: probings with as many measured as predicted, among those where "
            "every predicted outlier is clear of the detection edge",
            ("matrix", "block", "agree", "of", "share", "undecided"),
            (
                (
                    kind_named(row.matrix, kinds).title, row.block, number(row.agreeing, "d"),
                    number(row.decided, "d"),
                    number(row.agreeing / row.decided if row.decided else math.nan, ".0%"),
                    number(row.probings - row.decided, "d"),
                )
                for row in count_agreements(records)
            ),
        ),
        table(
            "Kolmogorov distance of measured and predicted spectrum (share of eigenvalues)",
            ("matrix", "block", "mean", "largest", "at step", ""),
            (
                (
                    kind_named(row.matrix, kinds).title, row.block, number(row.mean, ".4f"),
                    number(row.largest, ".4f"), number(row.step, "d"),
                    "hard edge at zero, not resolved by the measurement" if row.hard else "",
                )
                for row in bulk_distances(records)
            ),
        ),
    ]  # fmt: skip


def _outliers(records: Sequence[Record], kinds: Sequence[MatrixKind]) -> Iterator[Sequence[Cell]]:
    for row in comparisons(records):
        yield (
            number(row.step, "d"), kind_named(row.matrix, kinds).title, row.block,
            f"{row.side} {row.rank}",
            number(row.measured), number(row.error, "#.2g"), number(row.predicted),
            number(row.difference, "+.1%"),
            number(_z(row.measured - row.predicted, row.error), "+.1f"),
            number(row.measured_overlap, ".2f"), number(row.predicted_overlap, ".2f"), row.verdict,
        )  # fmt: skip


def _quantities(records: Sequence[Record]) -> Iterator[Sequence[Cell]]:
    for row in quantity_comparisons(records):
        entry = row.worst
        if entry.measured is None or entry.expected is None:
            continue
        words = entry_title(entry) if row.is_single else f"{entry_title(entry)} (worst)"
        yield (
            number(row.step, "d"), words, entry.any.unit, number(entry.measured.value),
            row.against, number(entry.expected.value), number(entry.difference, "+#.2g"),
            number(entry.spread, "#.2g"), number(entry.deviation, "+.1f"),
        )  # fmt: skip


def _z(difference: float, error: float) -> float:
    return difference / error if error > 0 else math.nan
