"""Eigenpairs and the whole law of a matrix that is diagonalised in the space of samples."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..theory.finite_law import COEFFICIENTS
from ..theory.spectrum import Density, Jacobi
from .curvature.sample_space import SampleSpace
from .krylov.eigenpairs import Eigenpairs
from .krylov.exact_density import exact_density
from .krylov.law_jacobi import exact_jacobi
from .krylov.search import residual_norms
from .measurement import Measurement

__all__ = ["SampleSpectrum", "sample_eigenvalues", "sample_spectrum"]


@dataclass(frozen=True)
class SampleSpectrum:
    """What there is to know of one block.

    Attributes:
        pairs: at both ends.
        sampling: (k,) standard errors of their eigenvalues over the draw of the samples.
        density: of all eigenvalues; None if it is not wanted.
        jacobi: coefficients of their law; likewise.
    """

    pairs: Eigenpairs
    sampling: Tensor
    density: Density | None
    jacobi: Jacobi | None


@dataclass(frozen=True)
class _Ends:
    """Which eigenvalues are wanted; those that are zero are one eigenspace.

    Attributes:
        resolution: below it eigenvalues are zeros, of a matrix that has others.
        top: places in `SampleSpace.eigen` of the largest, largest first.
        bottom: those of the smallest, smallest first.
        above: number of zeros among the largest.
        below: number of zeros among the smallest.
        zeros: number of all zeros.
    """

    resolution: float
    top: Sequence[int]
    bottom: Sequence[int]
    above: int
    below: int
    zeros: int

    @staticmethod
    def of(operator: SampleSpace, measurement: Measurement) -> _Ends:
        size, eigenvalues = operator.size, operator.eigen[0]
        count, largest = len(eigenvalues), float(eigenvalues[-1])
        resolution = 10 * torch.finfo(operator.dtype).eps * largest if largest > 0 else 1.0
        null = int((eigenvalues <= resolution).sum()) if operator.zeros else 0
        upper, lower = min(measurement.eigenvalues, size), min(measurement.smallest, size)
        top = range(count - 1, max(null, count - upper) - 1, -1)
        zeros = null + operator.zeros
        below = min(lower, zeros)
        bottom = range(null, null + lower - below)
        return _Ends(resolution, top, bottom, upper - len(top), below, zeros)

    def joined(self, top: Tensor, bottom: Tensor) -> Tensor:
        """Numbers of the eigenvalues that are no zeros, with 0 for those that are."""
        return torch.cat([top, top.new_zeros(self.above + self.below), bottom])


def sample_eigenvalues(operator: SampleSpace, measurement: Measurement) -> Tensor:
    """Eigenvalues at both ends, (k,) float64: the largest, largest first, then the smallest."""
    ends, eigenvalues = _Ends.of(operator, measurement), operator.eigen[0]
    return ends.joined(eigenvalues[list(ends.top)], eigenvalues[list(ends.bottom)])


def sample_spectrum(
    operator: SampleSpace, measurement: Measurement, generator: torch.Generator, *, density: bool
) -> SampleSpectrum:
    """All eigenvalues, and eigenvectors at both ends; no products with the module.

    Eigenvectors of the eigenvalue 0, of which there are many, are any: orthogonal to all others.

    Args:
        operator: the matrix.
        measurement: how many eigenpairs.
        generator: draws vectors of the eigenvalue 0.
        density: whether the law is wanted.
    """
    began = time.perf_counter()
    size, eigenvalues = operator.size, operator.eigen[0]
    ends = _Ends.of(operator, measurement)
    values = sample_eigenvalues(operator, measurement)
    drawn = min(ends.zeros, ends.above + ends.below)
    frame = operator.kernel(drawn, generator) if drawn else operator.vectors([])
    vectors = torch.cat(
        [
            operator.vectors(ends.top),
            frame[:, : ends.above],
            frame[:, drawn - ends.below :],
            operator.vectors(ends.bottom),
        ],
        dim=1,
    )
    errors = operator.errors([*ends.top, *ends.bottom])
    sampling = ends.joined(*errors.tensor_split([len(ends.top)]))
    residuals = residual_norms(operator @ vectors, vectors, values)
    pairs = Eigenpairs(
        values=values,
        vectors=vectors,
        residuals=residuals,
        largest=len(ends.top) + ends.above,
        converged=residuals <= measurement.tolerance * max(float(eigenvalues[-1]), 1e-300),
        products=0,
        passes=0,
        seconds=time.perf_counter() - began,
        peak_memory=vectors.nbytes,
        outcome="all eigenvalues are known",
    )
    if not density:
        return SampleSpectrum(pairs, sampling, None, None)
    known = eigenvalues.cpu().numpy()
    count, rest = len(known), operator.zeros
    whole = np.sort(np.r_[np.zeros(rest), known])
    nodes = np.r_[0.0, known] if rest else known
    weights = np.r_[rest, np.ones(count)] / size if rest else np.full(count, 1 / size)
    return SampleSpectrum(
        pairs,
        sampling,
        exact_density(whole, ends.resolution),
        exact_jacobi(nodes, weights, COEFFICIENTS, ends.resolution),
    )
