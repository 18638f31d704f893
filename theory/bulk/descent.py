"""From far above the bulk, where P is nearly linear in lam, down to the real axis.

    P  ~  -phi snr lam      far above

The way leads down over the middle of the spectrum to a part of a typical eigenvalue, there
sideways, and down again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..spectrum import FloatArray
from .complex_equation import ComplexArray
from .continuation import Continuation, is_real
from .resolvent import NoSolutionError

__all__ = ["PILE", "Descent"]

PILE = 1e-7  # eigenvalues nearer to zero, in units of the typical one, are not told apart

_FAR = 50  # typical eigenvalues above the axis, where the way begins
_HEIGHT = 0.3  # of the way round where Newton cannot follow the axis, in typical eigenvalues
# The way of many points together: sideways from the middle in these shares, then down by this
# factor a step, with so many steps of Newton's method for an attempt to land on the axis.
_SIDEWAYS, _FALL, _LANDING = (0.3, 0.65, 1.0), 0.1, 6
_CAREFUL_FALL = 0.2  # of a single point, which may take smaller steps
_FLOOR = 1e-9  # height at which a point without density is read, in typical eigenvalues
_NEAR_ZERO = 1e-10  # height at which the mass at zero is read, in typical eigenvalues
_ATOM = 1e-4  # a smaller mass at zero is none
# Where the way to zero is lost after so many masses: those that extrapolate to such a share of the
# last one fall to zero.
_SEEN, _FALLEN = 4, 0.02


class Descent:
    """The way down for one law.

    Args:
        path: follows P from one point to the next.

    Raises:
        NoSolutionError: if P is not found far above.
    """

    def __init__(self, path: Continuation) -> None:
        law = path.equation.law
        self._path, self._law = path, law
        height = _FAR * max(law.scale, abs(law.mean))
        start = law.aspect_ratio * law.snr * (-law.mean - 1j * height)
        far = path.newton(law.mean + 1j * height, start * np.eye(law.rows))
        self._top = law.mean + 1j * _HEIGHT * law.scale
        base = far and path.walk(law.mean + 1j * height, self._top, far[0], far[1])
        if base is None:
            raise NoSolutionError(f"no resolvent at lam = {self._top:.6g}, above the bulk")
        self._base = base

    def floor(self, lam: FloatArray) -> FloatArray:
        """The height at which points without density are read, of the shape of ``lam``."""
        # Close to zero an atom there must not be smeared over lam.
        near = np.maximum(np.abs(lam), PILE * self._law.scale)
        floor: FloatArray = _FLOOR * np.minimum(self._law.scale, near)
        return floor

    def together(
        self, grid: FloatArray
    ) -> tuple[ComplexArray, ComplexArray, ComplexArray, NDArray[np.bool_]]:
        """Solve at points (L,), all at once.

        Returns:
            where each ended (L,): on the axis, or just above it where there is no density; P and
            dP/dlam there (L, m, m); and whether the way was found (L,).
        """
        base, rate = self._base
        middle, height, floor = self._law.mean, self._top.imag, self.floor(grid)
        at = np.full(len(grid), self._top)
        p, slope = np.repeat(base[None], len(grid), 0), np.repeat(rate[None], len(grid), 0)
        alive, landed = np.ones(len(grid), bool), np.zeros(len(grid), bool)
        real = np.zeros(len(grid), bool)  # where Newton has found no density on the axis
        for share in _SIDEWAYS:
            target = middle + (grid - middle) * share + 1j * height
            alive = self._path.advance(at, target, p, slope, alive)
        while True:
            flying = alive & ~landed & (at.imag > floor)
            if not flying.any():
                break
            target = np.where(flying, grid + 1j * np.maximum(_FALL * at.imag, floor), at)
            alive &= ~flying | self._path.advance(at, target, p, slope, flying)
            trying = np.flatnonzero(alive & flying & (~real | (at.imag <= floor)))
            guess = p[trying] - 1j * at[trying].imag[:, None, None] * slope[trying]
            axis = grid[trying].astype(complex)
            reached, rates, down = self._path.newton_all(axis, guess, _LANDING)
            real[trying] = is_real(reached)
            touched = trying[down]
            p[touched], slope[touched] = reached[down], rates[down]
            at[touched], landed[touched] = grid[touched], True
            # A real solution on the axis is on the branch if it is just above.
            hovering = np.flatnonzero(real[trying] & ~down)
            some = trying[hovering]
            if len(some):
                above = grid[some] + 1j * floor[some]
                guess = reached[hovering] + 1j * floor[some, None, None] * rates[hovering]
                reached, rates, found = self._path.newton_all(above, guess)
                some = some[found]
                at[some], p[some], slope[some] = above[found], reached[found], rates[found]
        return at, p, slope, alive

    def alone(self, lam: float) -> tuple[complex, ComplexArray, ComplexArray]:
        """Solve at a single point, more patiently.

        Returns:
            where it ended: on the axis, or at a tiny height where some direction has no density; P
            and dP/dlam there (m, m).

        Raises:
            NoSolutionError: if the way is lost.
        """
        height, floor = self._top.imag, float(self.floor(np.array(lam)))
        moved = self._path.walk(self._top, lam + 1j * height, *self._base)
        while moved is not None and height > floor:
            lower = max(_CAREFUL_FALL * height, floor)
            moved = self._path.walk(lam + 1j * height, lam + 1j * lower, *moved)
            height = lower
        if moved is None:
            raise NoSolutionError(f"the resolvent was lost at lam = {lam:.6g} + {height:.3g} i")
        on_axis = self._path.newton(lam, moved[0])
        return (lam, *on_axis) if on_axis else (lam + 1j * height, *moved)

    def mass_at_zero(self) -> float:
        """The mass at zero, lim -lam tr S / m as lam goes to 0 along the imaginary axis.

        On the way -lam tr S / m only falls. Where the density diverges at zero the way ends early;
        there the masses seen on it, which then fall by the same factor a step, are extrapolated.

        Raises:
            NoSolutionError: if the way is lost.
        """
        law = self._law
        height, floor = self._top.imag, _NEAR_ZERO * law.scale
        moved = self._path.walk(self._top, 1j * height, *self._base)
        masses: list[float] = []
        while moved is not None:
            s = law.aspect_ratio * law.snr * np.linalg.inv(moved[0])
            mass = height * float(np.trace(s).imag) / law.rows
            if mass < _ATOM:
                return 0.0
            if height <= floor:
                return mass
            masses.append(mass)
            moved = self._path.walk(1j * height, 0.1j * height, *moved)
            height *= 0.1
        if len(masses) > _SEEN and _limit(*masses[-3:]) < _FALLEN * masses[-1]:
            return 0.0
        raise NoSolutionError(f"the resolvent was lost at lam = {height:.3g} i")


def _limit(first: float, second: float, third: float) -> float:
    """The limit of a geometric approach, by Aitken's process."""
    return third - (third - second) ** 2 / ((third - second) - (second - first))
