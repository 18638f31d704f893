"""Outliers outside the bulk and in its gaps: counted by inertia, then one bracketed root each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from .exterior import Exterior
from .gaps import InnerGap
from .spectrum import FloatArray

__all__ = ["Outlier", "count_outliers", "find_outliers"]

_AT_THE_EDGE = 1e-9  # relative: an eigenvalue of K this close to zero at an edge is no outlier
_ROOT_TOLERANCE = 1e-11
_AT_ZERO = 1e-9  # relative: a root this close to lam = 0 is the atom's


@dataclass(frozen=True)
class Outlier:
    """An isolated eigenvalue.

    Attributes:
        value: its place lam.
        overlap: |P u|^2 = 1 / (-w^T K'(lam) w), the squared norm of the eigenvector's part in
            span(x, mu), that of v included if the block holds v.
        direction: w (m r + q,), the unit vector with K(lam) w = 0: the direction of that part.
            Within a degenerate group it is one choice of many.
    """

    value: float
    overlap: float
    direction: FloatArray


def _positive(side: Exterior | InnerGap, parameter: float) -> int:
    """Positive eigenvalues of K at a parameter, without those that are zero there."""
    k = side.resolvent.outlier_matrix(parameter)
    scale = max(abs(side.resolvent.position(parameter)), float(np.abs(k).max(initial=0.0)))
    return int((np.linalg.eigvalsh(k) > _AT_THE_EDGE * scale).sum())


def count_outliers(side: Exterior | InnerGap) -> int:
    """Number of outliers = positive eigenvalues of K at the lower end less those at the upper.

    None are told from the bulk where the bulk has no end, or ends at zero.
    """
    if side.kind in ("infinite", "hard"):
        return 0
    if math.isinf(side.end):
        return _positive(side, side.start)
    return len(find_outliers(side))


def find_outliers(side: Exterior | InnerGap) -> list[Outlier]:
    """The outliers of one side or gap, largest first, repeated by multiplicity."""
    if side.kind in ("infinite", "hard"):
        return []
    # The eigenvalues of K fall strictly in lam (K' <= -I), and lam grows as tr P falls.
    resolvent, scale = side.resolvent, side.law.scale
    spectra: dict[float, FloatArray] = {}

    def eigenvalues(parameter: float) -> FloatArray:
        if parameter not in spectra:
            values = np.linalg.eigvalsh(resolvent.outlier_matrix(parameter))
            spectra[parameter] = values.astype(np.float64)
        return spectra[parameter]

    first, last = _positive(side, side.start), 0
    eigenvalues(side.start)
    if math.isinf(side.end):
        outer = side.start
        while first and eigenvalues(outer)[-1] > 0:
            outer = outer * 2 if outer < 0 else -max(outer, scale)
    else:
        last = int((eigenvalues(side.end) > 0).sum())
    found: list[Outlier] = []
    for rank in range(last + 1, first + 1):
        lower = max(p for p, values in spectra.items() if values[-rank] <= 0)
        upper = min(p for p, values in spectra.items() if values[-rank] > 0)
        root = float(
            brentq(
                lambda parameter, rank=rank: float(eigenvalues(parameter)[-rank]),
                lower,
                upper,
                xtol=_ROOT_TOLERANCE * max(abs(upper), abs(lower)),
            )
        )
        value = resolvent.position(root)
        if abs(value) < _AT_ZERO * scale:
            continue
        w = np.linalg.eigh(resolvent.outlier_matrix(root))[1][:, -rank]
        overlap = float(-1 / (w @ resolvent.outlier_slope(root) @ w))
        found.append(Outlier(value, overlap, w))
    return found
