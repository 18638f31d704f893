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
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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
# The way of many points together: sideways from the middle in these shares, then down by this
# factor a step, with so many steps of Newton's method for an attempt to land on the axis.
_SIDEWAYS, _FALL, _LANDING = (0.3, 0.65, 1.0), 0.1, 6
_REAL = 1e-9  # relative imaginary part below which a solution counts as real: no density there
_HEIGHT = 0.3  # of the way round where Newton cannot follow the axis, in typical eigenvalues
_NONE = 1e-4  # density, in units of one over the typical eigenvalue, that is none at that height
_PILE = 1e-7  # eigenvalues nearer to zero, in units of the typical one, are not told apart
_FLOOR = 1e-9  # height at which a point without density is read, in typical eigenvalues
_SKELETON = 40  # points that are solved one after the other, each from its neighbour
_RESOLUTION = 2.5  # largest share of the eigenvalues between neighbours, times those points
_CACHED = 60_000  # complex numbers of a batch that stay in the cache
_PASSES = 40
_INCONSISTENT = 0.02  # share by which density and counting function may contradict each other
_DOUBTS = 6  # times that more points are tried before density and counting function disagree
_MARGIN = 0.2  # of the visible width: nearer points without density are drawn too
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
    """Equation (1) for one law, at L complex P at once, (L, m, m)."""

    def __init__(self, law: CurvatureLaw) -> None:
        self.law = law

    @abstractmethod
    def correction(self, lam: ComplexArray, p: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """Newton's steps towards P(lam), and dP/dlam, both at P and (L, m, m)."""

    @abstractmethod
    def above(self, lam: ComplexArray, p: ComplexArray) -> FloatArray:
        """Shares (L,) of the eigenvalues above lam, stationary in P at P(lam)."""

    def density(self, p: ComplexArray) -> FloatArray:
        """(1/pi) Im tr S / m, (L,)."""
        law = self.law
        s = law.aspect_ratio * law.snr * np.trace(np.linalg.inv(p), axis1=1, axis2=2)
        density: FloatArray = s.imag / math.pi / law.rows
        return density


class _ScalarEquation(_Equation):
    """m = 1: P (E[D / (P + D)] - 1 / phi) = snr lam."""

    def __init__(self, law: CurvatureLaw) -> None:
        super().__init__(law)
        self._d, self._w = law.scalar_factors, law.weights

    def correction(self, lam: ComplexArray, p: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        law, value = self.law, p[:, 0, 0]
        a = self._d / (value[:, None] + self._d)
        derivative = (a * a) @ self._w - 1 / law.aspect_ratio
        residual = value * (a @ self._w - 1 / law.aspect_ratio) - law.snr * lam
        step, slope = -residual / derivative, law.snr / derivative
        return step[:, None, None], slope[:, None, None]

    def above(self, lam: ComplexArray, p: ComplexArray) -> FloatArray:
        phi, snr, value = self.law.aspect_ratio, self.law.snr, p[:, 0, 0]
        shifted = value[:, None] + self._d
        mean = (1 / shifted) @ self._w
        q = value * (1 - value * mean)
        at_nodes = _lower_angle(shifted) @ self._w + (value * mean).imag
        total = _lower_angle(q / snr - lam) + phi * (at_nodes - _lower_angle(value))
        above: FloatArray = 1 + total / math.pi
        return above


class _MatrixEquation(_Equation):
    """m >= 2."""

    def __init__(self, law: CurvatureLaw) -> None:
        super().__init__(law)
        self._equation = MatrixEquation(law)
        self._upper = np.triu_indices(law.rows)

    def correction(self, lam: ComplexArray, p: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        m, snr = self.law.rows, self.law.snr
        steps, slopes = np.empty_like(p), np.empty_like(p)
        for part in self._parts(len(p)):
            at = self._equation.evaluate(p[part])
            right = np.empty((len(at.value), m * m, 2), dtype=p.dtype)
            wanted = snr * lam[part, None, None] * np.eye(m) - at.value
            right[:, :, 0] = wanted.reshape(-1, m * m)
            right[:, :, 1] = (snr * np.eye(m)).reshape(-1)
            finite = np.isfinite(right).all((1, 2)) & np.isfinite(at.derivative).all((1, 2))
            solved = np.full_like(right, complex(math.nan))
            solved[finite] = np.linalg.solve(at.derivative[finite], right[finite])
            step = solved[:, :, 0].reshape(-1, m, m)
            slope = solved[:, :, 1].reshape(-1, m, m)
            steps[part] = (step + np.swapaxes(step, 1, 2)) / 2
            slopes[part] = (slope + np.swapaxes(slope, 1, 2)) / 2
        return steps, slopes

    def above(self, lam: ComplexArray, p: ComplexArray) -> FloatArray:
        law, phi = self.law, self.law.aspect_ratio
        total = np.empty(len(p))
        for part in self._parts(len(p)):
            at = self._equation.evaluate(p[part])
            shift = lam[part, None, None] * np.eye(law.rows)
            inner = (at.value + p[part] / phi) / law.snr - shift
            at_nodes = _lower_angle(at.pivots).sum(0) @ law.weights
            at_nodes += np.trace(p[part] @ at.mean, axis1=1, axis2=2).imag
            total[part] = self._argument(inner) + phi * (at_nodes - self._argument(p[part]))
        above: FloatArray = 1 + total / math.pi / law.rows
        return above

    def _parts(self, points: int) -> list[slice]:
        """As many points at once as stay in the cache."""
        size = max(1, _CACHED // (len(self.law.weights) * len(self._upper[0])))
        return [slice(start, start + size) for start in range(0, points, size)]

    def _argument(self, matrices: ComplexArray) -> FloatArray:
        """The arguments of det of matrices (L, m, m) in the lower half plane, from 0 to -m pi.

        Continued from -m pi at minus infinity it is the sum of the arguments of the pivots.
        """
        packed = matrices[:, self._upper[0], self._upper[1]].T
        argument: FloatArray = _lower_angle(symmetric_inverse(packed)[1]).sum(0)
        return argument


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
        """Density and counting function on a grid that is denser where the eigenvalues are.

        Args:
            points: number of points.
            coarse: a law with a larger quadrature error, for the estimate of the errors.

        Raises:
            NoSolutionError: if the equation could not be solved somewhere, or density and counting
                function contradict each other.
        """
        self._sample()
        found = self._solve_all(self._grid(points).tolist())
        self._certify(found)
        lam = np.array([point.lam for point in found])
        p = np.array([point.p for point in found])
        density = np.array([point.density for point in found])
        above = np.array([point.above for point in found])
        changes = self._changes(_equation(coarse), lam, p, density, above)
        return Profile(
            points=lam,
            density=density,
            cumulative=np.maximum.accumulate(np.clip(1 - above, 0.0, 1.0)),
            density_errors=changes[0],
            cumulative_errors=changes[1],
        )

    def read(self, places: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Density of the continuous part, and share of the eigenvalues above, at points (L,).

        Raises:
            NoSolutionError: if the equation could not be solved at one of them.
        """
        self._sample()
        found = self._solve_all(places.tolist())
        return (
            np.array([point.density for point in found]),
            np.array([point.above for point in found]),
        )

    def knots(self, low: float, high: float) -> tuple[FloatArray, FloatArray]:
        """Points between which the counting function of a band is resolved.

        Args:
            low: lower end of the band.
            high: its upper end; an infinite one is replaced by that of ``reach``.

        Returns:
            the points (L,), increasing from low to high, and the shares (L,) above them.
        """
        self._sample()
        low, high = max(low, self.reach[0]), min(high, self.reach[1])
        known = dict(self._shares_above())
        for end in {low, high} - set(known):
            known[end] = self._solve(end).above
        points = sorted(lam for lam in known if low <= lam <= high)
        return np.array(points), np.array([known[lam] for lam in points])

    @property
    def sampled(self) -> bool:
        """Whether the way through the bulk has been gone."""
        return bool(self._points)

    def seeds(self) -> list[tuple[float, FloatArray]]:
        """Points without density between two with density, and the real P (m, m) there.

        One in the middle of each run of such points; an atom at zero divides a run.
        """
        self._sample()
        runs: list[list[_Point]] = [[]]
        seen = self.atom > 0 and self.lower >= 0  # the atom at zero lies below the first band
        before = -math.inf
        for point in self._points:
            if self.atom > 0 and before < 0 < point.lam:
                runs.append([])
            before = point.lam
            if point.density > 0:
                runs.append([])
                seen = True
            elif seen:
                runs[-1].append(point)
        if not (self.atom > 0 and self.upper <= 0):
            runs.pop()
        middles = [run[len(run) // 2] for run in runs if run]
        return [(point.lam, np.ascontiguousarray(point.p.real)) for point in middles]

    def quantile(self, share_above: float) -> float:
        """The point with the given share of eigenvalues above it, an edge if there is none.

        Args:
            share_above: in (0, 1); 1/(2 m d) gives the upper finite-size edge.
        """
        self._sample()
        known = self._shares_above()
        if known[0][1] <= share_above:
            return known[0][0]
        if known[-1][1] >= share_above:
            return known[-1][0]
        last = max(i for i, (_, above) in enumerate(known) if above > share_above)
        (low, above_low), (high, above_high) = known[last : last + 2]
        ends = {low: above_low, high: above_high}

        def excess(lam: float) -> float:
            return (ends[lam] if lam in ends else self._add(lam).above) - share_above

        return float(brentq(excess, low, high, xtol=1e-12 * self.law.scale, rtol=1e-10))

    def share_above(self, lam: float) -> float:
        """The share of the eigenvalues above a point, an atom at zero not counted at zero."""
        if lam >= self.upper:
            return self.atom * (lam < 0)
        if lam <= self.lower:
            return 1 - self.atom * (lam >= 0)
        return self._solve(lam or _BESIDE * self.law.scale).above

    def _shares_above(self) -> list[tuple[float, float]]:
        """The counting function at the known points and at finite edges, from left to right."""
        known = [(point.lam, point.above) for point in self._points]
        if math.isfinite(self.lower):
            known.insert(0, (self.lower, 1 - self.atom * (self.lower >= 0)))
        if math.isfinite(self.upper):
            known.append((self.upper, self.atom * (self.upper <= 0)))
        return known

    def _sample(self) -> None:
        """Solve at so many points that the counting function is resolved between them."""
        if self._points:
            return
        low, high = self.reach
        angles = (np.arange(_SKELETON) + 0.5) * np.pi / _SKELETON
        new = list(low + (high - low) * (1 - np.cos(angles)) / 2)
        if self.atom > 0 and low < 0 < high:  # an atom in between: its two sides
            new += [-_BESIDE * self.law.scale, _BESIDE * self.law.scale]
        for _ in range(_PASSES):
            known = {point.lam: point for point in (*self._points, *self._solve_all(new))}
            self._points = [known[lam] for lam in sorted(known)]
            new = self._gaps(_RESOLUTION / _SKELETON)
            if not new:
                return
        raise NoSolutionError(
            f"the counting function is not resolved near lam = {new[0]:.6g} "
            f"(edges {self.lower:.6g}, {self.upper:.6g})"
        )

    def _gaps(self, share: float) -> list[float]:
        """Where a further point is needed: more than ``share`` between neighbours."""
        known = self._shares_above()
        live = {point.lam for point in self._points if point.density > 0}
        new = []
        for (a, above_a), (b, above_b) in pairwise(known):
            atom = self.atom if a < 0 < b else 0.0
            near_zero = max(abs(a), abs(b)) < _PILE * self.law.scale
            # A grid ends at the outermost points with density: little should lie beyond them.
            most = share if a in live and b in live else share / 4
            if above_a - above_b - atom > most and not near_zero:
                new += _between(a, b)
        return new

    def _grid(self, points: int) -> FloatArray:
        """Points (points,) that follow both the eigenvalues and the distance from the ends."""
        seen = self._visible()
        lam = np.array([point.lam for point in seen])
        below = np.array([1 - point.above for point in seen])
        below -= self.atom * (lam > 0)
        height = np.arccos(np.clip(1 - 2 * (lam - lam[0]) / (lam[-1] - lam[0]), -1, 1))
        below = np.maximum.accumulate(below)
        place = height / math.pi + (below - below[0]) / max(below[-1] - below[0], 1e-300)
        grid: FloatArray = np.interp(np.linspace(0, place[-1], points), place, lam)
        return grid

    def _certify(self, found: list[_Point]) -> None:
        """Raise if the counting function grows otherwise than the density lets it.

        Between two points it may grow by no more than the larger density, and no less than the
        smaller one, which holds where the points are close enough: where it seems not to hold,
        more of them are tried.
        """
        for _ in range(_DOUBTS):
            union = {point.lam: point for point in (*self._points, *found)}
            points = [union[at] for at in sorted(union)]
            lam = np.array([point.lam for point in points])
            excess = self._excess(points, lam)
            if excess.sum() <= _INCONSISTENT:
                return
            doubtful = np.flatnonzero(excess > _INCONSISTENT / len(excess))
            new = [at for i in doubtful for at in _between(lam[i], lam[i + 1])]
            found = [*found, *self._solve_all(new)]
        worst = int(excess.argmax())
        raise NoSolutionError(
            f"density and counting function differ by {excess.sum():.2g} of the eigenvalues, "
            f"most between lam = {lam[worst]:.6g} and {lam[worst + 1]:.6g}"
        )

    def _excess(self, points: list[_Point], lam: FloatArray) -> FloatArray:
        """By how much the counting function between neighbours leaves what density allows."""
        density = np.array([point.density for point in points])
        cumulative = np.array([1 - point.above for point in points])
        around_zero = (lam[:-1] < 0) & (lam[1:] > 0)
        share = np.diff(cumulative) - self.atom * around_zero
        most = np.maximum(density[:-1], density[1:]) * np.diff(lam)
        least = np.minimum(density[:-1], density[1:]) * np.diff(lam)
        # Next to zero a law may pile up between two points, which `_sample` bounds.
        excess = np.where(around_zero, 0.0, np.maximum(share - most, 0))
        total: FloatArray = excess + np.maximum(least - share, 0)
        return total

    def _changes(
        self,
        other: _Equation,
        lam: FloatArray,
        p: ComplexArray,
        density: FloatArray,
        above: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Changes of density and counting function, to first order, under another law."""
        at = lam.astype(complex)
        live = density > 0
        changed = np.zeros(len(lam))
        with np.errstate(all="ignore"):
            moved = p[live] + other.correction(at[live], p[live])[0]
            moved_density = np.where(_is_lower(moved), other.density(moved), 0.0)
        changed[live] = np.abs(moved_density - density[live])
        return changed, np.abs(other.above(at, p) - above)

    def _visible(self) -> list[_Point]:
        """The known points from the first to the last with density, and one more if it is near."""
        live = [i for i, point in enumerate(self._points) if point.density > 0]
        if len(live) < 2:
            return self._points
        first, last = self._points[live[0]], self._points[live[-1]]
        reach = _MARGIN * (last.lam - first.lam)
        before = [point for point in self._points[: live[0]] if first.lam - point.lam < reach]
        after = [point for point in self._points[live[-1] + 1 :] if point.lam - last.lam < reach]
        return [*before[-1:], *self._points[live[0] : live[-1] + 1], *after[:1]]

    def _add(self, lam: float) -> _Point:
        """Solve at a point and keep it, so that the next ones are found from it."""
        point = self._solve(lam)
        insort(self._points, point, key=lambda known: known.lam)
        return point

    def _solve(self, lam: float) -> _Point:
        return self._solve_all([lam])[0]

    def _solve_all(self, places: Sequence[float]) -> list[_Point]:
        """P(lam + i0) at many points: between known points, or else from high above."""
        grid = np.array(places, dtype=float)
        m = self.law.rows
        p, slope = np.zeros((2, len(grid), m, m), dtype=complex)
        at = grid.astype(complex)
        done = self._interpolate(grid, p, slope)
        if len(grid) == 1 and not done[0]:
            done = self._extrapolate(grid, p, slope)
        left = np.flatnonzero(~done)
        if len(left):
            at[left], p[left], slope[left], done[left] = self._land(grid[left])
        found: list[_Point | None] = [None] * len(grid)
        settled = np.flatnonzero(done)
        if len(settled):
            above = self._equation.above(at[settled], p[settled])
            density = self._equation.density(p[settled])
            none = (at[settled].imag > 0) & (density * self.law.scale <= _NONE)
            density = np.where(none, 0.0, density)
            for i, share, value in zip(settled, above, density, strict=True):
                found[i] = _Point(float(grid[i]), p[i], slope[i], float(share), float(value))
        return [point or self._descend(float(lam)) for lam, point in zip(grid, found, strict=True)]

    def _interpolate(
        self, grid: FloatArray, p: ComplexArray, slope: ComplexArray
    ) -> NDArray[np.bool_]:
        """Solve between neighbours that both have density; says where, (L,).

        Cubic interpolation is so close that Newton's method is done in a step or two.
        """
        done = np.zeros(len(grid), bool)
        if len(self._points) < 2:
            return done
        lam = np.array([point.lam for point in self._points])
        live = np.array([point.density > 0 for point in self._points])
        known = np.array([point.p for point in self._points])
        rate = np.array([point.slope for point in self._points])
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
        p[some], slope[some], done[some] = self._newton_all(grid[some].astype(complex), guess)
        return done

    def _extrapolate(
        self, grid: FloatArray, p: ComplexArray, slope: ComplexArray
    ) -> NDArray[np.bool_]:
        """Solve at a single point from the nearest one with density; says whether, (1,)."""
        lam = float(grid[0])
        live = [point for point in self._points if point.density > 0 and point.lam * lam > 0]
        if not live:
            return np.zeros(1, bool)
        nearest = min(live, key=lambda point: abs(point.lam - lam))
        guess = nearest.p + (lam - nearest.lam) * nearest.slope
        start = guess if _is_lower(guess[None])[0] else nearest.p
        p[:], slope[:], done = self._newton_all(grid.astype(complex), start[None])
        return done

    def _land(
        self, grid: FloatArray
    ) -> tuple[ComplexArray, ComplexArray, ComplexArray, NDArray[np.bool_]]:
        """Solve from high above, all points together.

        Returns:
            where each ended (L,): on the axis, or just above it where there is no density; P and
            dP/dlam there (L, m, m); and whether the way was found (L,).
        """
        base, rate = self._base
        height, scale = self._top.imag, self.law.scale
        # Close to zero an atom there must not be smeared over lam.
        floor = _FLOOR * np.minimum(scale, np.maximum(np.abs(grid), _PILE * scale))
        at = np.full(len(grid), self._top)
        p, slope = np.repeat(base[None], len(grid), 0), np.repeat(rate[None], len(grid), 0)
        alive, landed = np.ones(len(grid), bool), np.zeros(len(grid), bool)
        for share in _SIDEWAYS:
            target = self._middle + (grid - self._middle) * share + 1j * height
            alive = self._advance(at, target, p, slope, alive)
        while True:
            flying = alive & ~landed & (at.imag > floor)
            if not flying.any():
                break
            target = np.where(flying, grid + 1j * np.maximum(_FALL * at.imag, floor), at)
            alive &= ~flying | self._advance(at, target, p, slope, flying)
            trying = np.flatnonzero(alive & flying)
            guess = p[trying] - 1j * at[trying].imag[:, None, None] * slope[trying]
            reached, rates, down = self._newton_all(grid[trying].astype(complex), guess, _LANDING)
            touched = trying[down]
            p[touched], slope[touched] = reached[down], rates[down]
            at[touched], landed[touched] = grid[touched], True
        return at, p, slope, alive

    def _advance(
        self,
        at: ComplexArray,
        target: ComplexArray,
        p: ComplexArray,
        slope: ComplexArray,
        moving: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Follow P from ``at`` to ``target``, in place, where ``moving``; says where it was found.

        A step that fails is taken in two halves.
        """
        found = np.zeros(len(at), bool)
        some = np.flatnonzero(moving)
        for parts in (1, 2, 6):
            if not len(some):
                break
            here, there = at[some], target[some]
            state, rate = p[some], slope[some]
            on = np.ones(len(some), bool)
            for part in range(1, parts + 1):
                goal = here + (there - here) * (part / parts)
                last = here + (there - here) * ((part - 1) / parts)
                going = np.flatnonzero(on)
                state[going], rate[going], on[going] = self._newton_all(
                    goal[going], state[going] + rate[going] * (goal - last)[going, None, None]
                )
            p[some[on]], slope[some[on]], at[some[on]] = state[on], rate[on], there[on]
            found[some[on]] = True
            some = some[~on]
        return found

    def _read(self, lam: complex, p: ComplexArray) -> tuple[float, float]:
        """Share above and density at one P (m, m)."""
        above = self._equation.above(np.array([complex(lam)]), p[None])
        return float(above[0]), float(self._equation.density(p[None])[0])

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
            return _Point(lam, *on_axis, *self._read(lam, on_axis[0]))
        above, density = self._read(lam + 1j * height, moved[0])
        return _Point(lam, *moved, above, density if density * self.law.scale > _NONE else 0.0)

    def _walk(
        self, start: complex, end: complex, p: ComplexArray, slope: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray] | None:
        """Follow P along a segment, halving the step where Newton fails; None if it is lost."""
        position, step, halvings = start, end - start, 0
        while position != end:
            target = end if abs(end - position) <= abs(step) * (1 + 1e-12) else position + step
            guess = p + slope * (target - position)
            moved = self._newton(target, guess if _is_lower(guess[None])[0] else p)
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
        p, slope, settled = self._newton_all(np.array([complex(lam)]), guess[None])
        return (p[0], slope[0]) if settled[0] else None

    def _newton_all(
        self, lam: ComplexArray, guess: ComplexArray, steps: int = _NEWTON_STEPS
    ) -> tuple[ComplexArray, ComplexArray, NDArray[np.bool_]]:
        """The same at points (L,) from guesses (L, m, m), and where it was found, (L,)."""
        p, slope = guess.copy(), np.zeros_like(guess)
        settled, running = np.zeros(len(p), bool), np.arange(len(p))
        least = np.where(lam.imag == 0, _REAL, 0.0)
        with np.errstate(all="ignore"):
            for _ in range(steps):
                if not len(running):
                    break
                try:
                    step, slope[running] = self._equation.correction(lam[running], p[running])
                except np.linalg.LinAlgError:
                    break
                p[running] += step
                size = np.abs(step).max((1, 2))
                done = size < _TOLERANCE * np.abs(p[running]).max((1, 2))
                ended = running[done]
                settled[ended] = _is_lower(p[ended], least[ended])
                running = running[~done & np.isfinite(size)]
        return p, slope, settled

    def _atom(self) -> float:
        """The mass at zero, lim -lam tr S / m as lam goes to 0 along the imaginary axis.

        On the way -lam tr S / m only falls.
        """
        law = self.law
        height, floor = self._top.imag, _NEAR_ZERO * law.scale
        moved = self._walk(self._top, 1j * height, *self._base)
        while moved is not None:
            s = law.aspect_ratio * law.snr * np.linalg.inv(moved[0])
            mass = height * float(np.trace(s).imag) / law.rows
            if mass < _ATOM:
                return 0.0
            if height <= floor:
                return mass
            moved = self._walk(1j * height, 0.1j * height, *moved)
            height *= 0.1
        raise NoSolutionError(f"the resolvent was lost at lam = {height:.3g} i")

    @cached_property
    def reach(self) -> tuple[float, float]:
        """The interval between the edges, or with all but a tiny share of the eigenvalues."""
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


def _is_lower(p: ComplexArray, least: FloatArray | float = 0.0) -> NDArray[np.bool_]:
    """Whether every eigenvalue of -Im P is above ``least`` |P|, for P (L, m, m)."""
    if p.shape[1] == 1:
        smallest: FloatArray = -p[:, 0, 0].imag
    else:
        finite = np.isfinite(p).all((1, 2))
        smallest = np.full(len(p), -math.inf)
        smallest[finite] = np.linalg.eigvalsh(-p[finite].imag)[:, 0]
    lower: NDArray[np.bool_] = smallest > least * np.abs(p).max((1, 2), initial=0.0)
    return lower


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
