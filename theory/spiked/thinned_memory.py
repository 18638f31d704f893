"""The past kept on fewer and fewer steps, so that time costs as much late as early."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..spectrum import FloatArray

__all__ = ["ThinnedMemory"]

_PERIOD = 64  # steps between two coarsenings
_HEIRS = np.array([-2, -1, 0, 1])  # of a time, counted from the first after it that stays


class ThinnedMemory:
    """Steps whose spacing is at most eps min(t - s, 2 s + t0), the others interpolated by cubics.

    R(u, .) is as sharp as ever near s = u, and C has a cusp there at a temperature above zero, so
    neither can be interpolated. What multiplies them is smooth. Each kept time s has a hat phi_s,
    a function of all times; taking a time k out hands its hat to the two neighbours on either
    side, phi_s += l_s(t_k) phi_k with l the Lagrange polynomials on them, so that
    sum_s phi_s f(s) stays f for cubics f. Then, with v(u) a function and w the sums of one with
    the hats, w_u = sum_u' phi_u(u') w(u'),

        sum_u' R(s, u') v(u')  = sum_u R(s, phi_u) v(u)
        sum_u' w(u') K(u', s)  = sum_u w_u (G^-1 phi eta K)(u, s),  G = phi eta phi^T

    for K = C and R and the steps' rates eta: the least-squares fit of w / eta, which is smooth, and
    whose error is orthogonal to that of K. Every coarsening projects so. The error is O(eps^4).

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
        self._times, self._rates = np.zeros(_PERIOD), np.zeros(_PERIOD)
        self._gram = np.zeros((0, 0))  # G of the times at the last coarsening
        # Rows u, columns s: C fitted in u; R(., hat of s) fitted in u; the same at u.
        self._tables = np.zeros((3, _PERIOD, _PERIOD))

    def products(self, forward: FloatArray, backward: FloatArray, out: FloatArray) -> None:
        """See `Memory`."""
        correlation, fitted, response = self._tables[:, : self._length, : self._length]
        np.matmul(forward, correlation, out=out[0])
        np.matmul(forward, fitted, out=out[1])
        np.matmul(response, backward, out=out[2])

    def append(
        self, time: float, rate: float, correlation: FloatArray, response: FloatArray
    ) -> None:
        """See `Memory`."""
        n = self._length
        if n == len(self._times):
            more = 0, _PERIOD
            self._times, self._rates = np.pad(self._times, more), np.pad(self._rates, more)
            self._tables = np.pad(self._tables, ((0, 0), more, more))
        self._times[n], self._rates[n] = time, rate
        self._tables[0, n, :n] = self._tables[0, :n, n] = correlation
        self._tables[0, n, n] = 1.0
        self._tables[1:, n, :n] = response
        self._length = n + 1
        self._waited += 1

    def coarsen(self) -> _Merger | None:
        """Take out every time that can be spared, but no two neighbours at once."""
        if self._waited < _PERIOD:
            return None
        self._waited = 0
        n = self._length
        times = self._times[:n]
        # The two first and the two last stay, so that there are two on either side of the others.
        before, after = times[1:-3], times[3:-1]
        reach = np.minimum(times[-1] - after, 2 * before + self._start)
        spare = after - before <= self._precision * reach
        out = _not_adjacent(np.flatnonzero(spare) + 2)
        if not len(out):
            return None
        merger = _merger(times, out)
        self._merge(merger)
        return merger

    def _merge(self, merger: _Merger) -> None:
        n, k, kept = self._length, len(merger.kept), merger.kept
        gram, known = np.diag(self._rates[:n]), len(self._gram)
        gram[:known, :known] = self._gram
        merger.share(gram)
        shared = gram[kept]
        merger.share(gram.T)
        self._gram = gram[np.ix_(kept, kept)]
        fit = np.linalg.solve(self._gram, shared[:, merger.out])
        for table in self._tables[1:, :n, :n]:
            merger.share(table.T)
        tables = self._tables[:, :n, :n].take(kept, axis=2)
        room = k + _PERIOD  # and no more, which caches like
        self._tables = np.zeros((3, room, room))
        self._tables[:, :k, :k] = tables[:, kept]
        # What the kept rows interpolate is fitted by them; the rest, in the others, is projected.
        for table, fitted in zip(self._tables[:2], tables, strict=False):
            table[:k, :k] += fit @ merger.excess(fitted)
        self._times = np.pad(self._times[kept], (0, _PERIOD))
        self._rates = np.zeros(room)
        self._length = k


@dataclass(frozen=True)
class _Merger:
    """Times taken out, and who gets which share of their hats.

    Attributes:
        kept: (k,) of n that stay, increasing.
        out: (n - k,) that go, increasing, no two adjacent.
        heirs: (n - k, 4) of n, among those that stay; they differ within a column.
        shares: (n - k, 4).
    """

    kept: NDArray[np.intp]
    out: NDArray[np.intp]
    heirs: NDArray[np.intp]
    shares: FloatArray

    def values(self, row: FloatArray) -> FloatArray:
        """See `Coarsening`."""
        return np.asarray(row[self.kept])

    def weights(self, row: FloatArray) -> FloatArray:
        """See `Coarsening`."""
        moved = row.copy()
        self.share(moved)
        return np.asarray(moved[self.kept])

    def excess(self, table: FloatArray) -> FloatArray:
        """The rows that go, minus what their heirs say of them by interpolation, (n - k, ...)."""
        excess = table[self.out].T
        for heir, share in zip(self.heirs.T, self.shares.T, strict=True):
            excess -= share * table[heir].T
        return np.asarray(excess.T)

    def share(self, table: FloatArray) -> None:
        """Hand the rows that go to their heirs, in place."""
        leaving = table[self.out].T
        for heir, share in zip(self.heirs.T, self.shares.T, strict=True):
            table[heir] += (share * leaving).T


def _merger(times: FloatArray, out: NDArray[np.intp]) -> _Merger:
    kept = np.delete(np.arange(len(times)), out)
    heirs = kept[np.searchsorted(kept, out)[:, None] + _HEIRS]
    return _Merger(kept, out, heirs, _lagrange(times[heirs], times[out]))


def _lagrange(nodes: FloatArray, at: FloatArray) -> FloatArray:
    """Polynomials that are 1 at one of the nodes (k, p) and 0 at the others, at (k,), (k, p)."""
    shares = np.ones_like(nodes)
    for j in range(nodes.shape[1]):
        for other in range(nodes.shape[1]):
            if other != j:
                shares[:, j] *= (at - nodes[:, other]) / (nodes[:, j] - nodes[:, other])
    return shares


def _not_adjacent(candidates: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of increasing numbers, every second one of each run of neighbours."""
    run_starts = np.diff(candidates, prepend=-2) > 1
    first = np.maximum.accumulate(np.where(run_starts, np.arange(len(candidates)), 0))
    return np.asarray(candidates[(np.arange(len(candidates)) - first) % 2 == 0])
