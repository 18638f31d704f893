"""Traces of all diagonal blocks of a matrix from products with the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from ...models.arguments import require_least
from ...theory.spectrum import FloatArray
from ..curvature.operator import CurvatureOperator
from .block_lanczos import BlockLanczos
from .frame_mean import frame_mean
from .frames import identity_frame, random_frame
from .trace import KRYLOV_STEPS, TraceEstimate

__all__ = ["BlockTraces", "block_traces"]


@dataclass(frozen=True)
class BlockTraces(TraceEstimate):
    """Tr H_bb of each block of one matrix: value and error (blocks,).

    Attributes:
        columns: (s, blocks), (N - K) g_j^T P_b R g_j of each random vector.
        free: N - K.
    """

    columns: FloatArray
    free: int

    @property
    def shares(self) -> tuple[FloatArray, FloatArray]:
        """(blocks,) each trace over the sum of all, and standard errors to first order."""
        total = self.value.sum()
        shares = self.value / total
        left = self.columns - shares * self.columns.sum(1, keepdims=True)
        return shares, frame_mean(left, self.free).error / abs(total)


def block_traces(
    operator: CurvatureOperator,
    blocks: Sequence[Sequence[int]],
    products: int,
    generator: torch.Generator,
) -> BlockTraces:
    """Tr H_bb = tr P_b (H - R) + (N - K) mean_j g_j^T P_b R g_j,  R = (1 - Q Q^T) H (1 - Q Q^T).

    P_b is the projector on block b. The first term is known from a block Krylov space Q (N, K),
    which takes half of the products, as in `trace`; the other half are a random frame g_j of the
    rest, in whose products the other blocks cancel on average. They add |R_bc|_F^2 for each other
    block c to the variance, which is 2 |R_bb|_F^2 without them: where they are weakly coupled this
    takes about the products of a single block, and not those of all.

    Args:
        operator: H, a single matrix, symmetric, definite or not.
        blocks: of each block, the places of its parameters in `CurvatureOperator.shapes`. What is
            in no block is in no trace.
        products: matrix-vector products to spend on all of them together, at least 2; as many as H
            has rows make the traces exact. The vectors and products of half of them are kept.
        generator: source of all randomness.

    Returns:
        Value and error (blocks,), in curvature. Errors of different blocks are not independent.

    Raises:
        ValueError: if H is a batch, a place does not exist, there are fewer than 2 products, or a
            product is not finite.
    """
    if operator.batch:
        raise ValueError(f"operator: expected a single matrix, got a batch of {operator.batch}")
    require_least("products", products, 2)
    places = _rows(operator.shapes, blocks, operator.device)
    size = operator.size
    if size <= products:
        forms = _forms(identity_frame(operator), operator.dense(), places)
        return _estimate(forms[..., :0], forms, size, operator.dtype, size)
    width = products // (2 * KRYLOV_STEPS)
    frame = random_frame(operator, products - width * KRYLOV_STEPS, generator)
    known = torch.zeros(len(blocks), 0, dtype=torch.float64, device=operator.device)
    if width:
        start = random_frame(operator, width, generator)
        run = BlockLanczos(operator, start, width * KRYLOV_STEPS, generator, images=True)
        for _ in range(KRYLOV_STEPS):
            run.advance()
        krylov = run.krylov()
        assert krylov.images is not None
        basis = krylov.basis
        # H - R = H Q Q^T + Q (H Q)^T - Q Q^T H Q Q^T
        inside = basis @ (basis.mT @ krylov.images)
        known = _forms(basis, 2 * krylov.images - inside, places)
        for _ in range(2):  # once more, because what the projection leaves is not quite orthogonal
            frame = torch.linalg.qr(frame - basis @ (basis.mT @ frame)).Q
    images = operator @ frame
    if width:
        images = images - basis @ (basis.mT @ images)
    forms = _forms(frame, images, places)
    return _estimate(known, forms, size - known.shape[-1], operator.dtype, products)


def _rows(
    shapes: Sequence[tuple[int, ...]], blocks: Sequence[Sequence[int]], device: torch.device
) -> list[Tensor]:
    """The rows of each block."""
    ends = torch.tensor([prod(shape) for shape in shapes]).cumsum(0).tolist()
    starts = [0, *ends[:-1]]
    for block in blocks:
        if not block or not all(0 <= place < len(shapes) for place in block):
            raise ValueError(
                f"blocks: expected places of the {len(shapes)} parameters, got {list(block)}"
            )
    return [
        torch.cat([torch.arange(starts[p], ends[p], device=device) for p in sorted(set(block))])
        for block in blocks
    ]


def _forms(vectors: Tensor, images: Tensor, places: Sequence[Tensor]) -> Tensor:
    """v_b^T (H v)_b of each column, (blocks, columns) float64."""
    if not bool(torch.isfinite(images).all()):
        raise ValueError("operator: expected finite products, got NaN or infinity")
    return torch.stack([(vectors[rows].double() * images[rows].double()).sum(0) for rows in places])


def _estimate(
    known: Tensor, forms: Tensor, free: int, dtype: torch.dtype, products: int
) -> BlockTraces:
    """From the exact terms (blocks, K), and those of a frame of the other ``free`` dimensions."""
    columns = free * forms.mT.cpu().numpy()
    mean = frame_mean(columns, free)
    value = mean.value + known.sum(-1).cpu().numpy()
    error = mean.error
    if free > forms.shape[-1]:
        summed = free * forms.abs().mean(-1) + known.abs().sum(-1)
        rounding = 10 * torch.finfo(dtype).eps * summed.cpu().numpy()
        error = (error**2 + rounding**2) ** 0.5
    return BlockTraces(value, error, mean.degrees, products, columns, free)
