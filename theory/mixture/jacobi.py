"""Three-term recurrence coefficients of a predicted spectral law.

The law is replaced by point masses; its orthogonal polynomials follow from Lanczos's algorithm on
their diagonal matrix with full orthogonalisation, which is stable where moments are not.
"""

from __future__ import annotations

import numpy as np

from ..bulk.law_spectrum import LawSpectrum
from ..recurrence import PointMasses, recurrence
from ..spectrum import FloatArray, Jacobi
from .refinement import Refined

__all__ = [
    "Jacobi",
    "block_jacobi",
    "bulk_masses",
]

_CELL_NODES, _COEFFICIENTS_A_NODE = (4, 6), 8  # of a cell of the law; more for more coefficients
_HALVINGS = 40
_RESOLVED = 1e-7  # share of the eigenvalues by which a cell's two masses may differ
_NARROW = 1e-5  # width of a cell that is a point, in typical eigenvalues


def block_jacobi(solved: Refined, count: int, size: int | None = None) -> Jacobi:
    """Coefficients of the bulk law of a block with its atom, projected-out directions included.

    Args:
        solved: the block.
        count: number of coefficients on the diagonal.
        size: number N of eigenvalues, with the mass 1/N for each outlier; None leaves outliers out.

    Raises:
        ValueError: if there are fewer points than coefficients.
        NoSolutionError: as for `bulk_masses`.
    """

    def coefficients(one: LawSpectrum, nodes: int) -> FloatArray:
        bulk = bulk_masses(one, nodes).joined([0.0], solved.null)
        if size is not None:
            outliers = [outlier.value for outlier in (*one.top, *one.inside, *one.bottom)]
            bulk = bulk.joined(outliers, len(outliers) / size)
        return np.concatenate(recurrence(bulk, count))

    few, many = (nodes + count // _COEFFICIENTS_A_NODE for nodes in _CELL_NODES)
    found = coefficients(solved.fine, many)
    rough, again = (coefficients(one, few) for one in (solved.fine, solved.coarse))
    errors = np.abs(found - rough) + np.abs(rough - again)
    return Jacobi(found[:count], found[count:], errors[:count], errors[count:])


def bulk_masses(solved: LawSpectrum, nodes: int) -> PointMasses:
    """The bulk with its atom, on so many points in each cell of its bands.

    With lam = c - r cos(theta) the mass of a band is an integral over theta of a function that is
    smooth at both ends, whether the density vanishes there like a square root or diverges like an
    inverse one. Cells are halved until Gauss's rule finds the mass that the counting function
    gives, to which it is then scaled.

    Raises:
        NoSolutionError: if the equations could not be solved, or density and counting function
            contradict each other.
    """
    found = [_band(solved, low, high, nodes) for low, high in solved.bands]
    points = np.concatenate([one.points for one in found])
    masses = np.concatenate([one.masses for one in found])
    bulk = PointMasses(points, masses / masses.sum())
    atom = solved.interior.atom
    return bulk.joined([0.0] if atom > 0 else [], atom)


def _band(solved: LawSpectrum, low: float, high: float, nodes: int) -> PointMasses:
    """One band, with its share of the eigenvalues."""
    inside, narrow = solved.interior, _NARROW * solved.law.scale
    ends, above = inside.knots(low, high)
    middle, radius = (ends[0] + ends[-1]) / 2, (ends[-1] - ends[0]) / 2
    x, w = np.polynomial.legendre.leggauss(nodes)
    angles = np.arccos(np.clip((middle - ends) / radius, -1, 1))
    cells = np.stack([angles[:-1], angles[1:], above[:-1], above[1:]])
    points, masses = [], []
    for _ in range(_HALVINGS):
        left, right, above_left, above_right = cells
        half = (right - left)[:, None] / 2
        theta = left[:, None] + half * (1 + x)
        lam = middle - radius * np.cos(theta)
        density = inside.read(lam.reshape(-1))[0].reshape(lam.shape)
        mass = density * radius * np.sin(theta) * half * w
        start, end = middle - radius * np.cos(left), middle - radius * np.cos(right)
        share = np.maximum(above_left - above_right - inside.atom * ((start < 0) & (end > 0)), 0)
        settled = (np.abs(mass.sum(1) - share) < _RESOLVED) | (end - start < narrow)
        total = mass.sum(1, keepdims=True)
        mass = np.where(total > 0, mass / np.where(total > 0, total, 1.0), w / 2) * share[:, None]
        points.append(lam[settled].reshape(-1))
        masses.append(mass[settled].reshape(-1))
        if settled.all():
            break
        left, right, above_left, above_right = cells[:, ~settled]
        between = (left + right) / 2
        above_between = inside.read(middle - radius * np.cos(between))[1]
        cells = np.hstack(
            [
                np.stack([left, between, above_left, above_between]),
                np.stack([between, right, above_between, above_right]),
            ]
        )
    return PointMasses(np.concatenate(points), np.concatenate(masses))
