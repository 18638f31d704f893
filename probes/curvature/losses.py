"""A loss and what it says of single samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from .filtered_warnings import filtered_warnings

__all__ = ["Loss", "Reduction", "differentiable_copies", "sample_losses", "scalar_loss"]

Loss = Callable[[Any, Any], Tensor]
Reduction = Literal["mean", "sum"]

# Relative difference of two gradients of the same loss beyond which they are two losses'.
_TOLERANCE = 1e-4
_INSTEAD = "a WeightedMean says what its terms are, unless they depend on each other"


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


def sample_losses(
    loss: Loss, outputs: Any, targets: Any, reduction: Reduction = "mean", *, check: bool = True
) -> Tensor:
    """The loss of every sample alone, (n,).

    Values cannot tell a mean from another mean where all losses are near each other, as they are
    at the start of a training: gradients in the outputs can.

    Args:
        loss: of (outputs, targets), a mean or a sum over the first axis of their tensors.
        outputs: any tree; what is no tensor with an axis is given with every sample.
        targets: likewise.
        reduction: what the loss does over samples.
        check: compare value and gradient with those of the batch.

    Raises:
        ValueError: if the loss is not that mean or sum, in value or in gradient, or reads an
            output without an axis, or `torch.func.vmap` cannot take it apart.
    """
    if check:
        with torch.enable_grad():
            _require_reduction(loss, outputs, targets, reduction)
    return _alone(loss, outputs, targets)


def differentiable_copies(outputs: Any) -> tuple[Any, list[Tensor]]:
    """The outputs off their graph, and those tensors in them that are now its leaves."""
    leaves, spec = tree_flatten(outputs)
    copies = [
        leaf.detach().requires_grad_()
        if isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex())
        else leaf
        for leaf in leaves
    ]
    found = [leaf for leaf in copies if isinstance(leaf, Tensor) and leaf.requires_grad]
    return tree_unflatten(copies, spec), found


def _alone(loss: Loss, outputs: Any, targets: Any) -> Tensor:
    """The loss of batches of one sample, (n,)."""
    # Not by a map of the tree: some containers drop what is None.
    leaves, spec = tree_flatten((outputs, targets))
    split = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.ndim]

    def single(*rows: Tensor) -> Tensor:
        sample = list(leaves)
        for i, row in zip(split, rows, strict=True):
            sample[i] = row.unsqueeze(0)
        return loss(*tree_unflatten(sample, spec))

    try:
        # They speak of batches of one, or of vmap, and what is wrong with it is said below.
        with filtered_warnings("ignore"):
            losses: Tensor = vmap(single)(*(leaves[i] for i in split))
    except Exception as error:  # of the user's code, for a batch of one sample
        raise ValueError(
            "loss: expected a function that torch.func.vmap takes sample by sample, got "
            f"{type(error).__name__}: {error}; {_INSTEAD}"
        ) from error
    return losses


def _require_reduction(loss: Loss, outputs: Any, targets: Any, reduction: Reduction) -> None:
    """Refuse a loss whose batch is not the mean or sum of its samples."""
    copies, leaves = differentiable_copies(outputs)
    try:
        total = scalar_loss(loss(copies, targets))
    except RuntimeError as error:
        raise ValueError(
            "loss: expected a function of the values of the outputs, got one that differentiates "
            f"through the model ({error}); {_INSTEAD}"
        ) from error
    losses = _alone(loss, copies, targets)
    together = losses.sum() if reduction == "sum" else losses.mean()
    spread = float(losses.detach().abs().mean()) * (len(losses) if reduction == "sum" else 1)
    difference = abs(float(together.detach()) - float(total.detach()))
    if not difference <= _TOLERANCE * max(spread, abs(float(total.detach()))):
        raise ValueError(
            f"loss: expected the {reduction} over samples ({float(together.detach()):g}), "
            f"got {float(total.detach()):g} for the batch; {_INSTEAD}"
        )
    found, expected = (_slopes(value, leaves) for value in (total, together))
    scale = max((float(part.abs().max()) for part in expected if part.numel()), default=0.0)
    apart = 0.0
    for leaf, one, other in zip(leaves, found, expected, strict=True):
        if not leaf.ndim and bool(one):
            raise ValueError(
                "loss: expected outputs with samples along their first axis, got one of shape () "
                "that it depends on: a mean that the model has taken says nothing of single samples"
            )
        if leaf.numel():
            apart = max(apart, float((one - other).abs().max()))
    if not apart <= _TOLERANCE * scale:
        raise ValueError(
            f"loss: expected the {reduction} over samples, got one whose gradient in the outputs "
            f"differs from that by {apart / scale if scale else float('inf'):.2g} of its largest "
            f"entry; {_INSTEAD}"
        )


def _slopes(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    """Gradient in the outputs."""
    if not value.requires_grad or not leaves:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return list(torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True))
