"""Readings: the numbers that figures, boards and tables take out of records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..probes.records.outliers import pairs
from ..probes.records.record import Geometry, Record, Transition
from ..theory.matrix_kind import MatrixKind, kind_named
from ..theory.spectrum import ENDS, SIDE_WORDS, FloatArray, Spectrum

__all__ = [
    "EPOCHS",
    "STEPS",
    "blocks",
    "both",
    "clock",
    "clock_symbol",
    "describe",
    "failed",
    "lacks_spectrum",
    "landmarks",
    "matrices",
    "relative_difference",
    "spectrum_of",
    "units",
]

# What a clock shows where a theory has none; labels of axes.
EPOCHS, STEPS = "epochs", "optimiser steps"


def failed(record: Record) -> bool:
    """Whether a probing has no spectrum to show, for a reason it says."""
    return bool(record.failures) and not record.measured.spectra


def lacks_spectrum(record: Record, matrix: str, block: str) -> bool:
    """Whether a probing failed to have one spectrum: alone, or with all the others."""
    alone = any((each.matrix, each.block) == (matrix, block) for each in record.failures)
    return alone or failed(record)


def matrices(records: Iterable[Record]) -> tuple[MatrixKind, ...]:
    """Kinds of all matrices that were asked for, measured or predicted, in order of appearance."""
    kinds: dict[str, MatrixKind] = {}
    for record in records:
        for kind in record.matrices:
            kinds.setdefault(kind.name, kind)
        for geometry in (record.measured, record.predicted):
            for spectrum in geometry.spectra if geometry is not None else ():
                kinds.setdefault(spectrum.matrix, kind_named(spectrum.matrix))
    return tuple(kinds.values())


def units(kinds: Iterable[MatrixKind]) -> str:
    """In which units the eigenvalues of these matrices are, in words."""
    named: dict[str, list[str]] = {}
    for kind in kinds:
        named.setdefault(kind.unit, []).append(kind.title)
    if len(named) == 1:
        return next(iter(named))
    return "; ".join(f"{', '.join(titles)}: {unit}" for unit, titles in named.items())


def spectrum_of(geometry: Geometry | None, matrix: str, block: str) -> Spectrum | None:
    """The spectrum of one block; None where there is no geometry or no such block in it."""
    return None if geometry is None else geometry.spectrum(matrix, block)


def relative_difference(measured: float, expected: float) -> float:
    """(measured - expected) / |expected|; NaN if that is zero or unknown."""
    return (measured - expected) / abs(expected) if expected else math.nan


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
    if len(records) and np.all(np.isfinite(times)):
        return times, records[0].clock
    epochs = np.array([record.epoch for record in records])
    if np.all(np.isfinite(epochs)):
        return epochs, EPOCHS
    return np.array([float(record.step) for record in records]), STEPS


def clock_symbol(label: str) -> str:
    """What stands before a single time of that clock."""
    return label if label in (EPOCHS, STEPS) else "t"


def describe(transition: Transition, kinds: Iterable[MatrixKind] = ()) -> str:
    """One sentence on a transition; ``kinds`` are those of its record."""
    title, side = kind_named(transition.matrix, kinds).title, SIDE_WORDS[transition.side]
    place = f"{title}, {transition.block}, {side} of the bulk"
    if transition.is_meeting:
        return f"{place}: two outliers {transition.kind.removesuffix('s')}"
    counts = f"{transition.before} -> {transition.after} predicted"
    return f"{place}: an outlier {transition.kind} ({counts})"


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
    sides = (pairs(spectrum, side) for spectrum in record.measured.spectra for side in ENDS)
    return max((len(pair.draws) for side in sides for pair in side), default=0)
