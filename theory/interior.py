"""Inside the bulk: density and counting function on the real axis.

Equation (1) of docs/theory.md in P = T^(-1) = phi snr S^(-1) on the branch Im P < 0, on which it
has exactly one solution (M = (P + D)^(-1)), and the counting function

    #{eigenvalues > lam} / d = m + (1/pi) Im[ log det(Q/snr - lam) - phi log det P
                                              + phi E log det(P + D) + phi tr P E[M] ]

with Q = E[D M P], stationary in P at the solution.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from .curvature_law import CurvatureLaw
from .exterior import NoSolutionError
from .matrix_equation import MatrixEquation, symmetric_inverse
from .spectrum import FloatArray

__all__ = ["Interior", "Profile", "interior"]

ComplexArray = NDArray[Any]  # of complex128

_NEWTON_STEPS = 10
_TOLERANCE = 1e-7  # of the last step; the error left is of the order of its square
_HALVINGS = 3
_REAL = 1e-9  # relative imaginary part below which a solution counts as real: no density there
_HEIGHT = 0.3  # of the way round where Newton cannot follow the axis, in typical eigenvalues
_NONE = 1e-4  # density, in units of one over the typical eigenvalue, that is none at that height
_PILE = 1e-7  # eigenvalues nearer to zero, in units of the typical one, are not told apart
_FLOOR = 1e-9  # height at which a point without density is read, in typical eigenvalues
_RESOLUTION = 2.5  # largest share of the eigenvalues between neighbours, times the points
_PASSES = 40
_INCONSISTENT = 0.02  # share by which density and counting function may contradict each other
_BESIDE = 1e-5  # distance of the points next to an atom, in typical eigenvalues
_NEAR_ZERO = 1e-10  # height at which the mass at zero is read, in typical eigenvalues
_ATOM = 1e-4  # a smaller mass at zero is none
_TAIL = 1e-6  # share of eigenvalues in a tail that is left out


@dataclass(frozen=True)
class Profile:
    """Solution along the bulk.

    Attributes:
        points: (N,) increasing.
        density: (N,) of the continuous part, at the points.
        cumulative: (N,) share of the eigenvalues below the points, an atom at zero included.
        density_errors: (N,) change of ``density`` if the law is replaced by a coarser one.
        cumulative_errors: (N,) the same of ``cumulative``.
    """

    points: FloatArray
    density: FloatArray
    cumulative: FloatArray
    density_errors: FloatArray
    cumulative_errors: FloatArray


@dataclass(frozen=True)
class _Point:
    """P at lam + i0 and dP/dlam (m, m), the share of eigenvalues above, and the density."""

    lam: float
    p: ComplexArray
    slope: ComplexArray
    above: float
    density: float


class _Equation(ABC):
    """Equation (1) for one law, at complex P (m, m)."""

    def __init__(self, law: CurvatureLaw) -> None:
        self.law = law

    @abstractmethod
    def correction(self, lam: complex, p: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """Newton's step towards P(lam), and dP/dlam, both at P."""

    @abstractmethod
    def above(self, lam: complex, p: ComplexArray) -> float:
        """Share of the eigenvalues above lam, stationary in P at P(lam)."""

    def density(self, p: ComplexArray) -> float:
        """(1/pi) Im tr S / m."""
        law = self.law
        s = law.aspect_ratio * law.snr * np.trace(np.linalg.inv(p))
        return float(s.imag) / math.pi / law.rows


