"""Readings: the numbers that figures, boards and tables take out of records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np

from ..probes.record import Record, Transition
from ..theory.spectrum import Bulk, Edge, Eigenpair, FloatArray, Matrix, Spectrum

__all__ = [
    "MATRICES",
    "MATRIX_NAMES",
    "SIDES",
    "Side",
    "blocks",
    "both",
    "clock",
    "describe",
    "edge",
    "estimate",
    "is_beyond",
    "is_clear",
    "is_outlier",
    "landmarks",
    "last_inside",
    "outlier_count",
    "pairs",
]

Side = Literal["top", "bottom"]
SIDES: tuple[Side, ...] = ("top", "bottom")
MATRICES: tuple[Matrix, ...] = ("hessian", "information")
MATRIX_NAMES: dict[Matrix, str] = {"hessian": "Hessian", "information": "Information matrix"}

# Eigenvalues that are zero come out as rounding errors: below this share of the bulk's upper edge.
_ATOM_TOLERANCE = 1e-4


def pairs(spectrum: Spectrum | None, side: Side) -> tuple[Eigenpair, ...]:
    """Eigenpairs on one side, the most extreme first; none where there is no spectrum."""
    if spectrum is None:
        return ()
    return spectrum.top if side == "top" else spectrum.bottom


def estimate(pair: Eigenpair) -> tuple[float, float]:
    """An eigenvalue and its standard error over probe samples.

    Returns:
        mean and standard error of the mean where several samples were drawn; otherwise the value
        with its estimated sampling error (NaN if unknown).
    """
    draws = pair.draws[np.isfinite(pair.draws)]
    if len(draws) > 1:
        return float(draws.mean()), float(draws.std(ddof=1) / math.sqrt(len(draws)))
    return pair.value, pair.sampling_error


def edge(bulk: Bulk, side: Side) -> Edge:
    """The end of the bulk on one side."""
    return bulk.upper if side == "top" else bulk.lower


def is_beyond(value: float, limit: float, side: Side) -> bool:
    """Whether ``value`` lies outside ``limit`` on one side; False if either is NaN."""
    return value > limit if side == "top" else value < limit


def is_outlier(value: float, bulk: Bulk | None, side: Side) -> bool:
    """Whether an eigenvalue lies beyond the detection edge.

    False without a predicted bulk, and for eigenvalues that are zero but for rounding where the
    bulk begins at zero or has an atom there.
    """
    if bulk is None:
        return False
    if side == "bottom" and (bulk.atom > 0 or bulk.lower.kind == "hard"):
        rounding = _ATOM_TOLERANCE * abs(bulk.upper.detection)
        if abs(value) <= rounding:
            return False
    return is_beyond(value, edge(bulk, side).detection, side)


def is_clear(pair: Eigenpair, bulk: Bulk | None, side: Side) -> bool:
    """Whether a predicted outlier lies beyond the detection edge: if not, it may stay unseen."""
    return bulk is not None and is_beyond(pair.value, edge(bulk, side).detection, side)


def last_inside(spectrum: Spectrum | None, bulk: Bulk, side: Side) -> float:
    """The most extreme eigenvalue that is no outlier; NaN if none was measured."""
    inside = (pair.value for pair in pairs(spectrum, side))
    return next((value for value in inside if not is_outlier(value, bulk, side)), math.nan)


def outlier_count(spectrum: Spectrum | None, bulk: Bulk | None, side: Side) -> int:
    """Number of eigenvalues on one side beyond the detection edge of ``bulk``."""
    return sum(is_outlier(estimate(pair)[0], bulk, side) for pair in pairs(spectrum, side))


def both(record: Record) -> Iterator[tuple[Spectrum, Spectrum]]:
    """Measured and predicted spectrum of every block that has both."""
    for predicted in record.predicted.spectra if record.predicted is not None else ():
        measured = record.measured.spectrum(predicted.matrix, predicted.block)
        if measured is not None:
            yield measured, predicted


def blocks(records: Iterable[Record]) -> tuple[str, ...]:
    """Names of all measured or predicted blocks, in order of appearance."""
    names: dict[str, None] = {}
    for record in records:
        for geometry in (record.measured, record.predicted):
            if geometry is not None:
                names.update(dict.fromkeys(spectrum.block for spectrum in geometry.spectra))
    return tuple(names)


def clock(records: Sequence[Record]) -> tuple[FloatArray, str]:
    """When the records were taken: (N,) times t, or epochs or steps without theory; axis label."""
    times = np.array([record.time for record in records])
    if np.all(np.isfinite(times)):
        return times, "time t = steps × c/d"
    epochs = np.array([record.epoch for record in records])
    if np.all(np.isfinite(epochs)):
        return epochs, "epochs"
    return np.array([float(record.step) for record in records]), "optimiser steps"


def describe(transition: Transition) -> str:
    """One sentence on a transition."""
    place = f"{MATRIX_NAMES[transition.matrix]}, {transition.block}, {transition.side} of the bulk"
    subject = "two outliers" if transition.kind in ("splits", "merges") else "an outlier"
    verbs = {"splits": "split", "merges": "merge"}
    verb = verbs.get(transition.kind, transition.kind)
    counts = f"{transition.before} -> {transition.after} predicted"
    return f"{place}: {subject} {verb} ({counts})"


def landmarks(records: Sequence[Record]) -> tuple[Record, ...]:
    """The first, the middle and the last record; fewer if there are fewer.

    The middle one is, among those with most probe samples drawn, nearest to half of the records.
    """
    if len(records) < 3:
        return tuple(records)
    inside = range(1, len(records) - 1)
    half = (len(records) - 1) / 2
    middle = max(inside, key=lambda place: (_draw_count(records[place]), -abs(place - half)))
    return records[0], records[middle], records[-1]


def _draw_count(record: Record) -> int:
    """Largest number of probe samples behind one eigenvalue."""
    sides = (pairs(spectrum, side) for spectrum in record.measured.spectra for side in SIDES)
    return max((len(pair.draws) for side in sides for pair in side), default=0)
