"""The past kept on fewer and fewer steps, so that time costs as much late as early."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..spectrum import FloatArray

__all__ = ["ThinnedMemory"]

_PERIOD = 64  # steps between two coarsenings
_ROOM = 300  # steps there is room for at first; no power of two, which caches do not like


class ThinnedMemory:
    """Steps whose spacing is at most eps min(t - s, 2 s + t0), the others interpolated linearly.

    What is kept of R are its integrals with the hat functions of the kept times: R(u, .) is as
    sharp as ever near s = u, but what multiplies it is smooth. Taking a time k out hands its hat
    to the neighbours, phi_(k-1) += alpha phi_k and phi_(k+1) += (1 - alpha) phi_k, which no sum
    notices: the rule is exact for what is linear between kept times, and the error O(eps^2). A
    sum over u with R(t, u), smooth long before t, needs R(u, s) averaged over the hat of u, not
    its value at u, because R(., s) is sharp too. C is smooth in both. At temperature zero only:
    otherwise C has a cusp at u = s.

    Args:
        precision: eps.
        start: t0, the time below which every step is kept to the precision's share of t0.
    """

    def __init__(self, precision: float, start: float) -> None:
        if not 0 < precision <= 1:
            raise ValueError(f"precision: expected a number above 0 and up to 1, got {precision}")
        if not start > 0:
            raise ValueError(f"start: expected a positive time, got {start}")
        self._precision, self._start = precision, start
        self._length = self._waited = 0
        self._now = 0.0
        self._times = np.zeros(_ROOM)
        self._mass = np.zeros(_ROOM)  # steps that a hat stands for
        # Rows u, columns s: C; R(u, hat of s); the same summed over the hat of u.
        self._tables = np.zeros((3, _ROOM, _ROOM))

    def products(
        self, forward: FloatArray, backward: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """See `Memory`."""
        n = self._length
        correlation, response, summed = self._tables[:, :n, :n]
        return correlation @ forward, forward / self._mass[:n] @ summed, response @ backward

    def append(self, time: float, correlation: FloatArray, response: FloatArray) -> None:
        """See `Memory`."""
        n = self._length
        if n == len(self._times):
            self._times, self._mass = (np.pad(a, (0, n)) for a in (self._times, self._mass))
            self._tables = np.pad(self._tables, ((0, 0), (0, n), (0, n)))
        self._times[n], self._mass[n] = time, 1.0
        self._tables[0, n, :n] = self._tables[0, :n, n] = correlation
        self._tables[0, n, n] = 1.0
        self._tables[1:, n, :n] = response
        self._length = n + 1
        self._now = time
        self._waited += 1

    def coarsen(self) -> _Merger | None:
        """Take out every time that can be spared, but no two neighbours at once."""
        if self._waited < _PERIOD:
            return None
        self._waited = 0
        n = self._length
        times = self._times[:n]
        reach = np.minimum(self._now - times[2:], 2 * times[:-2] + self._start)
        spare = times[2:] - times[:-2] <= self._precision * reach
        out = _not_adjacent(np.flatnonzero(spare) + 1)
        if not len(out):
            return None
        merger = _merger(times, out)
        k = len(merger.kept)
        tables = self._tables[:, :n, :n]
        merger.share(tables[1:], axis=2)
        merger.share(tables[2], axis=0)
        kept = tables.take(merger.kept, axis=1).take(merger.kept, axis=2)  # faster than at once
        tables[1:] = 0.0
        self._tables[:, :k, :k] = kept
        self._mass[:k] = merger.weights(self._mass[:n])
        self._times[:k] = times[merger.kept]
        self._length = k
        return merger


@dataclass(frozen=True)
class _Merger:
    """Times taken out, and the share of their hats that the left neighbours get.

    Attributes:
        out: (k,) of n, increasing, no two adjacent, neither the first nor the last.
        left: (k,) alpha.
        kept: (n - k,) the others.
    """

    out: NDArray[np.intp]
    left: FloatArray
    kept: NDArray[np.intp]

    def values(self, row: FloatArray) -> FloatArray:
        """See `Coarsening`."""
        return np.asarray(row[self.kept])

    def weights(self, row: FloatArray) -> FloatArray:
        """See `Coarsening`."""
        moved = row.copy()
        self.share(moved, axis=0)
        return np.asarray(moved[self.kept])

    def share(self, table: FloatArray, axis: int) -> None:
        """Hand the weights along an axis to the neighbours, in place."""
        last = np.moveaxis(table, axis, -1)
        leaving = last[..., self.out]
        last[..., self.out - 1] += self.left * leaving
        last[..., self.out + 1] += (1 - self.left) * leaving


def _merger(times: FloatArray, out: NDArray[np.intp]) -> _Merger:
    before, at, after = times[out - 1], times[out], times[out + 1]
    kept = np.delete(np.arange(len(times)), out)
    return _Merger(out, (after - at) / (after - before), kept)


def _not_adjacent(candidates: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of increasing numbers, every second one of each run of neighbours."""
    run_starts = np.diff(candidates, prepend=-2) > 1
    first = np.maximum.accumulate(np.where(run_starts, np.arange(len(candidates)), 0))
    return np.asarray(candidates[(np.arange(len(candidates)) - first) % 2 == 0])
