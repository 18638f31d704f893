"""The density and the counting function of a bulk on a grid, certified one by the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..spectrum import FloatArray
from .complex_equation import ComplexArray, ComplexEquation, complex_equation, on_branch
from .law import CurvatureLaw
from .real_axis import AxisPoint, RealAxis, between
from .resolvent import NoSolutionError

__all__ = ["Profile", "bulk_profile"]

_MARGIN = 0.2  # of the visible width: nearer points without density are drawn too
_INCONSISTENT = 0.02  # share by which density and counting function may contradict each other
_DOUBTS = 6  # times that more points are tried before density and counting function disagree


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


def bulk_profile(axis: RealAxis, points: int, coarse: CurvatureLaw) -> Profile:
    """Density and counting function on a grid that is denser where the eigenvalues are.

    Args:
        axis: knows points between which the counting function is resolved.
        points: number of points.
        coarse: a law with a larger quadrature error, for the estimate of the errors.

    Raises:
        NoSolutionError: if the equation could not be solved somewhere, or density and counting
            function contradict each other.
    """
    found = axis.solve_all(_grid(axis, points).tolist())
    _certify(axis, found)
    lam = np.array([point.lam for point in found])
    p = np.array([point.p for point in found])
    density = np.array([point.density for point in found])
    above = np.array([point.above for point in found])
    changes = _changes(complex_equation(coarse), lam, p, density, above)
    return Profile(
        points=lam,
        density=density,
        cumulative=np.maximum.accumulate(np.clip(1 - above, 0.0, 1.0)),
        density_errors=changes[0],
        cumulative_errors=changes[1],
    )


def _grid(axis: RealAxis, points: int) -> FloatArray:
    """Points (points,) that follow both the eigenvalues and the distance from the ends."""
    seen = _visible(axis.known)
    lam = np.array([point.lam for point in seen])
    below = np.array([1 - point.above for point in seen])
    below -= axis.atom * (lam > 0)
    height = np.arccos(np.clip(1 - 2 * (lam - lam[0]) / (lam[-1] - lam[0]), -1, 1))
    below = np.maximum.accumulate(below)
    place = height / math.pi + (below - below[0]) / max(below[-1] - below[0], 1e-300)
    grid: FloatArray = np.interp(np.linspace(0, place[-1], points), place, lam)
    return grid


def _visible(known: Sequence[AxisPoint]) -> Sequence[AxisPoint]:
    """The known points from the first to the last with density, and one more if it is near."""
    live = [i for i, point in enumerate(known) if point.density > 0]
    if len(live) < 2:
        return known
    first, last = known[live[0]], known[live[-1]]
    reach = _MARGIN * (last.lam - first.lam)
    before = [point for point in known[: live[0]] if first.lam - point.lam < reach]
    after = [point for point in known[live[-1] + 1 :] if point.lam - last.lam < reach]
    return [*before[-1:], *known[live[0] : live[-1] + 1], *after[:1]]


def _certify(axis: RealAxis, found: Sequence[AxisPoint]) -> None:
    """Raise if the counting function grows otherwise than the density lets it.

    Between two points it may grow by no more than the larger density, and no less than the
    smaller one, which holds where the points are close enough: where it seems not to hold,
    more of them are tried.
    """
    for _ in range(_DOUBTS):
        union = {point.lam: point for point in (*axis.known, *found)}
        points = [union[at] for at in sorted(union)]
        lam = np.array([point.lam for point in points])
        excess = _excess(points, lam, axis.atom)
        if excess.sum() <= _INCONSISTENT:
            return
        doubtful = np.flatnonzero(excess > _INCONSISTENT / len(excess))
        new = [at for i in doubtful for at in between(lam[i], lam[i + 1])]
        found = [*found, *axis.solve_all(new)]
    worst = int(excess.argmax())
    raise NoSolutionError(
        f"density and counting function differ by {excess.sum():.2g} of the eigenvalues, "
        f"most between lam = {lam[worst]:.6g} and {lam[worst + 1]:.6g}"
    )


def _excess(points: Sequence[AxisPoint], lam: FloatArray, atom: float) -> FloatArray:
    """By how much the counting function between neighbours leaves what density allows."""
    density = np.array([point.density for point in points])
    cumulative = np.array([1 - point.above for point in points])
    around_zero = (lam[:-1] < 0) & (lam[1:] > 0)
    share = np.diff(cumulative) - atom * around_zero
    most = np.maximum(density[:-1], density[1:]) * np.diff(lam)
    least = np.minimum(density[:-1], density[1:]) * np.diff(lam)
    # Next to zero a law may pile up between two points, which `Interior` bounds.
    excess = np.where(around_zero, 0.0, np.maximum(share - most, 0))
    total: FloatArray = excess + np.maximum(least - share, 0)
    return total


def _changes(
    other: ComplexEquation,
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
        moved_density = np.where(on_branch(moved), other.density(moved), 0.0)
    changed[live] = np.abs(moved_density - density[live])
    return changed, np.abs(other.above(at, p) - above)
