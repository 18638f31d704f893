"""The trace of a matrix known by its products, with a standard error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...models.arguments import require_arguments, require_least
from ..curvature.operator import CurvatureOperator
from .block_lanczos import block_lanczos
from .frame_mean import Estimate, frame_mean
from .frames import random_frame

__all__ = ["KRYLOV_STEPS", "TraceEstimate", "trace"]

# Depth of the Krylov space. At equal products 2 is up to twice less accurate where eigenvalues
# decay, 6 is no better.
KRYLOV_STEPS = 4


@dataclass(frozen=True)
class TraceEstimate(Estimate):
    """Tr H of each matrix of a batch: value and error have shape (*batch,), in curvature.

    Attributes:
        products: matrix-vector products spent on each matrix.
    """

    products: int


def trace(operator: CurvatureOperator, products: int, generator: torch.Generator) -> TraceEstimate:
    """Tr H = tr Q^T H Q + (N - k) mean_j g_j^T H g_j,  g_j uniform in the complement of Q.

    Half of the products build Q (N, k), a block Krylov space from a random frame, on which the
    trace is exact; it takes the outliers out. The other half are an orthonormal frame of the rest,
    independent of Q, so that the standard error is unbiased and Student's t with
    products / 2 - 1 degrees of freedom applies. This is Hutch++ (arXiv 2010.09649) with the sketch
    of arXiv 2205.01736, which spends no products on anything but Q.

    The error is never less than the rounding of the numbers that are summed. A matrix with no more
    rows than ``products`` is formed, and its trace exact.

    Args:
        operator: H, one matrix or a batch; symmetric, definite or not.
        products: matrix-vector products to spend on each matrix, at least 2. The vectors of half
            of them are kept.
        generator: source of all randomness.

    Raises:
        ValueError: if there are fewer than 2 products, or a product is not finite.
    """
    require_arguments(trace, locals())
    require_least("products", products, 2)
    size = operator.size
    if size <= products:
        identity = torch.eye(size, dtype=operator.dtype, device=operator.device)
        return _estimate(operator, identity.expand(*operator.batch, -1, -1), None, size)
    width = products // (2 * KRYLOV_STEPS)
    if not width:
        return _estimate(operator, random_frame(operator, products, generator), None, products)
    krylov = block_lanczos(
        operator, random_frame(operator, width, generator), KRYLOV_STEPS, generator
    )
    basis = krylov.basis
    frame = random_frame(operator, products - basis.shape[-1], generator)
    for _ in range(2):  # once more, because what the projection leaves is not quite orthogonal
        frame = torch.linalg.qr(frame - basis @ (basis.mT @ frame)).Q
    known = krylov.coefficients.diagonal(dim1=-2, dim2=-1)
    return _estimate(operator, frame, known, products, basis.shape[-1])


def _estimate(
    operator: CurvatureOperator,
    frame: Tensor,
    known: Tensor | None,
    products: int,
    taken: int = 0,
) -> TraceEstimate:
    """Known terms of the trace, (*batch, taken), and the rest from a frame of the complement."""
    forms = (frame.double() * (operator @ frame).double()).sum(-2)
    if not bool(torch.isfinite(forms).all()):
        raise ValueError("operator: expected finite products, got NaN or infinity")
    columns = forms.movedim(-1, 0).cpu().numpy()
    free = operator.size - taken
    mean = frame_mean(columns, free)
    value = free * mean.value + (0 if known is None else known.sum(-1).cpu().numpy())
    error = free * mean.error
    if free > len(columns):
        summed = free * np.abs(columns).mean(0)
        summed += 0 if known is None else known.abs().sum(-1).cpu().numpy()
        error = np.hypot(error, 10 * torch.finfo(frame.dtype).eps * summed)
    return TraceEstimate(value, error, mean.degrees, products)
