"""How far a measured spectral law is from a predicted one."""

from __future__ import annotations

import numpy as np

from ...theory.spectrum import Density

__all__ = ["cdf_distance"]


def cdf_distance(measured: Density, predicted: Density, atom: float = 0.0) -> float:
    """Kolmogorov distance max_i |F(theta_i) - F_predicted(theta_i)| over the measured points.

    Args:
        measured: its points with half of the jump there.
        predicted: on any grid, linear between the points but for the atom.
        atom: share of the eigenvalues that are zero in the predicted law.
    """
    smooth = predicted.cumulative
    if atom:
        smooth = smooth - atom * (predicted.points > 0)
    expected = np.interp(measured.points, predicted.points, smooth, left=0.0, right=1.0 - atom)
    if atom:
        expected += atom * np.heaviside(measured.points, 0.5)
    return float(np.abs(measured.cumulative - expected).max())
