"""Transitions: where the outliers of a predicted spectrum change in number or in degeneracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .spectrum import ENDS, SIDE_WORDS, Eigenpair, End, FloatArray, Spectrum

__all__ = ["Boundary", "Transition", "TransitionKind", "TransitionTracker"]

TransitionKind = Literal["appears", "disappears", "splits", "merges"]

# Neighbours count as one below the first relative distance and as two above the second; between
# them they stay what they were, so that a pair that hovers does not split again and again.
_TOGETHER, _APART = 0.01, 0.04


@dataclass(frozen=True)
class Transition:
    """A change in the predicted outliers of one block since the record before.

    Attributes:
        side: of the bulk, "top" or "bottom".
        kind: an outlier "appears" out of the bulk or "disappears" into it; two neighbours "split"
            when their relative distance, below 1 % before, exceeds 4 %, or "merge" the other way.
        before: number of outliers on that side at the record before.
        after: number now.
    """

    matrix: str = field(metadata={"unit": "none"})
    block: str = field(metadata={"unit": "none"})
    side: End = field(metadata={"unit": "none"})
    kind: TransitionKind = field(metadata={"unit": "none"})
    before: int = field(metadata={"unit": "outliers"})
    after: int = field(metadata={"unit": "outliers"})

    @property
    def is_meeting(self) -> bool:
        """Whether two outliers split or merge, which changes no number."""
        return self.kind in ("splits", "merges")


class TransitionTracker:
    """Follows the predicted outliers of every block from record to record."""

    def __init__(self) -> None:
        self._pairs: dict[str, list[bool]] = {}

    def update(self, spectra: Sequence[Spectrum]) -> tuple[Transition, ...]:
        """What changed since the spectra of the same blocks that were seen last."""
        found: list[Transition] = []
        for spectrum in spectra:
            for side in ENDS:
                outliers: tuple[Eigenpair, ...] = getattr(spectrum, side)
                values = [outlier.value for outlier in outliers]
                found += self.follow(spectrum.matrix, spectrum.block, side, values)
        return tuple(found)

    def follow(
        self, matrix: str, block: str, side: End, values: Sequence[float]
    ) -> Iterator[Transition]:
        """What changed on one side of a block since its outliers were seen last."""
        key = f"{matrix}/{block}/{side}"
        before = self._pairs.get(key)
        now = _degenerate(values, before or [])
        self._pairs[key] = now
        if before is None or before == now:
            return
        kinds: list[TransitionKind] = []
        if len(now) != len(before):
            kinds.append("appears" if len(now) > len(before) else "disappears")
        else:  # whose neighbours they were is known only if all are still there
            for was, is_now in zip(before[1:], now[1:], strict=True):
                if was != is_now:
                    kinds.append("splits" if was else "merges")
        for kind in kinds:
            yield Transition(matrix, block, side, kind, len(before), len(now))

    def state_dict(self) -> dict[str, Any]:
        """What was seen last."""
        return {"pairs": {key: list(value) for key, value in self._pairs.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._pairs = {_key_now(key): list(value) for key, value in state["pairs"].items()}


def _key_now(key: str) -> str:
    """A key of `TransitionTracker`, its side in today's words: older states say "right", "left"."""
    place, _, word = key.rpartition("/")
    return f"{place}/{next((end for end in ENDS if SIDE_WORDS[end] == word), word)}"


def _degenerate(values: Sequence[float], before: list[bool]) -> list[bool]:
    """Whether each outlier counts as one with its more extreme neighbour; False for the first."""
    flags = [False] * len(values)
    for i in range(1, len(values)):
        distance = abs(values[i] - values[i - 1]) / max(abs(values[i - 1]), 1e-300)
        was = before[i] if i < len(before) else distance < _TOGETHER
        flags[i] = distance < _TOGETHER if not was else distance < _APART
    return flags


@dataclass(frozen=True)
class Boundary:
    """A line with fewer than ``count`` outliers on one side and at least ``count`` on the other.

    Where several outliers leave the bulk together, the lines of their counts coincide.

    Attributes:
        count: the larger number that the line bounds.
        points: (N, 2) places (x, y) along the line, one on each edge of the grid that it cuts; the
            first is repeated at the end of a closed line.
        errors: (N,) estimated error of each point along its edge, in units of x or y: the root's
            bracket and what the coarser indicator, if given, moves it by.
    """

    count: int = field(metadata={"unit": "outliers"})
    points: FloatArray = field(metadata={"unit": "those of the parameters"})
    errors: FloatArray = field(metadata={"unit": "those of the parameters"})
