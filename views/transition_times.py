"""When each outlier appears and disappears: forecast, predicted and measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..probes.record import Record, TransitionKind
from ..theory.spectrum import Matrix
from ..theory.transitions import TransitionTracker
from .readings import SIDES, Side, edge, is_beyond, outlier_count, pairs

__all__ = ["TransitionTime", "transition_times"]

_STEP = {"unit": "optimiser steps"}
_NONE = {"unit": "none"}
_SIDES: dict[str, Side] = {"right": "top", "left": "bottom"}

_Count = Callable[[Record, Matrix, str, Side], int | None]
_Kind = Literal["forecast", "predicted", "detectable", "measured"]


@dataclass(frozen=True)
class TransitionTime:
    """One change of one block's outliers; each step is that of the first record that shows it.

    Attributes:
        side: "top" or "bottom" of the spectrum.
        kind: as in `Transition`; for "splits" and "merges" only forecast and prediction are known.
        rank: of the outlier that appears or disappears, from 1, the most extreme first; 0 for
            splits and merges.
        forecast: from the initial Gram matrix; None if it does not happen there.
        predicted: from the Gram matrix measured at the step.
        detectable: where the predicted outlier passes the detection edge.
        measured: where a measured eigenvalue passes the detection edge.
    """

    matrix: Matrix = field(metadata=_NONE)
    block: str = field(metadata=_NONE)
    side: Side = field(metadata=_NONE)
    kind: TransitionKind = field(metadata=_NONE)
    rank: int = field(metadata=_NONE)
    forecast: int | None = field(default=None, metadata=_STEP)
    predicted: int | None = field(default=None, metadata=_STEP)
    detectable: int | None = field(default=None, metadata=_STEP)
    measured: int | None = field(default=None, metadata=_STEP)

    @property
    def step(self) -> int:
        """Where it is predicted, or else found first."""
        found = (self.predicted, self.detectable, self.measured, self.forecast)
        return next(step for step in found if step is not None)


_Key = tuple[Matrix, str, Side, TransitionKind, int]


def transition_times(records: Sequence[Record]) -> tuple[TransitionTime, ...]:
    """Every transition of a run, by step.

    What happens more than once, as for an outlier near the edge, is paired by closeness in steps.
    """
    steps: dict[_Kind, dict[_Key, list[int]]] = {
        "predicted": _changes(records, _predicted),
        "forecast": _changes(records, _forecast),
        "detectable": _changes(records, _detectable),
        "measured": _changes(records, _measured),
    }
    steps["predicted"] |= _meetings(records)
    steps["forecast"] |= _forecast_meetings(records)
    keys = dict.fromkeys(key for found in steps.values() for key in found)
    times = [
        TransitionTime(
            *key,
            forecast=row.get("forecast"),
            predicted=row.get("predicted"),
            detectable=row.get("detectable"),
            measured=row.get("measured"),
        )
        for key in keys
        for row in _paired({kind: found.get(key, []) for kind, found in steps.items()})
    ]
    return tuple(sorted(times, key=lambda time: time.step))


def _paired(steps: dict[_Kind, list[int]]) -> list[dict[_Kind, int]]:
    """Rows that hold each step once, close ones together."""
    rows: list[dict[_Kind, int]] = []
    for kind, found in steps.items():
        nearest_first = sorted(
            (min(abs(step - other) for other in row.values()), place, number)
            for number, row in enumerate(rows)
            for place, step in enumerate(found)
        )
        left = dict(enumerate(found))
        for _, place, number in nearest_first:
            if place in left and kind not in rows[number]:
                rows[number][kind] = left.pop(place)
        rows.extend({kind: step} for step in left.values())
    return rows


def _changes(records: Sequence[Record], count: _Count) -> dict[_Key, list[int]]:
    """Steps at which the number of outliers reaches, or falls below, each rank."""
    places = dict.fromkeys(
        (spectrum.matrix, spectrum.block)
        for record in records
        if record.predicted is not None
        for spectrum in record.predicted.spectra
    )
    found: dict[_Key, list[int]] = {}
    for matrix, block in places:
        for side in SIDES:
            before: int | None = None
            for record in records:
                now = count(record, matrix, block, side)
                if now is None:
                    continue
                for rank in range(min(now, before or 0) + 1, max(now, before or 0) + 1):
                    if before is not None:
                        kind: TransitionKind = "appears" if now > before else "disappears"
                        found.setdefault((matrix, block, side, kind, rank), []).append(record.step)
                before = now
    return found


def _predicted(record: Record, matrix: Matrix, block: str, side: Side) -> int | None:
    spectrum = record.predicted.spectrum(matrix, block) if record.predicted else None
    return None if spectrum is None else len(pairs(spectrum, side))


def _forecast(record: Record, matrix: Matrix, block: str, side: Side) -> int | None:
    spectrum = record.forecast.spectrum(matrix, block) if record.forecast else None
    return None if spectrum is None else len(pairs(spectrum, side))


def _detectable(record: Record, matrix: Matrix, block: str, side: Side) -> int | None:
    spectrum = record.predicted.spectrum(matrix, block) if record.predicted else None
    if spectrum is None or spectrum.bulk is None:
        return None
    limit = edge(spectrum.bulk, side).detection
    return sum(is_beyond(pair.value, limit, side) for pair in pairs(spectrum, side))


def _measured(record: Record, matrix: Matrix, block: str, side: Side) -> int | None:
    spectrum = record.measured.spectrum(matrix, block)
    theory = record.predicted.spectrum(matrix, block) if record.predicted else None
    if spectrum is None or theory is None or theory.bulk is None:
        return None
    return outlier_count(spectrum, theory.bulk, side)


def _meetings(records: Sequence[Record]) -> dict[_Key, list[int]]:
    """Splits and merges of the prediction, which the records hold."""
    found: dict[_Key, list[int]] = {}
    for record in records:
        for one in record.transitions:
            if one.kind in ("splits", "merges"):
                key = (one.matrix, one.block, _SIDES[one.side], one.kind, 0)
                found.setdefault(key, []).append(record.step)
    return found


def _forecast_meetings(records: Sequence[Record]) -> dict[_Key, list[int]]:
    """The same of the forecast, followed here."""
    tracker = TransitionTracker()
    followed = (
        Record(record.step, transitions=tracker.update(record.forecast.spectra))
        for record in records
        if record.forecast is not None
    )
    return _meetings(tuple(followed))
