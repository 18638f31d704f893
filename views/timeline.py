"""The timeline: what happened to the outliers, and when it was measured, predicted and forecast."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ..probes.record import Record, Transition
from ..theory.spectrum import Spectrum
from ..theory.transitions import TransitionTracker
from .readings import MATRIX_NAMES, SIDES, both, clock, is_outlier, pairs

__all__ = ["Failure", "Happening", "Moment", "Timeline", "markdown", "rows"]

Kind = Literal["measured", "predicted", "forecast"]
KINDS: tuple[Kind, ...] = ("measured", "predicted", "forecast")
# Kinds of transitions that change the number of outliers.
_COUNTED = ("appears", "disappears")

# What Markdown and HTML would not show as it stands.
_SPECIAL = "\\`*_[]<>|&~#"


@dataclass(frozen=True)
class Moment:
    """When a record was taken.

    Attributes:
        time: t, or epochs, NaN if neither is known.
    """

    step: int = field(metadata={"unit": "optimiser steps"})
    time: float = field(metadata={"unit": "t or epochs"})


@dataclass(frozen=True)
class Happening:
    """A transition, and the record at which it had happened.

    Attributes:
        moments: "measured": to the number of eigenvalues beyond the predicted detection edge
            (measured ones never coincide, so that they neither split nor merge); "predicted": to
            the outliers predicted from the Gram matrix of that record; "forecast": to those
            predicted from the initial Gram matrix. What has not happened is not there.
    """

    transition: Transition
    moments: Mapping[Kind, Moment]

    @property
    def first(self) -> int:
        """The step at which it was seen first."""
        return min(moment.step for moment in self.moments.values())


@dataclass(frozen=True)
class Failure:
    """A probing that failed."""

    moment: Moment
    reason: str


class Timeline:
    """Grows with the records of a run, which it is given in order.

    When the same transition happens again, the n-th one measured belongs to the n-th one predicted
    and the n-th one forecast.
    """

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.failures: list[Failure] = []
        self.label = ""
        self._measured, self._forecast = TransitionTracker(), TransitionTracker()

    def __bool__(self) -> bool:
        """Whether anything has happened."""
        return bool(self.happenings or self.failures)

    def add(self, record: Record) -> bool:
        """Take in one record.

        Returns:
            Whether there is something new.
        """
        (time,), label = clock([record])
        moment = Moment(record.step, math.nan if label == "optimiser steps" else float(time))
        if not self.label and math.isfinite(moment.time):
            self.label = "t" if label.startswith("time t") else label
        if record.failure:
            self.failures.append(Failure(moment, record.failure))
        new = bool(record.failure)
        for kind in KINDS:
            for transition in self._changes(record, kind):
                self._place(transition, kind, moment)
                new = True
        return new

    def _changes(self, record: Record, kind: Kind) -> Iterator[Transition]:
        if kind == "predicted":
            yield from _single(record.transitions)
        elif kind == "forecast":
            spectra = record.forecast.spectra if record.forecast is not None else ()
            yield from _single(self._forecast.update(spectra))
        else:
            found = self._measured.update(tuple(_outliers(record)))
            yield from _single(each for each in found if each.kind in _COUNTED)

    def _place(self, transition: Transition, kind: Kind, moment: Moment) -> None:
        for index, happening in enumerate(self.happenings):
            if happening.transition == transition and kind not in happening.moments:
                moments = {**happening.moments, kind: moment}
                self.happenings[index] = Happening(transition, moments)
                return
        self.happenings.append(Happening(transition, {kind: moment}))


def rows(timeline: Timeline) -> list[tuple[str, ...]]:
    """The timeline as a table, its head first, in the order of the steps."""
    found = [
        (
            each.first,
            (*_what(each.transition), *(_when(each.moments.get(kind), timeline) for kind in KINDS)),
        )
        for each in timeline.happenings
    ]
    for failure in timeline.failures:
        when = _when(failure.moment, timeline)
        cells = ("", "", f"probing failed: {' '.join(failure.reason.split())}", when, "", "")
        found.append((failure.moment.step, cells))
    body = [cells for _, cells in sorted(found, key=lambda row: row[0])]
    return [("matrix", "block", "what happened", *(f"{kind} at step" for kind in KINDS)), *body]


def markdown(timeline: Timeline) -> str:
    """`rows` as a table in Markdown."""
    head, *body = rows(timeline)
    lines = (head, ["---"] * len(head), *([_plain(cell) for cell in row] for row in body))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _single(transitions: Iterable[Transition]) -> Iterator[Transition]:
    """Each transition, those of several outliers at a time one outlier after the other."""
    for transition in transitions:
        sign = 1 if transition.kind == "appears" else -1
        if transition.kind not in _COUNTED:
            yield transition
        else:
            for before in range(transition.before, transition.after, sign):
                yield replace(transition, before=before, after=before + sign)


def _outliers(record: Record) -> Iterator[Spectrum]:
    """Measured spectra with the eigenvalues beyond the predicted detection edges alone."""
    for measured, predicted in both(record):
        bulk = predicted.bulk
        if bulk is not None:
            top, bottom = (
                tuple(pair for pair in pairs(measured, side) if is_outlier(pair.value, bulk, side))
                for side in SIDES
            )
            yield replace(measured, top=top, bottom=bottom)


def _what(transition: Transition) -> tuple[str, str, str]:
    place = "above the bulk" if transition.side == "right" else "below the bulk"
    if transition.kind in _COUNTED:
        change = f"an outlier {transition.kind} {place}"
        change += f" ({transition.before} → {transition.after})"
    else:
        change = f"two outliers {transition.kind.removesuffix('s')} {place}"
    return MATRIX_NAMES[transition.matrix], transition.block, change


def _when(moment: Moment | None, timeline: Timeline) -> str:
    if moment is None:
        return "–"
    if not math.isfinite(moment.time):
        return str(moment.step)
    time = f"t = {moment.time:.4g}" if timeline.label == "t" else f"{moment.time:.4g} epochs"
    return f"{moment.step} ({time})"


def _plain(words: str) -> str:
    """Without marks that mean something in Markdown or HTML."""
    return "".join(f"&#{ord(c)};" if c in _SPECIAL else c for c in words)
