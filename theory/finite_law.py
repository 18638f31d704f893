"""The predicted law of a finite number of eigenvalues, from the density that is drawn of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .recurrence import PointMasses, lanczos
from .spectrum import Bulk, Density, FloatArray, Jacobi, Spectrum

__all__ = ["COEFFICIENTS", "finite_jacobi", "finite_law"]

COEFFICIENTS = 24  # on the diagonal; by then those of a bulk in one band have settled
_NODES = 3  # between neighbouring points of the density
_SAME = 1e-12  # points this close, relatively, are one


def finite_jacobi(spectrum: Spectrum, count: int = COEFFICIENTS) -> Jacobi | None:
    """Jacobi coefficients of the law of all N eigenvalues; None without a bulk and a density.

    Cheap, unlike `EffectiveSpectrum.jacobi`: the equations are not solved again. The error is the
    change with every other point of the density left out, the ends among them, and that with
    density and cumulative moved by their own errors.

    Args:
        spectrum: predicted, with three points of the density at least.
        count: number of coefficients on the diagonal, fewer if the law has fewer points.

    Source: docs/theory.md, "Moments and Jacobi coefficients".
    """
    density, bulk = spectrum.density, spectrum.bulk
    if density is None or bulk is None:
        return None
    pairs = (*spectrum.top, *spectrum.inside, *spectrum.bottom)
    outliers = [pair.value for pair in pairs]
    laws = [
        finite_law(one, bulk, spectrum.size, outliers)
        for one in (density, _thinned(density), _moved(density))
    ]
    ways = [lanczos(law, count)[:2] for law in laws]
    count = min(len(diagonal) for diagonal, _ in ways)
    found, thinned, moved = (np.concatenate([a[:count], b[: count - 1]]) for a, b in ways)
    errors = np.abs(found - thinned) + np.abs(found - moved)
    return Jacobi(found[:count], found[count:], errors[:count], errors[count:])


def finite_law(density: Density, bulk: Bulk, size: int, outliers: list[float]) -> PointMasses:
    """The law of N eigenvalues: bulk, atom at zero, and each outlier with mass 1/N.

    Between two points of the density its mass is the change of the cumulative, laid out as the
    cubic with the densities at both ends as its slopes. What lies beyond the finite-size edges,
    half an eigenvalue on each side, is moved onto them: a sample has no eigenvalues farther out,
    and high coefficients would see that tail before anything else.

    Args:
        density: of the bulk.
        bulk: its edges and atom.
        size: N; 0 for the limit, without outliers and without the cut.
        outliers: eigenvalues outside the bulk.
    """
    points, masses = _laid_out(density, bulk.atom)
    for end, cut in ((bulk.lower, np.maximum), (bulk.upper, np.minimum)):
        if math.isfinite(end.finite_size):
            points = cut(points, end.finite_size)
    law = PointMasses(points, masses / (masses.sum() or 1.0))
    law = law.joined([0.0] if bulk.atom > 0 else [], bulk.atom)
    law = law.joined(outliers, len(outliers) / size if size else 0.0)
    return PointMasses(*_joined(law.points, law.masses))


def _laid_out(density: Density, atom: float) -> tuple[FloatArray, FloatArray]:
    """Points and masses of the continuous part."""
    x, slope = density.points, density.values
    below = np.maximum.accumulate(np.clip(density.cumulative - atom * (x > 0), 0.0, 1 - atom))
    width, mass = np.diff(x), np.diff(below)
    t, weights = np.polynomial.legendre.leggauss(_NODES)
    t = (1 + t) / 2
    rates = 6 * t * (1 - t) * (mass / width)[:, None]
    rates += (1 - 4 * t + 3 * t**2) * slope[:-1, None] + (3 * t**2 - 2 * t) * slope[1:, None]
    rates = np.maximum(rates, 0.0) * weights
    total = rates.sum(1, keepdims=True)
    shares = np.where(total > 0, rates / np.where(total > 0, total, 1.0), weights / 2)
    inner = x[:-1, None] + width[:, None] * t
    return (
        np.concatenate([x[:1], inner.reshape(-1), x[-1:]]),
        np.concatenate([below[:1], (mass[:, None] * shares).reshape(-1), [1 - atom - below[-1]]]),
    )


def _joined(points: FloatArray, masses: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points that carry mass, in order, those at the same place as one."""
    order = np.argsort(points)
    order = order[masses[order] > 0]
    points, masses = points[order], masses[order]
    least = _SAME * float(np.abs(points).max())
    first = np.flatnonzero(np.diff(points, prepend=-np.inf) > least)
    return points[first], np.add.reduceat(masses, first)


def _thinned(density: Density) -> Density:
    """Every other point, without the ends, beyond which the mass is laid on the last point."""
    kept = slice(1, -1, 2)
    return replace(
        density,
        points=density.points[kept],
        values=density.values[kept],
        cumulative=density.cumulative[kept],
    )


def _moved(density: Density) -> Density:
    return replace(
        density,
        values=density.values + density.errors,
        cumulative=density.cumulative + density.cumulative_errors,
    )
