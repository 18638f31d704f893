"""Outliers right of the bulk: counted by inertia, then one bracketed root each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from .exterior import Exterior
from .spectrum import FloatArray

__all__ = ["Outlier", "count_outliers", "find_outliers"]

_AT_THE_EDGE = 1e-9  # relative: an eigenvalue of K this close to zero at the edge is no outlier
_ROOT_TOLERANCE = 1e-11


@dataclass(frozen=True)
class Outlier:
    """An isolated eigenvalue right of the bulk.

    Attributes:
        value: its place lam.
        overlap: |P u|^2 = 1 / (-w^T K'(lam) w), the squared norm of the eigenvector's part in
            span(x, mu).
        direction: w (m r,), the unit vector with K(lam) w = 0: the direction of that part. Within
            a degenerate group it is one choice of many.
    """

    value: float
    overlap: float
    direction: FloatArray


def count_outliers(side: Exterior) -> int:
    """Number of outliers right of the bulk = positive eigenvalues of K at the edge.

    None are told from the bulk where the bulk has no end, or ends at zero.
    """
    if side.kind in ("infinite", "hard"):
        return 0
    k = side.outlier_matrix(side.start)
    threshold = _AT_THE_EDGE * max(abs(side.edge), float(np.abs(k).max(initial=0.0)))
    return int((np.linalg.eigvalsh(k) > threshold).sum())


def find_outliers(side: Exterior) -> list[Outlier]:
    """The outliers right of the bulk, largest first, repeated by multiplicity."""
    count = count_outliers(side)
    if count == 0:
        return []
    # The eigenvalues of K fall strictly in lam (K' <= -I), and lam grows with -tr P.
    spectra: dict[float, FloatArray] = {}

    def eigenvalues(parameter: float) -> FloatArray:
        if parameter not in spectra:
            spectra[parameter] = np.linalg.eigvalsh(side.outlier_matrix(parameter)).astype(float)
        return spectra[parameter]

    outer = side.start
    while eigenvalues(outer)[-1] > 0:
        outer *= 2
    found: list[Outlier] = []
    for rank in range(1, count + 1):
        lower = max(p for p, values in spectra.items() if values[-rank] <= 0)
        upper = min(p for p, values in spectra.items() if values[-rank] > 0)
        root = float(
            brentq(
                lambda parameter, rank=rank: float(eigenvalues(parameter)[-rank]),
                lower,
                upper,
                xtol=_ROOT_TOLERANCE * abs(upper),
            )
        )
        w = np.linalg.eigh(side.outlier_matrix(root))[1][:, -rank]
        overlap = float(-1 / (w @ side.outlier_slope(root) @ w))
        found.append(Outlier(side.position(root), overlap, w))
    return found
