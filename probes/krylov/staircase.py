"""The cumulative law of point masses as a continuous function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...theory.spectrum import FloatArray
from .bands import Bands

__all__ = ["Staircase"]

# Weights below this belong to directions that a column does not see.
_NOTHING = 1e-14


@dataclass(frozen=True)
class Staircase:
    """F(x), linear between the midpoints of its jumps and the ends of bands.

    Attributes:
        knots: increasing.
        levels: F at the knots; it is constant outside.
    """

    knots: FloatArray
    levels: FloatArray

    @staticmethod
    def of(bands: Bands, nodes: FloatArray, weights: FloatArray, scale: float) -> Staircase:
        """The law with these masses, (m,), none of which leaves its band.

        Nodes that differ by no more than ``scale`` from each other, or from a point of a band, are
        at one place, so that a point has half of the jump.
        """
        present = weights > _NOTHING
        order = np.argsort(nodes[present])
        nodes, weights = nodes[present][order], weights[present][order]
        ends = bands.ends
        if not len(nodes):
            return Staircase(ends, np.zeros_like(ends))
        nodes = _snapped(nodes, bands.points, scale)
        first = np.flatnonzero(np.diff(nodes, prepend=-np.inf) > scale)
        masses = np.add.reduceat(weights, first)
        total = np.cumsum(masses)
        below = np.concatenate([[0.0], total])[np.searchsorted(nodes[first], ends)]
        knots = np.concatenate([nodes[first], ends])
        levels = np.concatenate([total - masses / 2, below])
        ascending = np.argsort(knots)
        return Staircase(knots[ascending], levels[ascending])

    def at(self, places: FloatArray) -> FloatArray:
        """F there."""
        return np.interp(places, self.knots, self.levels)

    def slopes(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Growth over windows; 0 over empty ones."""
        width = high - low
        grown = self.at(high) - self.at(low)
        slopes: FloatArray = np.where(width > 0, grown / np.where(width > 0, width, 1.0), 0.0)
        return slopes


def _snapped(nodes: FloatArray, points: FloatArray, scale: float) -> FloatArray:
    """Each node at the nearest of the points if it is within ``scale`` of it."""
    right = np.searchsorted(points, nodes).clip(max=len(points) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(nodes - points[left] < points[right] - nodes, points[left], points[right])
    return np.where(np.abs(nodes - nearest) <= scale, nearest, nodes)
