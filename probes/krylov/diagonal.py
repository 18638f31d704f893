"""The diagonal of a matrix known by its products, and the traces of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...models.arguments import require_least
from ...theory.spectrum import FloatArray
from ..curvature.operator import CurvatureOperator

__all__ = ["DiagonalEstimate", "diagonal_estimate"]

# Columns multiplied at once.
_PANEL = 16


@dataclass(frozen=True)
class DiagonalEstimate:
    """The diagonal of H, and sums of it, from the same products.

    Attributes:
        diagonal: (N,), in the operator's dtype.
        errors: (N,) its standard errors; 0 where it is exact, NaN from a single vector.
        columns: (k, blocks) float64, the traces of the blocks as each vector sees them.
        exact: whether the matrix was formed.
    """

    diagonal: Tensor
    errors: Tensor
    columns: FloatArray
    exact: bool

    @property
    def traces(self) -> FloatArray:
        """(blocks,) traces of the blocks."""
        mean: FloatArray = self.columns.sum(0) if self.exact else self.columns.mean(0)
        return mean

    @property
    def trace_errors(self) -> FloatArray:
        """(blocks,) their standard errors."""
        return self.error_of(self.columns)

    def error_of(self, columns: FloatArray) -> FloatArray:
        """Standard error of a mean over the vectors, of numbers (k, ...) that each has."""
        if self.exact:
            return np.zeros(columns.shape[1:])
        if len(columns) < 2:
            return np.full(columns.shape[1:], np.nan)
        error: FloatArray = columns.std(axis=0, ddof=1) / len(columns) ** 0.5
        return error

    @property
    def shares(self) -> tuple[FloatArray, FloatArray]:
        """(blocks,) each trace over the sum of all, and standard errors to first order."""
        total = self.traces.sum()
        shares = self.traces / total
        left = self.columns - shares * self.columns.sum(1, keepdims=True)
        return shares, self.error_of(left / total)


def diagonal_estimate(
    operator: CurvatureOperator,
    sizes: Sequence[int],
    products: int,
    generator: torch.Generator,
) -> DiagonalEstimate:
    """d = E[z * H z],  tr H_bb = E[z_b^T (H z)_b],  z of random signs.

    The parts of H off the diagonal, and those between blocks, have expectation zero, so that one
    set of products with the whole matrix gives the traces of all its blocks. The variance of
    tr H_bb is 2 |H_bb|^2 without the diagonal, and |H_bc|^2 for each other block c, in squared
    Frobenius norms, over the number of products (Hutchinson 1990; Bekas, Kokiopoulou and Saad 2007
    for the diagonal).

    Args:
        operator: H, a single matrix.
        sizes: rows of each block, in their order; they sum to N.
        products: vectors k, at least 2 for errors. A matrix of no more rows is formed.
        generator: source of the signs.

    Raises:
        ValueError: if an argument is out of range, or a product is not finite.
    """
    require_least("products", products, 1)
    size = operator.size
    if operator.batch or sum(sizes) != size:
        raise ValueError(f"sizes: expected numbers of rows that sum to {size}, got {list(sizes)}")
    exact = size <= products
    count = size if exact else products
    total = torch.zeros(size, dtype=operator.dtype, device=operator.device)
    squares = torch.zeros_like(total)
    columns = []
    for start in range(0, count, _PANEL):
        width = min(_PANEL, count - start)
        if exact:
            panel = torch.zeros(size, width, dtype=operator.dtype, device=operator.device)
            panel[range(start, start + width), range(width)] = 1
        else:
            signs = torch.randint(
                2, (size, width), generator=generator, device=generator.device
            ).to(operator.device, operator.dtype)
            panel = 2 * signs - 1
        forms = panel * (operator @ panel)
        if not bool(torch.isfinite(forms).all()):
            raise ValueError("operator: expected finite products, got NaN or infinity")
        total += forms.sum(1)
        squares += forms.square().sum(1)
        parts = torch.split(forms.double(), list(sizes))
        columns.append(torch.stack([part.sum(0) for part in parts], 1))
    found = torch.cat(columns).cpu().numpy()
    if exact:
        return DiagonalEstimate(total, torch.zeros_like(total), found, exact)
    mean = total / count
    variance = (squares / count - mean.square()).clamp_min(0)
    errors = (variance / (count - 1)).sqrt() if count > 1 else torch.full_like(mean, torch.nan)
    return DiagonalEstimate(mean, errors, found, exact)
