"""A semicircle with outliers below it, as the spectrum of a finite matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..bulk.detection import square_root_detection_edge
from ..finite_law import finite_jacobi
from ..matrix_kind import SPHERE_HESSIAN
from ..spectrum import Bulk, Density, Edge, Eigenpair, Spectrum
from .outliers import Outlier

__all__ = ["semicircle_spectrum"]

_HALF_EIGENVALUE = (3 * math.pi / 4) ** (2 / 3)


def semicircle_spectrum(
    block: str, size: int, centre: float, sigma: float, outliers: Sequence[Outlier], points: int
) -> Spectrum:
    """rho(lambda) = (4 sigma^2 - (lambda - mu)^2)^(1/2) / (2 pi sigma^2) of N eigenvalues.

    Half an eigenvalue lies within sigma (3 pi / (4 N))^(2/3) of an edge.

    Args:
        block: its name.
        size: N.
        centre: mu.
        sigma: a quarter of the bulk's width.
        outliers: below the bulk, lowest first.
        points: of the density; 0 for none.
    """

    def edge(sign: int) -> Edge:
        end = centre + 2 * sign * sigma
        half = end - sign * sigma * _HALF_EIGENVALUE / size ** (2 / 3)
        detection = square_root_detection_edge(end, half, 0.0)
        return Edge(end, "square-root", half, detection, 0.0)

    spectrum = Spectrum(
        matrix=SPHERE_HESSIAN.name,
        block=block,
        size=size,
        top=(),
        bottom=tuple(
            Eigenpair(
                o.value,
                o.error,
                overlap=o.overlap,
                alignment=np.array([o.overlap]),
                sampling_error=o.spread / math.sqrt(size),
            )
            for o in outliers
        ),
        bulk=Bulk(edge(-1), edge(1)),
        density=_density(centre, sigma, points) if points else None,
    )
    return replace(spectrum, jacobi=finite_jacobi(spectrum)) if points else spectrum


def _density(centre: float, sigma: float, points: int) -> Density:
    """Points denser towards the edges, where the density bends."""
    angle = np.linspace(-math.pi / 2, math.pi / 2, points)
    x = np.sin(angle)
    root = np.sqrt(np.clip(1 - x * x, 0, None))
    values = root / (math.pi * sigma)
    cumulative = 0.5 + (np.arcsin(x) + x * root) / math.pi
    zero = np.zeros(points)
    return Density(centre + 2 * sigma * x, values, zero, cumulative, zero)
