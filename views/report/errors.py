"""The tables of errors: measured against predicted, each difference in its standard errors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ...probes.records.record import Record
from ...theory.matrix_kind import kind_named
from ..comparisons import bulk_distances, comparisons, count_agreements
from ..readings import failed, gram_difference, landmarks
from .markup import Cell, number, table

__all__ = ["error_tables"]


def error_tables(records: Sequence[Record]) -> list[str]:
    """Outliers, loss and Gram matrix at the start, in the middle and at the end; counts; bulks."""
    sound = [record for record in records if not failed(record)]
    return [
        table(
            "Outliers (loss per squared parameter)",
            ("step", "matrix", "block", "outlier", "measured", "s.e.", "predicted", "difference",
             "z", "overlap", "predicted overlap", "verdict"),
            _outliers(records),
        ),
        table(
            "Loss, accuracy and Gram matrix (squared parameter) against their forecast",
            ("step", "quantity", "measured", "forecast", "difference", "standard error", "z"),
            _means(landmarks(sound)),
        ),
        table(
            "Numbers of outliers: probings with as many measured as predicted, among those where "
            "every predicted outlier is clear of the detection edge",
            ("matrix", "block", "agree", "of", "share", "undecided"),
            (
                (
                    kind_named(row.matrix).title, row.block, number(row.agreeing, "d"),
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
                    kind_named(row.matrix).title, row.block, number(row.mean, ".4f"),
                    number(row.largest, ".4f"), number(row.step, "d"),
                    "hard edge at zero, not resolved by the measurement" if row.hard else "",
                )
                for row in bulk_distances(records)
            ),
        ),
    ]  # fmt: skip


def _outliers(records: Sequence[Record]) -> Iterator[Sequence[Cell]]:
    for row in comparisons(records):
        yield (
            number(row.step, "d"), kind_named(row.matrix).title, row.block,
            f"{row.side} {row.rank}",
            number(row.measured), number(row.error, "#.2g"), number(row.predicted),
            number(row.difference, "+.1%"),
            number(_z(row.measured - row.predicted, row.error), "+.1f"),
            number(row.measured_overlap, ".2f"), number(row.predicted_overlap, ".2f"), row.verdict,
        )  # fmt: skip


def _means(records: Sequence[Record]) -> Iterator[Sequence[Cell]]:
    for record in records:
        if record.forecast is None:
            continue
        for name in ("loss", "accuracy"):
            measured = getattr(record.measured, name)
            forecast = getattr(record.forecast, name)
            if math.isfinite(measured) and math.isfinite(forecast):
                error = getattr(record.measured, f"{name}_error")
                yield _mean(record.step, name, measured, forecast, error)
        difference = gram_difference(record)
        if difference is not None:
            gram, forecast = record.measured.gram, record.forecast.gram
            band = record.forecast.gram_band
            errors = band if band.shape == gram.shape else np.full_like(gram, math.nan)
            known = np.isfinite(errors).any()
            scores = np.abs(difference) / (np.where(errors > 0, errors, math.inf) if known else 1)
            a, b = np.unravel_index(int(np.nanargmax(scores)), gram.shape)
            names = record.directions
            entry = f"{names[a]}·{names[b]}" if max(a, b) < len(names) else f"{a}, {b}"
            title = f"Gram matrix, worst entry ({entry})"
            yield _mean(record.step, title, gram[a, b], forecast[a, b], errors[a, b])


def _mean(step: int, name: str, measured: float, forecast: float, error: float) -> Sequence[Cell]:
    difference = measured - forecast
    return (
        number(step, "d"), name, number(measured), number(forecast),
        number(difference, "+#.2g"), number(error, "#.2g"), number(_z(difference, error), "+.1f"),
    )  # fmt: skip


def _z(difference: float, error: float) -> float:
    return difference / error if error > 0 else math.nan
