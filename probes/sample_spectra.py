"""Eigenpairs and the whole law of a matrix that is diagonalised in the space of samples."""

from __future__ import annotations

import time
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

__all__ = ["SampleSpectrum", "sample_spectrum"]


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
    count = len(eigenvalues)
    largest = float(eigenvalues[-1])
    resolution = 10 * torch.finfo(operator.dtype).eps * largest if largest > 0 else 1.0
    # Below it eigenvalues are zeros, and all of these one eigenspace.
    null = int((eigenvalues <= resolution).sum()) if operator.zeros else 0
    upper, lower = min(measurement.eigenvalues, size), min(measurement.smallest, size)
    top = list(range(count - 1, max(null, count - upper) - 1, -1))
    zeros = null + operator.zeros
    from_zeros = min(lower, zeros)
    bottom = list(range(null, null + lower - from_zeros))
    drawn = min(zeros, upper - len(top) + from_zeros)
    frame = operator.kernel(drawn, generator) if drawn else operator.vectors([])
    above = upper - len(top)
    values = torch.cat(
        [
            eigenvalues[top],
            eigenvalues.new_zeros(above + from_zeros),
            eigenvalues[bottom],
        ]
    )
    vectors = torch.cat(
        [
            operator.vectors(top),
            frame[:, :above],
            frame[:, drawn - from_zeros :],
            operator.vectors(bottom),
        ],
        dim=1,
    )
    errors = operator.errors(top), operator.errors(bottom)
    sampling = torch.cat([errors[0], values.new_zeros(above + from_zeros), errors[1]])
    residuals = residual_norms(operator @ vectors, vectors, values)
    pairs = Eigenpairs(
        values=values,
        vectors=vectors,
        residuals=residuals,
        largest=upper,
        converged=residuals <= measurement.tolerance * max(largest, 1e-300),
        products=0,
        passes=0,
        seconds=time.perf_counter() - began,
        peak_memory=vectors.nbytes,
        outcome="all eigenvalues are known",
    )
    if not density:
        return SampleSpectrum(pairs, sampling, None, None)
    known = eigenvalues.cpu().numpy()
    rest = operator.zeros
    whole = np.sort(np.r_[np.zeros(rest), known])
    nodes = np.r_[0.0, known] if rest else known
    weights = np.r_[rest, np.ones(count)] / size if rest else np.full(count, 1 / size)
    return SampleSpectrum(
        pairs,
        sampling,
        exact_density(whole, resolution),
        exact_jacobi(nodes, weights, COEFFICIENTS, resolution),
    )
