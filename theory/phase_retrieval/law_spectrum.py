"""The whole spectrum on the sphere at the law of measurements at hand: bulk, density, outliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...models.phase_retrieval.loss import PhaseLoss
from ..bulk.detection import square_root_detection_edge
from ..bulk.law import CurvatureLaw, outermost
from ..bulk.law_spectrum import LawSpectrum
from ..bulk.outliers import Outlier
from ..finite_law import finite_jacobi
from ..matrix_kind import SPHERE_HESSIAN
from ..spectrum import Bulk, Density, Edge, Eigenpair, Gap, Spectrum
from .joint_law import JointLaw

__all__ = ["tangent_spectrum"]

_COARSE_BINS = 60  # of D, for the error of the density


def tangent_spectrum(law: JointLaw, loss: PhaseLoss, dimension: int, points: int) -> Spectrum:
    """Limit of (1/n) sum_i D_i a_i a_i^T + multiplier on the tangent space, D_i as they are.

    The nodes of the law are the n measurements: given D, what fluctuates is a alone.

    Args:
        law: of n measurements.
        loss: l.
        dimension: N; the spectrum has N - 1 eigenvalues.
        points: of the density; 0 for none.

    Raises:
        NoSolutionError: if the equations could not be solved.
    """
    squares = law.target**2
    shift = -law.mean(loss.slope(law.z, squares) * law.z)
    factors = loss.curvature(law.z, squares)[:, None, None]
    found = LawSpectrum(
        CurvatureLaw(
            weights=law.weights,
            factors=factors,
            moments=(law.signal**2)[:, None, None],
            supremum=float(factors.max()),
            infimum=float(factors.min()),
            extremes=outermost(factors),
            aspect_ratio=len(law.weights) / (dimension - 1),
            snr=1.0,
        )
    )
    size = dimension - 1
    spectrum = Spectrum(
        matrix=SPHERE_HESSIAN.name,
        block="",
        size=size,
        top=_pairs(found.top, shift),
        bottom=_pairs(found.bottom, shift),
        bulk=_bulk(found, shift, size),
        density=_density(found, shift, points) if points else None,
        inside=_pairs(found.inside, shift),
    )
    if not points or found.interior.atom > 0:
        return spectrum  # below n = N there is an atom, at the multiplier and not at zero
    return replace(spectrum, jacobi=finite_jacobi(spectrum))


def _pairs(outliers: Sequence[Outlier], shift: float) -> tuple[Eigenpair, ...]:
    return tuple(
        Eigenpair(each.value + shift, 0.0, overlap=each.overlap, alignment=np.array([each.overlap]))
        for each in outliers
    )


def _bulk(found: LawSpectrum, shift: float, size: int) -> Bulk:
    interior = found.interior

    def end(sign: int) -> Edge:
        value, kind = found.upper if sign > 0 else found.lower
        share = 0.5 / size
        half = interior.quantile(share if sign > 0 else 1 - share)
        detection = square_root_detection_edge(value, half, 0.0)
        return Edge(value + shift, kind, half + shift, detection + shift, 0.0)

    nan = float("nan")
    gaps = tuple(
        Gap(*(Edge(value + shift, kind, nan, nan, 0.0) for value, kind in gap))
        for gap in found.gaps
    )
    return Bulk(end(-1), end(1), gaps=gaps)


def _density(found: LawSpectrum, shift: float, points: int) -> Density:
    profile = found.interior.profile(points, found.law.compressed(_COARSE_BINS))
    return Density(
        profile.points + shift,
        profile.density,
        profile.density_errors,
        profile.cumulative,
        profile.cumulative_errors,
    )
