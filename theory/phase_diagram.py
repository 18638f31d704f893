"""Phase diagrams: how many outliers theory predicts, over snr and aspect ratio."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..models.heads import Head
from .curvature_law import CurvatureLaw, FactorLaw
from .exterior import exterior
from .outliers import count_outliers
from .quadrature import MixtureLaw, project, quadrature
from .spectrum import FloatArray, Matrix
from .statistics import Statistics

__all__ = ["outlier_counts", "snr_thresholds"]

_THRESHOLD_TOLERANCE = 1e-6


def outlier_counts(
    head: Head,
    statistics: Statistics,
    law: MixtureLaw,
    matrix: Matrix,
    rows: tuple[int, ...],
    snrs: FloatArray,
    aspect_ratios: FloatArray,
) -> NDArray[np.int64]:
    """Number of predicted outliers above the bulk, (len(aspect_ratios), len(snrs)).

    Args:
        head: the head.
        statistics: G and v, the same everywhere.
        law: the mixture; its snr is replaced.
        matrix: "hessian" or "information".
        rows: directions in the block.
        snrs: (nx,) inverse noise variances.
        aspect_ratios: (ny,) phi = n/d.
    """
    counts = np.zeros((len(aspect_ratios), len(snrs)), dtype=np.int64)
    for j, snr in enumerate(snrs):
        curvature = _law(head, statistics, replace(law, snr=float(snr)), matrix, rows)
        for i, phi in enumerate(aspect_ratios):
            counts[i, j] = count_outliers(exterior(replace(curvature, aspect_ratio=float(phi))))
    return counts


def snr_thresholds(
    head: Head,
    statistics: Statistics,
    law: MixtureLaw,
    matrix: Matrix,
    rows: tuple[int, ...],
    snrs: FloatArray,
    aspect_ratio: float,
) -> tuple[float, ...]:
    """The snr at which each outlier leaves the bulk or joins it, increasing.

    Where the number of outliers differs between neighbours of the grid, the places between are
    found by bisection to a relative 1e-6; two that coincide to that accuracy appear twice.
    """

    def count(snr: float) -> int:
        curvature = _law(head, statistics, replace(law, snr=snr), matrix, rows)
        return count_outliers(exterior(replace(curvature, aspect_ratio=aspect_ratio)))

    def between(low: float, n_low: int, high: float, n_high: int) -> list[float]:
        if n_low == n_high:
            return []
        if high - low <= _THRESHOLD_TOLERANCE * high:
            return [(low + high) / 2] * abs(n_high - n_low)
        middle = (low + high) / 2
        n = count(middle)
        return between(low, n_low, middle, n) + between(middle, n, high, n_high)

    counts = [count(float(snr)) for snr in snrs]
    found: list[float] = []
    for i in range(len(snrs) - 1):
        found += between(float(snrs[i]), counts[i], float(snrs[i + 1]), counts[i + 1])
    return tuple(found)


def _law(
    head: Head,
    statistics: Statistics,
    law: MixtureLaw,
    matrix: Matrix,
    rows: tuple[int, ...],
) -> CurvatureLaw:
    nodes = quadrature(project(statistics, head), law, 0 if len(rows) == 1 else 2)
    return FactorLaw(head, statistics, nodes, aspect_ratio=1.0).law(matrix, rows).compressed()
