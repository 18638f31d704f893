"""Inside the bulk: the counting function, sampled until it is resolved, and what is read off it."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..spectrum import FloatArray
from .bulk_profile import Profile, bulk_profile
from .descent import PILE
from .law import CurvatureLaw
from .real_axis import AxisPoint, RealAxis, between
from .resolvent import NoSolutionError

__all__ = ["Interior", "interior"]

_SKELETON = 40  # points that are solved together at first
_RESOLUTION = 2.5  # largest share of the eigenvalues between neighbours, times those points
_PASSES = 40
_BESIDE = 1e-5  # distance of the points next to an atom, in typical eigenvalues
_SETTLED = 1e-6  # of the distance to a bend, Newton's last step: its square is the error left
_TINY = 1e-12  # a bracket or a step this small is none, in typical eigenvalues
_TAIL = 1e-6  # share of eigenvalues in a tail that is left out


class Interior:
    """Solver inside the bulk, between two asymptotic edges (infinite allowed).

    Args:
        law: law of D.
        lower: asymptotic lower edge.
        upper: asymptotic upper edge.
        model: the same of a nearby law on fewer nodes, from which this one is found faster.

    Attributes:
        atom: share of the eigenvalues that are zero because the matrix is rank deficient.
    """

    def __init__(
        self, law: CurvatureLaw, lower: float, upper: float, model: Interior | None = None
    ) -> None:
        self.law = law
        self.lower, self.upper = lower, upper
        self._axis: RealAxis = RealAxis(law, None if model is None else model._axis)
        self.atom = self._axis.atom

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
        return bulk_profile(self._axis, points, coarse)

    def read(self, places: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Density of the continuous part, and share of the eigenvalues above, at points (L,).

        Raises:
            NoSolutionError: if the equation could not be solved at one of them.
        """
        self._sample()
        found = self._axis.solve_all(places.tolist())
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
            known[end] = self._axis.solve(end).above
        points = sorted(lam for lam in known if low <= lam <= high)
        return np.array(points), np.array([known[lam] for lam in points])

    @property
    def sampled(self) -> bool:
        """Whether the way through the bulk has been gone."""
        return bool(self._axis.known)

    def seeds(self) -> list[tuple[float, FloatArray]]:
        """Points without density between two with density, and the real P (m, m) there.

        One in the middle of each run of such points; an atom at zero divides a run.
        """
        self._sample()
        runs: list[list[AxisPoint]] = [[]]
        seen = self.atom > 0 and self.lower >= 0  # the atom at zero lies below the first band
        before = -math.inf
        for point in self._axis.known:
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

    @cached_property
    def reach(self) -> tuple[float, float]:
        """The interval between the edges, or with all but a tiny share of the eigenvalues."""
        low, high = self.lower, self.upper
        reach = self.law.scale
        while math.isinf(high) and self._axis.solve(self.law.mean + reach).above > _TAIL:
            reach *= 1.5
        high = high if math.isfinite(high) else self.law.mean + reach
        reach = self.law.scale
        while math.isinf(low) and 1 - self._axis.solve(self.law.mean - reach).above > _TAIL:
            reach *= 1.5
        low = low if math.isfinite(low) else self.law.mean - reach
        return low, high

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
        target = _straightened(share_above)
        before, after = _straightened(above_low) - target, _straightened(above_high) - target
        lam = low + (high - low) * before / (before - after)
        while low < lam < high and high - low > _TINY * max(abs(lam), self.law.scale):
            point = self._axis.add(lam)
            excess = _straightened(point.above) - target
            low, high = (lam, high) if excess > 0 else (low, lam)
            fall = point.density * _straightening(point.above)
            step = excess / fall if fall > 0 else math.inf
            # Near an end of the bulk, or an atom, the counting function bends within the distance.
            bend = min(abs(lam), lam - self.lower, self.upper - lam)
            if abs(step) <= max(_SETTLED * bend, _TINY * self.law.scale):
                return lam + step
            middle = (low + high) / 2 if low < 0 < high else between(low, high)[0]
            lam = lam + step if low < lam + step < high else middle
        return lam

    def share_above(self, lam: float) -> float:
        """The share of the eigenvalues above a point, an atom at zero not counted at zero."""
        if lam >= self.upper:
            return self.atom * (lam < 0)
        if lam <= self.lower:
            return 1 - self.atom * (lam >= 0)
        return self._axis.solve(lam or _BESIDE * self.law.scale).above

    def _shares_above(self) -> list[tuple[float, float]]:
        """The counting function at the known points and at finite edges, from left to right."""
        known = [(point.lam, point.above) for point in self._axis.known]
        if math.isfinite(self.lower):
            known.insert(0, (self.lower, 1 - self.atom * (self.lower >= 0)))
        if math.isfinite(self.upper):
            known.append((self.upper, self.atom * (self.upper <= 0)))
        return known

    def _sample(self) -> None:
        """Solve at so many points that the counting function is resolved between them."""
        if self._axis.known:
            return
        low, high = self.reach
        angles = (np.arange(_SKELETON) + 0.5) * np.pi / _SKELETON
        new = list(low + (high - low) * (1 - np.cos(angles)) / 2)
        if self.atom > 0 and low < 0 < high:  # an atom in between: its two sides
            new += [-_BESIDE * self.law.scale, _BESIDE * self.law.scale]
        for _ in range(_PASSES):
            self._axis.keep(self._axis.solve_all(new))
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
        live = {point.lam for point in self._axis.known if point.density > 0}
        new = []
        for (a, above_a), (b, above_b) in pairwise(known):
            atom = self.atom if a < 0 < b else 0.0
            near_zero = max(abs(a), abs(b)) < PILE * self.law.scale
            # A grid ends at the outermost points with density: little should lie beyond them.
            most = share if a in live and b in live else share / 4
            if above_a - above_b - atom > most and not near_zero:
                new += between(a, b)
        return new


def _straightened(share: float) -> float:
    """Of a share of eigenvalues, which is (e - lam)^(3/2) near an edge e: nearly linear in lam."""
    return math.cbrt(share**2) - math.cbrt((1 - share) ** 2)


def _straightening(share: float) -> float:
    """The derivative of ``_straightened``, 0 for a share that rounding has left at an end."""
    if not 0 < share < 1:
        return 0.0
    return (1 / math.cbrt(share) + 1 / math.cbrt(1 - share)) * 2 / 3


def interior(
    law: CurvatureLaw, lower: float, upper: float, model: Interior | None = None
) -> Interior:
    """The inside of the bulk between two asymptotic edges, found from a nearby law's if given."""
    return Interior(law, lower, upper, model)