class _ScalarEquation(_Equation):
    """m = 1: P (E[D / (P + D)] - 1 / phi) = snr lam."""

    def __init__(self, law: CurvatureLaw) -> None:
        super().__init__(law)
        self._d, self._w = law.scalar_factors, law.weights

    def correction(self, lam: complex, p: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        law = self.law
        value = p[0, 0]
        a = self._d / (value + self._d)
        wa = self._w * a
        derivative = wa @ a - 1 / law.aspect_ratio
        residual = value * (wa.sum() - 1 / law.aspect_ratio) - law.snr * lam
        step: ComplexArray = np.array([[-residual / derivative]])
        return step, np.array([[law.snr / derivative]])

    def above(self, lam: complex, p: ComplexArray) -> float:
        phi, snr, value = self.law.aspect_ratio, self.law.snr, p[0, 0]
        shifted = value + self._d
        mean = self._w @ (1 / shifted)
        q = value * (self._w @ (self._d / shifted))
        at_nodes = float(self._w @ _lower_angle(shifted) + (value * mean).imag)
        total = _lower_angle(q / snr - lam) + phi * (at_nodes - _lower_angle(value))
        return float(1 + total / math.pi)


class _MatrixEquation(_Equation):
    """m >= 2."""

    def __init__(self, law: CurvatureLaw) -> None:
        super().__init__(law)
        self._equation = MatrixEquation(law)
        self._upper = np.triu_indices(law.rows)

    def correction(self, lam: complex, p: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        m, snr = self.law.rows, self.law.snr
        at = self._equation.evaluate(p)
        identity = np.eye(m)
        right = np.stack([snr * lam * identity - at.value, snr * identity]).reshape(2, -1).T
        if not (np.isfinite(right).all() and np.isfinite(at.derivative).all()):
            return np.full((m, m), complex(math.nan)), np.full((m, m), complex(math.nan))
        step, slope = np.linalg.solve(at.derivative, right).T.reshape(2, m, m)
        return (step + step.T) / 2, (slope + slope.T) / 2

    def above(self, lam: complex, p: ComplexArray) -> float:
        law, phi = self.law, self.law.aspect_ratio
        at = self._equation.evaluate(p)
        inner = (at.value + p / phi) / law.snr - lam * np.eye(law.rows)
        at_nodes = float(law.weights @ _lower_angle(at.pivots).sum(0))
        at_nodes += float(np.trace(p @ at.mean).imag)
        total = self._argument(inner) + phi * (at_nodes - self._argument(p))
        return 1 + total / math.pi / law.rows

    def _argument(self, matrix: ComplexArray) -> float:
        """The argument of det of a matrix in the lower half plane, from 0 down to -m pi.

        Continued from -m pi at minus infinity it is the sum of the arguments of the pivots.
        """
        pivots = symmetric_inverse(matrix[self._upper][:, None])[1]
        return float(_lower_angle(pivots).sum())


class Interior:
    """Solver inside the bulk, between two asymptotic edges (infinite allowed).

    Args:
        law: law of D.
        lower: asymptotic lower edge.
        upper: asymptotic upper edge.

    Attributes:
        atom: share of the eigenvalues that are zero because the matrix is rank deficient.
    """

    def __init__(self, law: CurvatureLaw, lower: float, upper: float) -> None:
        self.law = law
        self.lower, self.upper = lower, upper
        self._equation = _equation(law)
        self._points: list[_Point] = []
        self._middle = float(
            law.weights @ np.trace(law.factors, axis1=1, axis2=2) / law.rows / law.snr
        )
        height = 50 * max(law.scale, abs(self._middle))
        start = law.aspect_ratio * law.snr * (-self._middle - 1j * height)
        far = self._newton(self._middle + 1j * height, start * np.eye(law.rows))
        self._top = self._middle + 1j * _HEIGHT * law.scale
        base = far and self._walk(self._middle + 1j * height, self._top, far[0], far[1])
        if base is None:
            raise NoSolutionError(f"no resolvent at lam = {self._top:.6g}, above the bulk")
        self._base = base
        self.atom = self._atom()

    def profile(self, points: int, coarse: CurvatureLaw) -> Profile:
        """Density and counting function on an adaptive grid.

        Args:
            points: about how many points; the grid is denser at the edges, and refined until at
                most 2.5 / points of the eigenvalues lie between neighbours.
            coarse: a law with a larger quadrature error, for the estimate of the errors.

        Raises:
            NoSolutionError: if the equation could not be solved somewhere, or density and counting
                function contradict each other.
        """
        self._sample(points)
        lam = np.array([point.lam for point in self._points])
        density = np.array([point.density for point in self._points])
        cumulative = 1 - np.array([point.above for point in self._points])
        self._certify(lam, density, cumulative)
        other = _equation(coarse)
        changes = np.array([self._change(other, point) for point in self._points])
        return Profile(
            points=lam,
            density=density,
            cumulative=np.maximum.accumulate(np.clip(cumulative, 0.0, 1.0)),
            density_errors=changes[:, 0],
            cumulative_errors=changes[:, 1],
        )

    def quantile(self, share_above: float) -> float:
        """The point with the given share of eigenvalues above it, an edge if there is none.

        Args:
            share_above: in (0, 1); 1/(2 m d) gives the upper finite-size edge.
        """
        if not self._points:
            self._sample(24)
        known = self._shares_above()
        if known[0][1] <= share_above:
            return known[0][0]
        if known[-1][1] >= share_above:
            return known[-1][0]
        last = max(i for i, (_, above) in enumerate(known) if above > share_above)
        (low, above_low), (high, above_high) = known[last : last + 2]
        ends = {low: above_low, high: above_high}

        def excess(lam: float) -> float:
            return (ends[lam] if lam in ends else self._solve(lam).above) - share_above

        return float(brentq(excess, low, high, xtol=1e-12 * self.law.scale, rtol=1e-10))

    def _shares_above(self) -> list[tuple[float, float]]:
        """The counting function at the known points and at finite edges, from left to right."""
        known = [(point.lam, point.above) for point in self._points]
        if math.isfinite(self.lower):
            known.insert(0, (self.lower, 1 - self.atom * (self.lower >= 0)))
        if math.isfinite(self.upper):
            known.append((self.upper, self.atom * (self.upper <= 0)))
        return known

    def _sample(self, points: int) -> None:
        """Solve on a grid that is fine enough for so many points."""
        low, high = self._range()
        half = max(points // 2, 8)
        angles = (np.arange(half) + 0.5) * np.pi / half
        grid = low + (high - low) * (1 - np.cos(angles)) / 2
        for side in (grid[grid <= self._middle][::-1], grid[grid > self._middle]):
            for lam in side:
                point = self._add(float(lam))
                beyond = 1 - point.above if lam <= self._middle else point.above
                if beyond - self.atom * ((lam > 0) == (lam <= self._middle)) < _TAIL:
                    break
        if self.atom > 0 and low < 0 < high:  # an atom in between: its two sides
            self._add(-_BESIDE * self.law.scale)
            self._add(_BESIDE * self.law.scale)
        for _ in range(_PASSES):
            new = self._gaps(_RESOLUTION / points)
            for lam in new:
                self._add(lam)
            if not new:
                return
        raise NoSolutionError(
            f"the counting function is not resolved near lam = {new[0]:.6g} "
            f"(edges {self.lower:.6g}, {self.upper:.6g})"
        )

    def _gaps(self, share: float) -> list[float]:
        """Where a further point is needed: more than ``share`` between neighbours."""
        known = self._shares_above()
        new = []
        for (a, above_a), (b, above_b) in pairwise(known):
            atom = self.atom if a < 0 < b else 0.0
            near_zero = max(abs(a), abs(b)) < _PILE * self.law.scale
            if above_a - above_b - atom > share and not near_zero:
                new += _between(a, b)
        return new

    def _certify(self, lam: FloatArray, density: FloatArray, cumulative: FloatArray) -> None:
        """Raise if the counting function grows otherwise than the density lets it."""
        share = np.diff(cumulative) - self.atom * ((lam[:-1] < 0) & (lam[1:] > 0))
        most = np.maximum(density[:-1], density[1:]) * np.diff(lam)
        least = np.minimum(density[:-1], density[1:]) * np.diff(lam)
        # Next to zero a law may pile up between two points, which `_sample` bounds.
        around_zero = (lam[:-1] < 0) & (lam[1:] > 0)
        excess = np.where(around_zero, 0.0, np.maximum(share - most, 0))
        excess += np.maximum(least - share, 0)
        if excess.sum() > _INCONSISTENT:
            worst = int(excess.argmax())
            raise NoSolutionError(
                f"density and counting function differ by {excess.sum():.2g} of the eigenvalues, "
                f"most between lam = {lam[worst]:.6g} and {lam[worst + 1]:.6g}"
            )

    def _change(self, other: _Equation, point: _Point) -> tuple[float, float]:
        """Changes of density and counting function, to first order, under another law."""
        above = abs(other.above(point.lam, point.p) - point.above)
        if point.density == 0:
            return 0.0, above
        with np.errstate(all="ignore"):
            step, _ = other.correction(point.lam, point.p)
        moved = point.p + step
        density = other.density(moved) if _is_lower(moved) else 0.0
        return abs(density - point.density), above

    def _add(self, lam: float) -> _Point:
        place = bisect_left(self._points, lam, key=lambda point: point.lam)
        if place == len(self._points) or self._points[place].lam != lam:
            self._points.insert(place, self._solve(lam))
        return self._points[place]

    def _solve(self, lam: float) -> _Point:
        """P(lam + i0), from the nearest known point, or else from high above."""
        live = [point for point in self._points if point.density > 0]
        if live:
            nearest = min(live, key=lambda point: abs(point.lam - lam))
            moved = self._walk(nearest.lam, lam, nearest.p, nearest.slope)
            if moved is not None:
                return self._point(lam, *moved)
        return self._descend(lam)

    def _point(self, lam: float, p: ComplexArray, slope: ComplexArray) -> _Point:
        above = self._equation.above(lam, p)
        return _Point(lam, p, slope, above, self._equation.density(p))

    def _descend(self, lam: float) -> _Point:
        """P(lam + i0) from above; read at a tiny height where some direction has no density."""
        height = self._top.imag
        moved = self._walk(self._top, lam + 1j * height, *self._base)
        # Close to zero an atom there must not be smeared over lam.
        floor = _FLOOR * min(self.law.scale, max(abs(lam), _PILE * self.law.scale))
        while moved is not None and height > floor:
            lower = max(0.2 * height, floor)
            moved = self._walk(lam + 1j * height, lam + 1j * lower, *moved)
            height = lower
        if moved is None:
            raise NoSolutionError(f"the resolvent was lost at lam = {lam:.6g} + {height:.3g} i")
        on_axis = self._newton(lam, moved[0])
        if on_axis is not None:
            return self._point(lam, *on_axis)
        above = self._equation.above(lam + 1j * height, moved[0])
        density = self._equation.density(moved[0])
        return _Point(lam, *moved, above, density if density * self.law.scale > _NONE else 0.0)

    def _walk(
        self, start: complex, end: complex, p: ComplexArray, slope: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray] | None:
        """Follow P along a segment, halving the step where Newton fails; None if it is lost."""
        position, step, halvings = start, end - start, 0
        while position != end:
            target = end if abs(end - position) <= abs(step) * (1 + 1e-12) else position + step
            guess = p + slope * (target - position)
            moved = self._newton(target, guess if _is_lower(guess) else p)
            if moved is None:
                step /= 2
                halvings += 1
                if halvings > _HALVINGS:
                    return None
            else:
                position, (p, slope) = target, moved
        return p, slope

    def _newton(
        self, lam: complex, guess: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray] | None:
        """P(lam) near a guess and dP/dlam, if it lies on the branch; None otherwise.

        On the real axis a solution that is real along some direction is refused: there Newton
        cannot tell on which branch it is.
        """
        p, least = guess, _REAL if lam.imag == 0 else 0.0
        with np.errstate(all="ignore"):
            for _ in range(_NEWTON_STEPS):
                try:
                    step, slope = self._equation.correction(lam, p)
                except np.linalg.LinAlgError:
                    return None
                p = p + step
                size = np.abs(step).max()
                if not np.isfinite(size):
                    return None
                if size < _TOLERANCE * np.abs(p).max():
                    return (p, slope) if _is_lower(p, least) else None
        return None

    def _atom(self) -> float:
        """The mass at zero, lim -lam tr S / m as lam goes to 0 along the imaginary axis."""
        law = self.law
        height, floor = self._top.imag, _NEAR_ZERO * law.scale
        moved = self._walk(self._top, 1j * height, *self._base)
        while moved is not None and height > floor:
            lower = 0.1 * height
            moved = self._walk(1j * height, 1j * lower, *moved)
            height = lower
        if moved is None:
            raise NoSolutionError(f"the resolvent was lost at lam = {height:.3g} i")
        s = law.aspect_ratio * law.snr * np.linalg.inv(moved[0])
        mass = height * float(np.trace(s).imag) / law.rows
        return mass if mass > _ATOM else 0.0

    def _range(self) -> tuple[float, float]:
        """The interval to be sampled: between the edges, or as far out as the law reaches."""
        low, high = self.lower, self.upper
        reach = self.law.scale
        while math.isinf(high) and self._solve(self._middle + reach).above > _TAIL:
            reach *= 1.5
        high = high if math.isfinite(high) else self._middle + reach
        reach = self.law.scale
        while math.isinf(low) and 1 - self._solve(self._middle - reach).above > _TAIL:
            reach *= 1.5
        low = low if math.isfinite(low) else self._middle - reach
        return low, high


def _is_lower(p: ComplexArray, least: float = 0.0) -> bool:
    """Whether every eigenvalue of -Im P is above ``least`` |P|."""
    if len(p) == 1:
        return bool(-p[0, 0].imag > least * abs(p[0, 0]))
    return bool(np.linalg.eigvalsh(-p.imag)[0] > least * np.abs(p).max())


def _lower_angle(values: ComplexArray) -> FloatArray:
    """Arguments in [-pi, 0] of numbers in the closed lower half plane."""
    angle: FloatArray = np.arctan2(np.minimum(values.imag, -0.0), values.real)
    return angle


def _between(a: float, b: float) -> list[float]:
    """Where to look between two points; nearer and nearer to zero, where a law may pile up."""
    if a <= 0 <= b:
        return [end / 8 for end in (a, b) if end != 0]
    if b > 8 * a > 0 or a < 8 * b < 0:
        return [math.copysign(math.sqrt(a * b), a)]
    return [(a + b) / 2]


def _equation(law: CurvatureLaw) -> _Equation:
    return _ScalarEquation(law) if law.rows == 1 else _MatrixEquation(law)


def interior(law: CurvatureLaw, lower: float, upper: float) -> Interior:
    """The inside of the bulk between two asymptotic edges."""
    return Interior(law, lower, upper)
