"""The density of eigenvalues that are all known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...theory.deferred import deferred, later
from ...theory.spectrum import Density, FloatArray
from .bands import Bands
from .staircase import Staircase

__all__ = ["SOURCE", "SPACINGS", "density_of", "exact_density"]

# The fields that the others follow from.
SOURCE = ("eigenvalues", "resolution")

# Eigenvalues are what float32 holds where its rounding is such a share of their resolution.
_FINER = 1 / 16

# A gap is wider than so many spacings on one of its sides: of independent eigenvalues one spacing
# in 2000 is, of those that repel each other none.
SPACINGS = 12


def exact_density(eigenvalues: FloatArray, scale: float) -> Density:
    """F(lam) = share below lam,  and its slopes over windows of sqrt(N) eigenvalues.

    Windows are those of `bands.Bands`. The points are the eigenvalues, and both ends of each gap.
    The cumulative has no error. That of a slope over m eigenvalues is v (c^2 / m)^(1/2), with c^2
    the variance over the mean of numbers of eigenvalues nearby: 1 where they are independent, less
    where they repel each other; and half the change over windows twice as wide.

    Args:
        eigenvalues: (N,) ascending.
        scale: distance below which they are equal; those that close to zero are an atom, without
            density. Digits far below it are dropped.
    """
    near = eigenvalues.astype(np.float32).astype(np.float64)
    fits = np.abs(near - eigenvalues).max(initial=0.0) <= _FINER * scale
    kept = near if fits else eigenvalues
    known = {"eigenvalues": kept, "resolution": scale}
    return deferred(Density, known, lambda: _law(kept, scale), source=SOURCE)


def density_of(eigenvalues: Callable[[], FloatArray], scale: float) -> Density:
    """The same of eigenvalues that are taken as they are and made when they are asked for."""

    def make() -> dict[str, Any]:
        found = eigenvalues()
        return {"eigenvalues": found, **later(lambda: _law(found, scale))}

    return deferred(Density, {"resolution": scale}, make, source=SOURCE)


def _law(eigenvalues: FloatArray, scale: float) -> dict[str, FloatArray]:
    first = np.flatnonzero(np.diff(eigenvalues, prepend=-np.inf) > scale)
    points = np.add.reduceat(eigenvalues, first) / np.diff(first, append=len(eigenvalues))
    points[np.abs(points) <= scale] = 0.0
    bands = Bands.of(points, np.zeros_like(points), SPACINGS, 1, scale)
    one = 1 / len(eigenvalues)
    shares = np.full_like(eigenvalues, one)
    law = Staircase.of(bands, eigenvalues, shares, scale)
    bulk = Staircase.of(bands, eigenvalues, np.where(np.abs(eigenvalues) > scale, one, 0.0), scale)
    half = max(1, round(len(eigenvalues) ** 0.5) // 2)
    low, high = bands.windows(half)
    slopes = bulk.slopes(low, high)
    numbers = slopes * (high - low) / one
    relative = np.hypot(
        _irregularity(bands, slopes / one, numbers, half), bands.lopsided(low, high)
    )
    change = bulk.slopes(*bands.windows(half, 2)) - slopes
    values, errors = bands.densities(slopes, np.hypot(relative * slopes, change), one)
    cumulative = law.at(bands.grid)
    return {
        "points": bands.grid,
        "values": values,
        "errors": errors,
        "cumulative": cumulative,
        "cumulative_errors": np.zeros_like(cumulative),
    }


def _irregularity(bands: Bands, rates: FloatArray, numbers: FloatArray, half: int) -> FloatArray:
    """(p,) relative standard errors of the numbers of eigenvalues in windows.

    In units of the mean spacing here, b neighbouring spacings have the length b on average. Its
    variance is c^2 b; c^2 falls with b where eigenvalues repel each other. It is taken from the
    ``half`` points to either side, with b a quarter of the number in the window.

    Args:
        bands: of the points.
        rates: (p,) eigenvalues per length.
        numbers: (p,) in the window of each.
        half: number of points.
    """
    spacings = np.diff(bands.points) * (rates[:-1] + rates[1:]) / 2
    place = np.r_[0.0, np.cumsum(spacings)]
    index = np.arange(len(place))
    block = 2 ** np.floor(np.log2(np.maximum(numbers / 4, 1))).astype(int)
    relative = np.ones_like(place)
    for b in np.unique(block[block < len(place)]):
        within = bands.low[b:] == bands.low[:-b]
        squares = np.where(within, (place[b:] - place[:-b] - b) ** 2 / b, 0.0)
        total, count = (np.r_[0.0, np.cumsum(part)] for part in (squares, within))
        here = index[block == b]
        low, high = np.maximum(here - half, 0), np.minimum(here + half - b + 1, len(squares))
        number = count[high] - count[low]
        mean = (total[high] - total[low]) / np.where(number > 0, number, 1.0)
        relative[here] = np.where(number > 0, mean, 1.0)
    error: FloatArray = np.sqrt(relative / np.maximum(numbers, 1.0))
    return error
