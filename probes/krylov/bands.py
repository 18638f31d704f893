"""Points in bands between gaps, and windows around them that cross no gap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...theory.spectrum import FloatArray

__all__ = ["Bands"]

# A band's last points have a spacing between so many of them, and it ends half a spacing beyond.
_LAST = 2


@dataclass(frozen=True)
class Bands:
    """Points in bands: a gap is wider than many spacings on one of its sides together.

    Attributes:
        points: (p,) increasing.
        reach: (p,) how far from a point the eigenvalues may lie that it stands for.
        gaps: (p - 1,) width of the gap behind each point but the last, 0 within a band.
        low: (p,) place of the first point of each point's band.
        high: (p,) place of the last.
        isolated: (p,) bool, whether the band is a few eigenvalues rather than a density.
        start: (p,) where each point's band begins, half a spacing before its first point.
        end: (p,) where it ends.
    """

    points: FloatArray
    reach: FloatArray
    gaps: FloatArray
    low: NDArray[np.intp]
    high: NDArray[np.intp]
    isolated: NDArray[np.bool_]
    start: FloatArray
    end: FloatArray

    @staticmethod
    def of(points: FloatArray, reach: FloatArray, count: int, cluster: int, scale: float) -> Bands:
        """Bands of at least ``count`` points, or of a ``cluster`` of them that has a reach.

        Fewer, between gaps, are isolated eigenvalues.

        Args:
            points: (p,) increasing.
            reach: (p,) 0 where an eigenvalue is exactly at its point. A gap is wider than the
                reaches from both of its sides.
            count: of spacings that are together narrower than a gap, on one of its sides.
            cluster: number of points that stand for one node of a law.
            scale: half the width of an isolated eigenvalue.
        """
        spacing = np.diff(points)
        # Of so many spacings to the left of each point, and to its right.
        left = np.full(len(points), np.inf)
        left[count:] = points[count:] - points[:-count]
        right = np.full(len(points), np.inf)
        right[:-count] = left[count:]
        empty = (spacing > np.minimum(left[:-1], right[1:])) & (spacing > reach[:-1] + reach[1:])
        first = np.flatnonzero(np.r_[True, empty])
        last = np.r_[first[1:], len(points)] - 1
        size = last - first + 1
        exact = np.maximum.reduceat(reach, first) == 0
        few = (size < np.where(exact, count, cluster)) & (len(first) > 1)
        steps = np.clip(size - 1, 1, _LAST)
        before = (points[np.minimum(first + steps, last)] - points[first]) / (2 * steps)
        after = (points[last] - points[np.maximum(last - steps, first)]) / (2 * steps)
        room = np.r_[np.inf, spacing[empty], np.inf] / 3
        # A band is not narrower than what is open.
        missing = (np.maximum.reduceat(reach, first) - (points[last] - points[first])) / 2
        before = np.minimum(np.maximum.reduce([before, missing, reach[first] / 3]), room[:-1])
        after = np.minimum(np.maximum.reduce([after, missing, reach[last] / 3]), room[1:])
        start = points[first] - np.where(few, 0.0, before) - scale
        end = points[last] + np.where(few, 0.0, after) + scale
        each = (np.repeat(part, size) for part in (first, last, few, start, end))
        return Bands(points, reach, np.where(empty, spacing, 0.0), *each)

    @cached_property
    def ends(self) -> FloatArray:
        """Where bands begin and end, increasing, each once."""
        found: FloatArray = np.unique(np.concatenate([self.start, self.end]))
        return found

    def windows(self, half: int, times: float = 1.0) -> tuple[FloatArray, FloatArray]:
        """Ends (p,) of a window around each point, symmetric as far as its band goes.

        It reaches to the nearer one of the ``half``-th points on both sides, or of the band's last
        points; from these over two spacings; and nowhere over less than half of what is open.

        Args:
            half: number of points.
            times: by how much the window is wider than that.
        """
        x, i = self.points, np.arange(len(self.points))
        left, right = self._distances(half)
        inner, outer = np.minimum(left, right), np.maximum(*self._distances(_LAST))
        width = times * np.maximum(np.where(inner > 0, inner, outer), self.reach / 2)
        return np.maximum(x - width, self.start[i]), np.minimum(x + width, self.end[i])

    def lopsided(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """(p,) by how much a window is more to one side of its point, 0 to 1.

        That share of a slope says nothing of the other side, where the density may fall to 0.
        """
        left, right = self.points - low, high - self.points
        share: FloatArray = np.abs(left - right) / np.maximum(left + right, 1e-300)
        return share

    def _distances(self, count: int) -> tuple[FloatArray, FloatArray]:
        """To the points so many places to the left and right, within the band."""
        x, i = self.points, np.arange(len(self.points))
        return x - x[np.maximum(i - count, self.low)], x[np.minimum(i + count, self.high)] - x

    @cached_property
    def _edges(self) -> tuple[FloatArray, NDArray[np.intp], FloatArray]:
        """Ends of bands at gaps, the points before which they come, and the widths of the gaps."""
        (before,) = self.gaps.nonzero()
        places = np.c_[self.end[before], self.start[before + 1]].ravel()
        real = ~np.c_[self.isolated[before], self.isolated[before + 1]].ravel()
        behind, widths = np.repeat(before + 1, 2), np.repeat(self.gaps[before], 2)
        return places[real], behind[real], widths[real]

    @property
    def grid(self) -> FloatArray:
        """The points, and the ends of bands at both sides of each gap."""
        places, behind, _ = self._edges
        return np.insert(self.points, behind, places)

    def on_grid(self, values: FloatArray, ends: FloatArray | float) -> FloatArray:
        """Values (p,) at the points on the `grid`, with others at the ends of bands."""
        return np.insert(values, self._edges[1], ends)

    def densities(
        self, values: FloatArray, errors: FloatArray, one: float
    ) -> tuple[FloatArray, FloatArray]:
        """Values and errors on the `grid`: in a gap none, to the density of one eigenvalue there.

        Args:
            values: (p,) at the points.
            errors: (p,) theirs.
            one: share of one eigenvalue.
        """
        spacing = np.diff(self.points)
        widest = np.maximum(np.r_[0.0, spacing], np.r_[spacing, 0.0])
        alone = one / np.where(self.isolated, widest, 1.0)
        return (
            self.on_grid(np.where(self.isolated, 0.0, values), 0.0),
            self.on_grid(np.where(self.isolated, alone, errors), one / self._edges[2]),
        )
