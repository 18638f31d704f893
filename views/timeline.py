"""The timeline: what happened to the outliers, and when it was measured, predicted and forecast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..probes.records.outliers import is_clear, outliers, pairs
from ..probes.records.record import Record, Transition
from ..theory.matrix_kind import MatrixKind, kind_named
from ..theory.spectrum import ENDS, End
from ..theory.transitions import TransitionTracker
from .readings import EPOCHS, STEPS, both, clock

__all__ = ["Failure", "Happening", "Moment", "Timeline", "markdown", "rows"]

Kind = Literal["measured", "detectable", "predicted", "forecast"]
KINDS: tuple[Kind, ...] = ("measured", "detectable", "predicted", "forecast")
# What theory says has the fewest accidents: the others are joined to it, the noisiest last.
_JOINED: tuple[Kind, ...] = ("predicted", "forecast", "detectable", "measured")

# Of one matrix, block and side, the most extreme first.
_Outliers = tuple[str, str, End, list[float]]

# What Markdown and HTML would not show as it stands.
_PLAIN = str.maketrans({mark: f"&#{ord(mark)};" for mark in "\\`*_[]<>|&~#"})


@dataclass(frozen=True)
class Moment:
    """When a record was taken.

    Attributes:
        time: t or epochs, in words; empty if neither is known.
    """

    step: int = field(metadata={"unit": "optimiser steps"})
    time: str = field(metadata={"unit": "t or epochs"})


@dataclass(frozen=True)
class Happening:
    """A transition, and the record at which it had happened.

    Attributes:
        transition: of one outlier; splits and merges, which change no number, have 0 for both.
        moments: "measured": to the eigenvalues beyond the predicted detection edge (they never
            coincide, so that they neither split nor merge); "detectable": to the predicted outliers
            beyond it, which measured ones can be compared with; "predicted": to all outliers
            predicted from the statistics of that record; "forecast": to those predicted from the
            initial ones. What has not happened is not there.
        title: of the matrix.
    """

    transition: Transition
    moments: Mapping[Kind, Moment]
    title: str

    @property
    def step(self) -> int:
        """Where it was seen first."""
        return min(moment.step for moment in self.moments.values())

    @property
    def is_foreseen(self) -> bool:
        """Whether it is a transition of theory, and not only a passage of the detection edge."""
        return "predicted" in self.moments or "forecast" in self.moments


@dataclass(frozen=True)
class Failure:
    """A probing that failed."""

    moment: Moment
    reason: str

    @property
    def step(self) -> int:
        """Where it failed."""
        return self.moment.step


class Timeline:
    """Grows with the records of a run, which it is given in order.

    When the same transition happens again, one measured and one predicted belong together if each
    is the nearest to the other in steps; so do forecast ones. The others stay alone.
    """

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self._matrices: tuple[MatrixKind, ...] = ()
        self._moments: dict[Transition, dict[Kind, list[Moment]]] = {}
        # Of each transition, as long as nothing is added to it.
        self._joined: dict[Transition, list[dict[Kind, Moment]]] = {}
        self._trackers = {kind: TransitionTracker() for kind in KINDS if kind != "predicted"}

    def __bool__(self) -> bool:
        """Whether anything has happened."""
        return bool(self._moments or self.failures)

    def __iter__(self) -> Iterator[Happening | Failure]:
        """Everything that happened, in the order of the steps."""
        found: list[Happening | Failure] = [*self.happenings, *self.failures]
        return iter(sorted(found, key=lambda each: each.step))

    @property
    def happenings(self) -> tuple[Happening, ...]:
        """The transitions, in the order of the steps."""
        found = (
            Happening(transition, joined, kind_named(transition.matrix, self._matrices).title)
            for transition in self._moments
            for joined in self._together(transition)
        )
        return tuple(sorted(found, key=lambda each: each.step))

    def add(self, record: Record) -> bool:
        """Take in one record.

        Returns:
            Whether there is something new.
        """
        moment = _moment(record)
        self._matrices = record.matrices or self._matrices
        if record.failure:
            self.failures.append(Failure(moment, record.failure))
        new = bool(record.failure)
        for kind in KINDS:
            for transition in self._changes(record, kind):
                self._moments.setdefault(transition, {}).setdefault(kind, []).append(moment)
                self._joined.pop(transition, None)
                new = True
        return new

    def _together(self, transition: Transition) -> list[dict[Kind, Moment]]:
        if transition not in self._joined:
            self._joined[transition] = _joined(self._moments[transition])
        return self._joined[transition]

    def _changes(self, record: Record, kind: Kind) -> Iterator[Transition]:
        if kind == "predicted":
            yield from _single(record.transitions)
        elif kind == "forecast":
            spectra = record.forecast.spectra if record.forecast is not None else ()
            yield from _single(self._trackers[kind].update(spectra))
        else:
            beyond = _measured_beyond if kind == "measured" else _predicted_beyond
            for place in beyond(record):
                found = self._trackers[kind].follow(*place)
                yield from _single(each for each in found if not each.is_meeting)


def rows(events: Iterable[Happening | Failure]) -> list[tuple[str, ...]]:
    """What happened as a table, its head first: of a whole timeline, or of some events of it."""
    head = ("matrix", "block", "what happened", *(f"{kind} at step" for kind in KINDS))
    return [head, *map(_row, events)]


def markdown(timeline: Timeline) -> str:
    """`rows` as a table in Markdown."""
    head, *body = rows(timeline)
    lines = (head, ["---"] * len(head), *([_plain(cell) for cell in row] for row in body))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _moment(record: Record) -> Moment:
    (time,), label = clock([record])
    words = {STEPS: "", EPOCHS: f"{time:.4g} epochs"}
    return Moment(record.step, words.get(label, f"t = {time:.4g}"))


def _single(transitions: Iterable[Transition]) -> Iterator[Transition]:
    """Each transition, those of several outliers at a time one outlier after the other."""
    for transition in transitions:
        if transition.is_meeting:
            yield replace(transition, before=0, after=0)
            continue
        sign = 1 if transition.kind == "appears" else -1
        for before in range(transition.before, transition.after, sign):
            yield replace(transition, before=before, after=before + sign)


def _measured_beyond(record: Record) -> Iterator[_Outliers]:
    """Measured outliers."""
    for measured, predicted in both(record):
        bulk = predicted.bulk
        for side in ENDS if bulk is not None else ():
            values = [pair.value for pair in outliers(measured, bulk, side)]
            yield measured.matrix, measured.block, side, values


def _predicted_beyond(record: Record) -> Iterator[_Outliers]:
    """Those predicted outliers that can be told from the bulk."""
    for spectrum in record.predicted.spectra if record.predicted is not None else ():
        bulk = spectrum.bulk
        for side in ENDS if bulk is not None else ():
            found = pairs(spectrum, side)
            values = [pair.value for pair in found if is_clear(pair, bulk, side)]
            yield spectrum.matrix, spectrum.block, side, values


def _joined(found: Mapping[Kind, Sequence[Moment]]) -> list[dict[Kind, Moment]]:
    """The moments of one transition, each once, those that belong together in one dictionary."""
    together: list[dict[Kind, Moment]] = []
    for kind in _JOINED:
        moments = found.get(kind, ())
        partners = dict(_partners(together, moments))
        for moment in moments:
            if moment in partners:
                partners[moment][kind] = moment
            else:
                together.append({kind: moment})
    return together


def _partners(
    together: Sequence[dict[Kind, Moment]], moments: Sequence[Moment]
) -> Iterator[tuple[Moment, dict[Kind, Moment]]]:
    """Pairs of which each is the nearest to the other."""
    for each in together if moments else ():
        moment = min(moments, key=lambda other: _gap(each, other))
        if min(together, key=lambda other: _gap(other, moment)) is each:
            yield moment, each


def _gap(together: Mapping[Kind, Moment], moment: Moment) -> tuple[int, bool]:
    """Steps between them; of equals the pair in which the moment comes later is nearer."""
    return min(
        (abs(moment.step - other.step), moment.step < other.step) for other in together.values()
    )


def _row(event: Happening | Failure) -> tuple[str, ...]:
    if isinstance(event, Failure):
        words = f"probing failed: {' '.join(event.reason.split())}"
        return "", "", words, _when(event.moment), *[""] * (len(KINDS) - 1)
    return (
        event.title,
        *_what(event.transition),
        *(_when(event.moments.get(kind)) for kind in KINDS),
    )


def _what(transition: Transition) -> tuple[str, str]:
    place = "above the bulk" if transition.side == "top" else "below the bulk"
    if transition.is_meeting:
        change = f"two outliers {transition.kind.removesuffix('s')} {place}"
    else:
        change = f"an outlier {transition.kind} {place}"
        change += f" ({transition.before} → {transition.after})"
    return transition.block, change


def _when(moment: Moment | None) -> str:
    if moment is None:
        return "–"
    return f"{moment.step} ({moment.time})" if moment.time else str(moment.step)


def _plain(words: str) -> str:
    """Without marks that mean something in Markdown or HTML."""
    return words.translate(_PLAIN)
