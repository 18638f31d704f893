"""The past kept on fewer and fewer steps, so that time costs as much late as early."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..spectrum import FloatArray

__all__ = ["ThinnedMemory"]

_PERIOD = 32  # steps between two coarsenings
_ROOM = 72  # times there is room for at first, and room that is added; no power of two
_REACH = 24  # times beyond which nothing is left of a hat, or of a fit, to double precision
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
        self._times = np.zeros(_ROOM)
        self._gram = np.zeros((_ROOM, _ROOM))  # G
        # Rows u, columns s: C fitted in u; R(., hat of s) fitted in u; the same at u.
        self._tables = np.zeros((3, _ROOM, _ROOM))

    def products(self, forward: FloatArray, backward: FloatArray, out: FloatArray) -> None:
        """See `Memory`."""
        tables = self._tables[:, : self._length, : self._length]
        np.matmul(forward, tables[:2], out=out[:2])
        np.matmul(tables[2], backward, out=out[2])

    def append(
        self, time: float, rate: float, correlation: FloatArray, response: FloatArray
    ) -> None:
        """See `Memory`."""
        n, tables = self._length, self._tables
        if n == len(self._times):
            more = 0, _ROOM
            self._times, self._gram = np.pad(self._times, more), np.pad(self._gram, more)
            self._tables = tables = np.pad(tables, ((0, 0), more, more))
        self._times[n], self._gram[n, n] = time, rate
        tables[0, n, :n] = tables[0, :n, n] = correlation
        tables[0, n, n] = 1.0
        tables[1:, n, :n] = response
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
        n, k, first = self._length, len(merger.kept), merger.first
        old, near = slice(0, first), slice(first, n)
        stay, go = merger.kept[first:] - first, merger.out - first
        half = merger.handed(self._gram[near, near])
        gram, shared = merger.handed(half.T), half[go]
        fit = np.linalg.solve(gram, shared.T)
        self._gram[near, near] = 0
        self._gram[first:k, first:k] = gram
        tables = self._tables
        rows = np.empty((3, n - first, k))
        rows[..., old] = tables[:, near, old]
        rows[0, :, first:] = tables[0, near, near].take(stay, 1)
        rows[1:, :, first:] = merger.handed(tables[1:, near, near])
        kept = rows.take(stay, 1)
        # What the kept rows interpolate is fitted by them; the rest, in the others, is projected.
        leaving = rows[:2].take(go, 1)
        leaving -= merger.shares @ kept[:2]
        kept[:2] += fit @ leaving
        tables[0, old, first:k] = tables[0, old, near].take(stay, 1)
        tables[:, :n, k:n] = tables[:, k:n, :k] = 0
        tables[:, first:k, :k] = kept
        self._times[:k] = self._times[merger.kept]
        self._length = k


@dataclass(frozen=True)
class _Merger:
    """Times taken out, and who gets which share of their hats.

    Attributes:
        kept: (k,) of n that stay, increasing.
        out: (n - k,) that go, increasing, no two adjacent.
        first: how many of the first ones this is too far from to matter to.
        shares: of those that go, for the kept from ``first`` on, (n - k, k - first).
    """

    kept: NDArray[np.intp]
    out: NDArray[np.intp]
    first: int
    shares: FloatArray

    def values(self, row: FloatArray) -> FloatArray:
        """See `Coarsening`."""
        return row.take(self.kept)

    def weights(self, row: FloatArray) -> FloatArray:
        """See `Coarsening`."""
        return np.concatenate([row[: self.first], self.handed(row[self.first :])])

    def handed(self, rows: FloatArray) -> FloatArray:
        """Sums with hats of the times from ``first`` on, (..., n - first) -> (..., k - first)."""
        moved: FloatArray = rows.take(self.out - self.first, -1) @ self.shares
        moved += rows.take(self.kept[self.first :] - self.first, -1)
        return moved


def _merger(times: FloatArray, out: NDArray[np.intp]) -> _Merger:
    stays = np.ones(len(times), dtype=bool)
    stays[out] = False
    kept = np.flatnonzero(stays)
    # The next one after out[i] that stays is number out[i] - i of them.
    heirs = (out - np.arange(len(out)))[:, None] + _HEIRS
    first = max(0, int(heirs[0, 0]) - _REACH)
    shares = np.zeros((len(out), len(kept) - first))
    shares[np.arange(len(out))[:, None], heirs - first] = _lagrange(times[kept[heirs]], times[out])
    return _Merger(kept, out, first, shares)


def _lagrange(nodes: FloatArray, at: FloatArray) -> FloatArray:
    """Polynomials that are 1 at one of the nodes (k, p) and 0 at the others, at (k,), (k, p)."""
    own = np.eye(nodes.shape[1], dtype=bool)
    apart = nodes[:, :, None] - nodes[:, None]
    apart[:, own] = 1.0
    ratios = (at[:, None] - nodes)[:, None] / apart
    ratios[:, own] = 1.0
    return np.asarray(ratios.prod(-1))


def _not_adjacent(candidates: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of increasing numbers, every second one of each run of neighbours."""
    order = np.arange(len(candidates))
    starts = np.ones(len(candidates), dtype=bool)
    starts[1:] = candidates[1:] - candidates[:-1] > 1
    first = np.maximum.accumulate(np.where(starts, order, 0))
    return np.asarray(candidates[(order - first) % 2 == 0])
