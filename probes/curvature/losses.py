"""A loss and what it says of single samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

__all__ = ["Loss", "Reduction", "sample_losses", "scalar_loss"]

Loss = Callable[[Any, Any], Tensor]
Reduction = Literal["mean", "sum"]

# Relative difference between the loss of a batch and that which its samples' losses give.
_TOLERANCE = 1e-3


def scalar_loss(value: Any) -> Tensor:
    """The value of a loss.

    Raises:
        ValueError: unless it is a tensor of shape () with a finite number.
    """
    if not isinstance(value, Tensor) or value.ndim:
        shape = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss: expected a tensor of shape (), got {shape}")
    if not bool(torch.isfinite(value)):
        raise ValueError(f"loss: expected a finite number, got {float(value.detach())}")
    return value


def sample_losses(loss: Loss, outputs: Any, targets: Any, reduction: Reduction = "mean") -> Tensor:
    """The loss of every sample alone, (n,).

    Args:
        loss: of (outputs, targets), a mean or a sum over the first axis of their tensors.
        outputs: any tree; what is no tensor with an axis is given with every sample.
        targets: likewise.
        reduction: what the loss does over samples.

    Raises:
        ValueError: if the loss is not that mean or sum, or `torch.func.vmap` cannot take it apart.
    """
    pair = (outputs, targets)
    axes = tree_map(lambda part: 0 if isinstance(part, Tensor) and part.ndim else None, pair)

    def single(*sample: Any) -> Tensor:
        def alone(part: Any, axis: int | None) -> Any:
            return part if axis is None else part.unsqueeze(0)

        return loss(*tree_map(alone, sample, axes))

    total = float(scalar_loss(loss(outputs, targets)).detach())
    try:
        losses: Tensor = vmap(single, in_dims=axes)(*pair)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(
            f"loss: expected a function that torch.func.vmap takes sample by sample, got {error}"
        ) from error
    together = losses.detach().sum() if reduction == "sum" else losses.detach().mean()
    spread = float(losses.detach().abs().mean()) * (len(losses) if reduction == "sum" else 1)
    if not abs(float(together) - total) <= _TOLERANCE * max(spread, abs(total)):
        raise ValueError(
            f"loss: expected the {reduction} over samples ({float(together):g}), "
            f"got {total:g} for the batch"
        )
    return losses
