"""Measured spectra of the blocks of one operator, from one Krylov run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..theory.finite_law import COEFFICIENTS
from ..theory.protocol import Reference, Selection
from ..theory.spectrum import Eigenpair, FloatArray, Spectrum
from .curvature.derived import Counted
from .curvature.operator import CurvatureOperator
from .curvature.sample_forms import form_errors
from .curvature.sample_space import SampleSpace
from .krylov.alignment import Alignment, alignment, lies_along
from .krylov.allowance import taken
from .krylov.block_lanczos import Krylov, end_places
from .krylov.column_rules import may_miss_copies
from .krylov.density import resolvent_traces, spectral_densities
from .krylov.eigenpairs import Eigenpairs, extreme_eigenpairs
from .krylov.forming import all_eigenvalues, is_formed
from .krylov.krylov_space import krylov_space
from .krylov.law_jacobi import law_jacobi
from .measurement import Measurement
from .sample_spectra import sample_eigenvalues, sample_spectrum

__all__ = ["measured_eigenvalues", "measured_spectra", "with_draws"]


def measured_spectra(
    operator: CurvatureOperator,
    selections: Sequence[Selection],
    measurement: Measurement,
    generator: torch.Generator,
    reference: Reference | None,
    density: bool,
    start: Tensor | None,
) -> tuple[list[Spectrum], Eigenpairs, int]:
    """Spectra of the operator's blocks from one Krylov run, their eigenpairs, and its passes."""
    if isinstance(operator, SampleSpace):
        (selection,) = selections
        return _in_sample_space(operator, selection, measurement, generator, reference, density)
    counted = Counted(operator)
    krylov = _space(counted, measurement, generator, density, start)
    pairs = extreme_eigenpairs(
        counted, krylov, measurement.eigenvalues, measurement.smallest, measurement.tolerance
    )
    traces = operator.traces() if density else None
    densities = spectral_densities(krylov, traces) if density else ()
    coefficients = law_jacobi(krylov, COEFFICIENTS, traces) if density else ()
    resolvent = resolvent_traces(krylov, pairs.values)
    sampling = operator.sampling_errors(pairs.vectors, resolvent)
    unknown = ""
    if sampling is None:
        sampling, unknown = form_errors(operator, pairs.vectors, pairs.values, resolvent)
    pairs = replace(pairs, vectors=operator.embedded(pairs.vectors))
    columns = _eigenpairs(pairs, _aligned(operator, pairs, reference), sampling, len(selections))
    spectra = [
        Spectrum(
            matrix=selection.matrix,
            block=selection.block,
            size=operator.size,
            top=tuple(columns[i][: pairs.largest]),
            bottom=tuple(columns[i][pairs.largest :]),
            density=densities[i] if density else None,
            jacobi=coefficients[i] if density else None,
            unknown=unknown or _unknown(operator, columns[i]),
        )
        for i, selection in enumerate(selections)
    ]
    return spectra, pairs, counted.passes


def measured_eigenvalues(
    operator: CurvatureOperator, measurement: Measurement, generator: torch.Generator
) -> FloatArray:
    """Eigenvalues at both ends of each block alone, (blocks, k): the largest, then the smallest.

    Without what eigenvectors are good for: residuals, overlaps, sampling errors. A matrix that
    `measured_spectra` forms is formed here too.
    """
    if isinstance(operator, SampleSpace):
        return sample_eigenvalues(operator, measurement).cpu().numpy()[None]
    density = measurement.density
    width = measurement.widths(operator, density=density, warm=False)[0]
    if is_formed(operator, width, *measurement.steps(operator, width, density=density)):
        taken(operator.size)
        values = all_eigenvalues(operator)
    else:
        krylov = _space(Counted(operator), measurement, generator, density=False, start=None)
        values, _ = krylov.eigen
    columns = values.shape[-1]
    upper, lower = min(measurement.eigenvalues, columns), min(measurement.smallest, columns)
    chosen = values[..., end_places(columns, upper, lower, values.device)]
    found: FloatArray = chosen.reshape(-1, upper + lower).cpu().numpy()
    return found


