"""One Krylov space for eigenvalues and density together."""

from __future__ import annotations

import torch
from torch import Tensor

from ..curvature.operator import CurvatureOperator
from .allowance import taken
from .block_lanczos import BlockLanczos, Krylov, end_places
from .checkpoints import Checkpoints
from .forming import is_formed, keeps_images, whole_space
from .frames import random_frame

__all__ = ["krylov_space"]


def krylov_space(
    operator: CurvatureOperator,
    largest: int,
    smallest: int,
    *,
    generator: torch.Generator,
    width: int = 8,
    min_steps: int = 24,
    max_steps: int = 60,
    tolerance: float = 1e-3,
    start: Tensor | None = None,
) -> Krylov:
    """A Krylov space from a random frame, grown until the wanted eigenvalues have converged.

    One run for eigenvalues (`extreme_eigenpairs`) and density together. A matrix that is as cheap
    to form (`is_formed`) is formed: its space is complete and its eigenvalues are exact. Products
    that are dear are kept (`keeps_images`), so that no more are needed for residuals. An
    `allowance` of products ends it with what it has, once the wanted eigenvalues fit in.

    Args:
        operator: H, one matrix or a batch.
        largest: number of eigenvalues wanted at the upper end (fewer if H is smaller).
        smallest: number wanted at the lower end.
        generator: draws the frame.
        width: columns of the frame: more than the largest multiplicity that matters.
        min_steps: take at least this many, as nodes for the density (none if it is not wanted).
        max_steps: stop after this many products with a panel, converged or not.
        tolerance: wanted residual as a share of the largest absolute eigenvalue.
        start: (*batch, N, w) columns close to eigenvectors; at most three quarters of the frame are
            taken from them, for what they do not see is not found. The space is then no random
            one: no density can be had from it.

    Raises:
        ValueError: if nothing is wanted, more than the budget can hold is wanted, a number is not
            positive, or a product is not finite.
    """
    if largest < 0 or smallest < 0 or largest + smallest == 0:
        raise ValueError(
            f"largest, smallest: expected counts >= 0, not both 0, got {largest} and {smallest}"
        )
    if width < 1 or max_steps < 1 or not tolerance > 0:
        raise ValueError(
            "width, max_steps, tolerance: expected positive numbers, "
            f"got {width}, {max_steps}, {tolerance}"
        )
    if is_formed(operator, width, min_steps, max_steps):
        taken(operator.size)
        return whole_space(operator)
    if largest + smallest > width * max_steps:
        raise ValueError(
            f"max_steps: expected width * max_steps >= {largest + smallest} eigenvalues, "
            f"got {width} * {max_steps}"
        )
    frame = random_frame(operator, width, generator)
    if start is not None:
        kept = start[..., : width - max(1, width // 4)].to(frame)
        frame = torch.linalg.qr(torch.cat([kept, frame[..., kept.shape[-1] :]], -1)).Q
    capacity = min(operator.size, width * max_steps)
    images = keeps_images(operator, capacity)
    run = BlockLanczos(operator, frame, capacity, generator, images=images)
    first = 6 if start is None else 4
    checkpoints = Checkpoints(max(min_steps, first, -(-(largest + smallest) // width)))
    for step in range(1, max_steps + 1):
        run.advance()
        ended = taken(width) and run.columns >= largest + smallest
        if checkpoints.due(step, run.columns) or run.complete or ended or step == max_steps:
            krylov = run.krylov()
            worst = _worst_residual(krylov, largest, smallest) / tolerance
            if worst <= 1 or run.complete or ended:
                break
            checkpoints.note(step, worst)
    return krylov


def _worst_residual(krylov: Krylov, largest: int, smallest: int) -> float:
    """Largest estimate of a wanted residual, as a share of the largest absolute eigenvalue."""
    values, _ = krylov.eigen
    available = values.shape[-1]
    wanted = end_places(available, min(largest, available), min(smallest, available), values.device)
    scale = values.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    return float((krylov.residual_estimates()[..., wanted] / scale).max())
