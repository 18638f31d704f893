"""Gradient descent of many runs on one operator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..arguments import require_arguments, require_least
from .factorisation import LocalLoss, local_loss
from .measurements import Measurements

__all__ = ["descend"]


@torch.no_grad()
def descend(
    measurements: Measurements,
    outcomes: Tensor,
    starts: Tensor,
    learning_rate: float | Tensor,
    steps: int,
    look: Callable[[int, LocalLoss], bool | None] | None = None,
) -> Tensor:
    """U <- U + mu A*A(R) U,  R = Z - U U^T, so many times.

    The runs of a batch share every product with A: a matrix product in place of so many passes
    over the operator.

    Args:
        measurements: A.
        outcomes: y, (m,) for all runs or (..., m).
        starts: U, (..., n, q); is left as it is.
        learning_rate: mu; of each run of a batch, (...).
        steps: number of steps.
        look: is told of every point, the step and what is known there, the start and the end
            included; True ends the descent.

    Returns:
        (..., n, q).

    Raises:
        ValueError: if the learning rate is not positive or the number of steps negative.
    """
    require_arguments(descend, locals())
    rate = torch.as_tensor(learning_rate, dtype=starts.dtype, device=starts.device)
    if not bool((rate > 0).all()):
        raise ValueError(f"learning_rate: expected a positive number, got {learning_rate}")
    require_least("steps", steps, 0)
    point = starts
    for step in range(steps + 1):
        if step == steps and look is None:
            break
        local = local_loss(measurements, outcomes, point)
        if look is not None and (look(step, local) or step == steps):
            break
        point = point - rate[..., None, None] * local.gradient
    return point