def _space(
    operator: Counted,
    measurement: Measurement,
    generator: torch.Generator,
    density: bool,
    start: Tensor | None,
) -> Krylov:
    """A Krylov space in which no copy of a multiple eigenvalue is missed, as far as products go."""
    largest, smallest = measurement.eigenvalues, measurement.smallest
    for width in measurement.widths(operator, density=density, warm=start is not None):
        least, most = measurement.steps(operator, width, density=density)
        spent = operator.products
        if spent and spent + width * max(least, 1) > measurement.max_products:
            break
        krylov = krylov_space(
            operator,
            largest,
            smallest,
            generator=generator,
            width=width,
            min_steps=least,
            max_steps=max(1, most - spent // width),
            tolerance=measurement.tolerance,
            start=start,
        )
        if taken(0) or not may_miss_copies(krylov, largest, smallest):
            break
    return krylov


def _in_sample_space(
    operator: SampleSpace,
    selection: Selection,
    measurement: Measurement,
    generator: torch.Generator,
    reference: Reference | None,
    density: bool,
) -> tuple[list[Spectrum], Eigenpairs, int]:
    """Likewise, of one block whose eigenvalues are all known without a product."""
    known = sample_spectrum(operator, measurement, generator, density=density)
    pairs = known.pairs
    (found,) = _eigenpairs(pairs, _aligned(operator, pairs, reference), known.sampling, 1)
    spectrum = Spectrum(
        matrix=selection.matrix,
        block=selection.block,
        size=operator.size,
        top=tuple(found[: pairs.largest]),
        bottom=tuple(found[pairs.largest :]),
        density=known.density,
        jacobi=known.jacobi,
        unknown=_unknown(operator, found),
    )
    return [spectrum], pairs, 0


def _unknown(operator: CurvatureOperator, pairs: Sequence[Eigenpair]) -> str:
    """Why closed forms give no sampling error; empty if they do."""
    if all(np.isfinite(pair.sampling_error) for pair in pairs):
        return ""
    return f"errors are not finite, of {operator.samples} samples"


def _aligned(
    operator: CurvatureOperator, pairs: Eigenpairs, reference: Reference | None
) -> Alignment | None:
    """With the reference directions; None where the block's parameters are of other shapes."""
    if reference is None:
        return None
    vectors, shapes, axis = reference.vectors, operator.shapes, reference.axis
    if not lies_along(shapes, len(vectors), axis):
        return None
    return alignment(pairs.vectors, vectors, shapes, axis)


def _eigenpairs(
    pairs: Eigenpairs, aligned: Alignment | None, sampling: Tensor, blocks: int
) -> list[list[Eigenpair]]:
    """The eigenpairs of each block, largest first, then smallest first."""
    count = pairs.values.shape[-1]

    def table(values: Tensor, *tail: int) -> FloatArray:
        result: FloatArray = values.double().cpu().numpy().reshape(blocks, count, *tail)
        return result

    values, residuals = table(pairs.values), table(pairs.residuals)
    errors = table(sampling)
    overlaps = np.full((blocks, count), np.nan)
    cosines = np.zeros((blocks, count, 0))
    if aligned is not None:
        overlaps = table(aligned.overlap)
        cosines = table(aligned.cosines, aligned.cosines.shape[-1])
    return [
        [
            Eigenpair(
                value=float(values[b, i]),
                error=float(residuals[b, i]),
                overlap=float(overlaps[b, i]),
                alignment=cosines[b, i],
                sampling_error=float(errors[b, i]),
                draws=values[b, i : i + 1],
            )
            for i in range(count)
        ]
        for b in range(blocks)
    ]


def with_draws(first: Spectrum, others: Sequence[FloatArray]) -> Spectrum:
    """The first spectrum, its eigenpairs with the eigenvalues of equal rank on the others.

    Args:
        first: of one sample.
        others: of each other sample, as `measured_eigenvalues` has them.
    """
    pairs, most = (*first.top, *first.bottom), len(first.top)
    values = np.array([[pair.value for pair in pairs], *others])
    merged = tuple(replace(pair, draws=draws) for pair, draws in zip(pairs, values.T, strict=True))
    return replace(first, top=merged[:most], bottom=merged[most:])
