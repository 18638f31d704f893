"""Spectra of small blocks of many head models: formed, and decomposed all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...probes.curvature.head_curvature import HeadCurvature
from ...probes.krylov.alignment import alignment
from ...probes.krylov.block_lanczos import end_places
from ...probes.krylov.exact_density import exact_density
from ...probes.krylov.search import residual_norms
from ...probes.measurement import Measurement
from ...theory.protocol import Reference, Selection
from ...theory.spectrum import Eigenpair, FloatArray, Spectrum

__all__ = ["formed_spectra"]

_NUMBERS = 2**24  # entries of matrices that are held at once


def formed_spectra(
    operators: Sequence[HeadCurvature],
    selections: Sequence[Selection],
    references: Sequence[Reference | None],
    measurement: Measurement,
) -> list[list[Spectrum]]:
    """The spectra that a probing of each operator has, from all its eigenvalues.

    Args:
        operators: one for each run, of equal size, with a matrix for each selection.
        selections: what the matrices are.
        references: of each run.
        measurement: numbers of eigenvalues, and whether densities are wanted.

    Returns:
        for each run a spectrum for each selection.
    """
    size = operators[0].size
    at_once = max(1, _NUMBERS // (len(selections) * size**2))
    found = []
    for first in range(0, len(operators), at_once):
        own = operators[first : first + at_once]
        decomposed = _Decomposed.of(torch.stack([each.dense() for each in own]), measurement)
        for run, operator in enumerate(own):
            reference = references[first + run]
            found.append(_spectra(decomposed, run, operator, selections, reference, measurement))
    return found


@dataclass(frozen=True)
class _Decomposed:
    """Eigenvalues and outer eigenpairs of symmetric matrices (runs, blocks, N, N).

    Attributes:
        all: (runs, blocks, N) ascending.
        values: (runs, blocks, k) float64, largest first, then smallest first.
        vectors: (runs, blocks, N, k).
        residuals: (runs, blocks, k) float64.
        resolvent: tr (H - value)^-1 / N without the eigenvalue itself, (runs, blocks, k) float64.
        resolution: (runs, blocks) distance below which eigenvalues differ by rounding only.
        upper: how many of the k are the largest.
    """

    all: FloatArray
    values: Tensor
    vectors: Tensor
    residuals: Tensor
    resolvent: Tensor
    resolution: FloatArray
    upper: int

    @classmethod
    def of(cls, matrices: Tensor, measurement: Measurement) -> _Decomposed:
        size = matrices.shape[-1]
        upper, lower = min(measurement.eigenvalues, size), min(measurement.smallest, size)
        nodes, vectors = torch.linalg.eigh(matrices)
        places = end_places(size, upper, lower, matrices.device)
        vectors = vectors[..., places]
        nodes = nodes.double()
        values = nodes[..., places]
        residuals = residual_norms(matrices @ vectors, vectors, values)
        largest = nodes.abs().amax(-1, keepdim=True)
        precision = 10 * torch.finfo(matrices.dtype).eps
        resolution = torch.where(largest > 0, precision * largest, 1.0)
        distance = nodes[..., None, :] - values[..., :, None]
        apart = distance.abs() > resolution[..., None, :]
        terms = torch.where(apart, 1 / torch.where(apart, distance, 1.0), 0.0)
        return cls(
            all=nodes.cpu().numpy(),
            values=values,
            vectors=vectors,
            residuals=residuals,
            resolvent=terms.sum(-1) / size,
            resolution=resolution.squeeze(-1).cpu().numpy(),
            upper=upper,
        )


def _spectra(
    decomposed: _Decomposed,
    run: int,
    operator: HeadCurvature,
    selections: Sequence[Selection],
    reference: Reference | None,
    measurement: Measurement,
) -> list[Spectrum]:
    vectors, upper = decomposed.vectors[run], decomposed.upper
    values, residuals = (
        each[run].cpu().numpy() for each in (decomposed.values, decomposed.residuals)
    )
    errors = operator.sampling_errors(vectors, decomposed.resolvent[run]).double().cpu().numpy()
    overlaps = np.full_like(values, np.nan)
    cosines = np.zeros((*values.shape, 0))
    if reference is not None:
        aligned = alignment(vectors, reference.vectors, operator.shapes, reference.axis)
        overlaps, cosines = aligned.overlap.cpu().numpy(), aligned.cosines.cpu().numpy()
    spectra = []
    for block, selection in enumerate(selections):
        pairs = tuple(
            Eigenpair(
                value=float(values[block, place]),
                error=float(residuals[block, place]),
                overlap=float(overlaps[block, place]),
                alignment=cosines[block, place],
                sampling_error=float(errors[block, place]),
                draws=values[block, place : place + 1],
            )
            for place in range(values.shape[1])
        )
        density = None
        if measurement.density:
            resolution = float(decomposed.resolution[run, block])
            density = exact_density(decomposed.all[run, block], resolution)
        spectra.append(
            Spectrum(
                matrix=selection.matrix,
                block=selection.block,
                size=operator.size,
                top=pairs[:upper],
                bottom=pairs[upper:],
                density=density,
            )
        )
    return spectra
