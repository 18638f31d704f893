"""How far a measured spectral law is from a predicted one."""

from __future__ import annotations

import numpy as np

from ...theory.spectrum import Density

__all__ = ["cdf_distance"]


def cdf_distance(measured: Density, predicted: Density) -> float:
    """Kolmogorov distance max_i |F(theta_i) - F_predicted(theta_i)| over the measured points."""
    expected = np.interp(
        measured.points, predicted.points, predicted.cumulative, left=0.0, right=1.0
    )
    return float(np.abs(measured.cumulative - expected).max())
