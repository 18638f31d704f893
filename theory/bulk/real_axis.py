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
        model: the same of a nearby law on fewer nodes, whose P is a guess of this one's.

    Attributes:
        equation: of the law.
        known: the points that are kept, from left to right.
        atom: share of the eigenvalues that are zero because the matrix is rank deficient.

    Raises:
        NoSolutionError: if P is not found far above, or lost on the way to zero.
    """

    def __init__(self, law: CurvatureLaw, model: RealAxis | None = None) -> None:
        self.equation = complex_equation(law)
        self.known: list[AxisPoint] = []
        self._model = model
        self._path = Continuation(self.equation)
        self._descent = Descent(self._path)
        self.atom = self._descent.mass_at_zero()

    def solve_all(self, places: Sequence[float]) -> list[AxisPoint]:
        """P(lam + i0) at many points: beside known points or a model's, or else from high above.

        Raises:
            NoSolutionError: if the equation could not be solved at one of them.
        """
        found = _Found.nothing(np.array(places, dtype=float), self.equation.law.rows)
        self._interpolate(found)
        self._extrapolate(found)
        self._imitate(found)
        left = found.left
        if len(left):
            solved = self._descent.together(found.grid[left])
            found.at[left], found.p[left], found.slope[left], found.done[left] = solved
        points = dict(zip(np.flatnonzero(found.done).tolist(), self._read(found), strict=True))
        return [points.get(i) or self._alone(lam) for i, lam in enumerate(found.grid.tolist())]

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
        one = (np.array([at], complex), p[None], slope[None], np.ones(1, bool))
        return self._read(_Found(np.array([lam]), *one))[0]

    def _read(self, found: _Found) -> list[AxisPoint]:
        """The points at which P was found."""
        done = found.done
        grid, at, p, slope = found.grid[done], found.at[done], found.p[done], found.slope[done]
        above, density = self.equation.above(at, p), self.equation.density(p)
        density = np.where((at.imag > 0) & self._is_none(density), 0.0, density)
        places = zip(grid.tolist(), p, slope, above.tolist(), density.tolist(), strict=True)
        return [AxisPoint(*place) for place in places]

    def _is_none(self, density: FloatArray) -> NDArray[np.bool_]:
        none: NDArray[np.bool_] = density * self.equation.law.scale <= _NONE
        return none

    def _newton(
        self, found: _Found, some: NDArray[np.intp], guess: ComplexArray, live: NDArray[np.bool_]
    ) -> None:
        """Newton's method at some of the points, from guesses with density or without, (L,).

        Where there is none it is led just above the axis, which tells its branch.
        """
        floor = np.where(live, 0.0, self._descent.floor(found.grid[some]))
        at = found.grid[some] + 1j * floor
        p, slope, done = self._path.newton_all(at, guess)
        done[~live] &= self._is_none(self.equation.density(p[~live]))
        found.at[some], found.p[some], found.slope[some], found.done[some] = at, p, slope, done

    def _interpolate(self, found: _Found) -> None:
        """Solve between neighbours that both have density.

        Cubic interpolation is so close that Newton's method is done in a step or two.
        """
        if len(self.known) < 2:
            return
        grid = found.grid
        lam = np.array([point.lam for point in self.known])
        live = np.array([point.density > 0 for point in self.known])
        right = np.clip(np.searchsorted(lam, grid), 1, len(lam) - 1)
        left = right - 1
        inside = (lam[left] <= grid) & (grid <= lam[right]) & live[left] & live[right]
        inside &= np.sign(lam[left]) == np.sign(lam[right])
        some = np.flatnonzero(inside)
        if not len(some):
            return
        left, right = left[some], right[some]
        (p, slope), (other, rate) = self._at_known(left), self._at_known(right)
        width = (lam[right] - lam[left])[:, None, None]
        t = (grid[some] - lam[left])[:, None, None] / width
        guess = (1 + 2 * t) * (1 - t) ** 2 * p + t**2 * (3 - 2 * t) * other
        guess += width * t * (1 - t) * ((1 - t) * slope - t * rate)
        self._newton(found, some, guess, np.ones(len(some), bool))

    def _extrapolate(self, found: _Found) -> None:
        """Solve, where it is not done, from a known point: the nearest one with density.

        Among points without density it is the nearest of them.
        """
        left = found.left
        if not self.known or not len(left):
            return
        lam = np.array([point.lam for point in self.known])
        live = np.array([point.density > 0 for point in self.known])
        right = np.searchsorted(lam, found.grid[left])
        around = np.clip([right - 1, right], 0, len(lam) - 1)
        busy = live[around].any(0)
        distances = np.abs(found.grid[left, None] - lam)
        distances[found.grid[left, None] * lam <= 0] = math.inf  # not across an atom at zero
        distances[busy[:, None] & ~live] = math.inf
        nearest = distances.argmin(1)
        near = np.isfinite(distances.min(1))
        left, nearest = left[near], nearest[near]
        if not len(left):
            return
        known, rate = self._at_known(nearest)
        guess = known + (found.grid[left] - lam[nearest])[:, None, None] * rate
        start = np.where(on_branch(guess)[:, None, None], guess, known)
        self._newton(found, left, start, live[nearest])

    def _imitate(self, found: _Found) -> None:
        """Solve, where it is not done, from the model's P."""
        left = found.left
        if self._model is None or not len(left):
            return
        model = self._model.solve_all(found.grid[left].tolist())
        guess = np.array([point.p for point in model])
        self._newton(found, left, guess, np.array([point.density > 0 for point in model]))

    def _at_known(self, chosen: NDArray[np.intp]) -> tuple[ComplexArray, ComplexArray]:
        """P and dP/dlam (L, m, m) at some of the known points (L,)."""
        points = [self.known[i] for i in chosen]
        return np.array([point.p for point in points]), np.array([point.slope for point in points])


@dataclass(frozen=True)
class _Found:
    """What is found so far at points of the real axis.

    Attributes:
        grid: the points, (L,).
        at: where P is found instead: there, or just above where there is no density, (L,).
        p: P, (L, m, m).
        slope: dP/dlam, (L, m, m).
        done: whether it is found, (L,).
    """

    grid: FloatArray
    at: ComplexArray
    p: ComplexArray
    slope: ComplexArray
    done: NDArray[np.bool_]

    @classmethod
    def nothing(cls, grid: FloatArray, m: int) -> _Found:
        """At first."""
        p, slope = np.zeros((2, len(grid), m, m), dtype=complex)
        return cls(grid, grid.astype(complex), p, slope, np.zeros(len(grid), bool))

    @property
    def left(self) -> NDArray[np.intp]:
        """Where it is not found."""
        return np.flatnonzero(~self.done)


def between(a: float, b: float) -> list[float]:
    """Where to look between two points; nearer and nearer to zero, where a law may pile up."""
    if a <= 0 <= b:
        return [end / 8 for end in (a, b) if end != 0]
    if b > 8 * a > 0 or a < 8 * b < 0:
        return [math.copysign(math.sqrt(a * b), a)]
    return [(a + b) / 2]
