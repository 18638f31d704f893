"""Gauss-Legendre rules on neighbouring panels, for integrands with a known worst point."""

from __future__ import annotations

import numpy as np

from ..spectrum import FloatArray

__all__ = ["composite"]


def composite(breaks: FloatArray, order: int) -> tuple[FloatArray, FloatArray]:
    """sum_k w_k f(x_k) = int f, a Gauss-Legendre rule on each panel between two breaks.

    Args:
        breaks: (..., P + 1) not decreasing.
        order: nodes of a panel.

    Returns:
        nodes and weights, (..., P * order).
    """
    points, weights = np.polynomial.legendre.leggauss(order)
    width = np.diff(breaks)[..., None] / 2
    middle = (breaks[..., 1:] + breaks[..., :-1])[..., None] / 2
    shape = (*breaks.shape[:-1], -1)
    return (middle + width * points).reshape(shape), (width * weights).reshape(shape)
