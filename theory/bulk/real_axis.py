"""P on the real axis inside the bulk: from known points beside it, or else from above."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..spectrum import FloatArray
from .complex_equation import ComplexArray, complex_equation, on_branch
from .continuation import Continuation
from .descent import Descent
from .law import CurvatureLaw

__all__ = ["AxisPoint", "RealAxis", "between"]

_NONE = 1e-4  # density just above the axis, times the typical eigenvalue, that is none


@dataclass(frozen=True)
class AxisPoint:
    """P at lam + i0 and dP/dlam (m, m), the share of eigenvalues above, and the density."""

    lam: float
    p: ComplexArray
    slope: ComplexArray
    above: float
    density: float


class RealAxis:
    """Solver at points of the real axis that knows the points it is told to keep.

    Args:
        law: law of D.

    Attributes:
        equation: of the law.
        known: the points that are kept, from left to right.
        atom: share of the eigenvalues that are zero because the matrix is rank deficient.

    Raises:
        NoSolutionError: if P is not found far above, or lost on the way to zero.
    """

    def __init__(self, law: CurvatureLaw) -> None:
        self.equation = complex_equation(law)
        self.known: list[AxisPoint] = []
        self._path = Continuation(self.equation)
        self._descent = Descent(self._path)
        self.atom = self._descent.mass_at_zero()

    def solve_all(self, places: Sequence[float]) -> list[AxisPoint]:
        """P(lam + i0) at many points: between known points, or else from high above.

        Raises:
            NoSolutionError: if the equation could not be solved at one of them.
        """
        grid = np.array(places, dtype=float)
        m = self.equation.law.rows
        p, slope = np.zeros((2, len(grid), m, m), dtype=complex)
        at = grid.astype(complex)
        done = self._interpolate(grid, p, slope)
        self._extrapolate(grid, p, slope, done)
        left = np.flatnonzero(~done)
        if len(left):
            at[left], p[left], slope[left], done[left] = self._descent.together(grid[left])
        found: list[AxisPoint | None] = [None] * len(grid)
        settled = np.flatnonzero(done)
        if len(settled):
            read = self._read(grid[settled], at[settled], p[settled], slope[settled])
            for i, point in zip(settled, read, strict=True):
                found[i] = point
        return [point or self._alone(float(lam)) for lam, point in zip(grid, found, strict=True)]

    def solve(self, lam: float) -> AxisPoint:
        """The same at a single point."""
        return self.solve_all([lam])[0]

    def keep(self, points: Iterable[AxisPoint]) -> None:
        """Keep these points, one a place, beside those that are kept already."""
        known = {point.lam: point for point in (*self.known, *points)}
        self.known = [known[lam] for lam in sorted(known)]

    def add(self, lam: float) -> AxisPoint:
        """Solve at a point and keep it, so that the next ones are found from it."""
        point = self.solve(lam)
        insort(self.known, point, key=lambda known: known.lam)
        return point

    def _alone(self, lam: float) -> AxisPoint:
        """From above, where it cannot be solved together with other points."""
        at, p, slope = self._descent.alone(lam)
        return self._read(np.array([lam]), np.array([at], complex), p[None], slope[None])[0]

    def _read(
        self, grid: FloatArray, at: ComplexArray, p: ComplexArray, slope: ComplexArray
    ) -> list[AxisPoint]:
        """The points whose P was found at ``at``, on the axis or just above it."""
        above, density = self.equation.above(at, p), self.equation.density(p)
        none = (at.imag > 0) & (density * self.equation.law.scale <= _NONE)
        density = np.where(none, 0.0, density)
        places = zip(grid.tolist(), p, slope, above.tolist(), density.tolist(), strict=True)
        return [AxisPoint(*place) for place in places]

    def _interpolate(
        self, grid: FloatArray, p: ComplexArray, slope: ComplexArray
    ) -> NDArray[np.bool_]:
        """Solve between neighbours that both have density; says where, (L,).

        Cubic interpolation is so close that Newton's method is done in a step or two.
        """
        done = np.zeros(len(grid), bool)
        if len(self.known) < 2:
            return done
        lam = np.array([point.lam for point in self.known])
        live = np.array([point.density > 0 for point in self.known])
        known = np.array([point.p for point in self.known])
        rate = np.array([point.slope for point in self.known])
        right = np.clip(np.searchsorted(lam, grid), 1, len(lam) - 1)
        left = right - 1
        inside = (lam[left] <= grid) & (grid <= lam[right]) & live[left] & live[right]
        inside &= np.sign(lam[left]) == np.sign(lam[right])
        some = np.flatnonzero(inside)
        if not len(some):
            return done
        left, right = left[some], right[some]
        width = lam[right] - lam[left]
        t = ((grid[some] - lam[left]) / width)[:, None, None]
        guess = (1 + 2 * t) * (1 - t) ** 2 * known[left] + t**2 * (3 - 2 * t) * known[right]
        guess += width[:, None, None] * t * (1 - t) * ((1 - t) * rate[left] - t * rate[right])
        p[some], slope[some], done[some] = self._path.newton_all(grid[some].astype(complex), guess)
        return done

    def _extrapolate(
        self, grid: FloatArray, p: ComplexArray, slope: ComplexArray, done: NDArray[np.bool_]
    ) -> None:
        """Solve, in place, where it is not done, from the nearest known point with density."""
        left = np.flatnonzero(~done)
        live = [point for point in self.known if point.density > 0]
        if not live or not len(left):
            return
        lam = np.array([point.lam for point in live])
        distances = np.abs(grid[left, None] - lam)
        distances[grid[left, None] * lam <= 0] = math.inf  # not across an atom at zero
        nearest = distances.argmin(1)
        near = np.isfinite(distances.min(1))
        left, nearest = left[near], nearest[near]
        if not len(left):
            return
        known = np.array([live[i].p for i in nearest])
        rate = np.array([live[i].slope for i in nearest])
        guess = known + (grid[left] - lam[nearest])[:, None, None] * rate
        start = np.where(on_branch(guess)[:, None, None], guess, known)
        found = self._path.newton_all(grid[left].astype(complex), start)
        p[left], slope[left], done[left] = found


def between(a: float, b: float) -> list[float]:
    """Where to look between two points; nearer and nearer to zero, where a law may pile up."""
    if a <= 0 <= b:
        return [end / 8 for end in (a, b) if end != 0]
    if b > 8 * a > 0 or a < 8 * b < 0:
        return [math.copysign(math.sqrt(a * b), a)]
    return [(a + b) / 2]
