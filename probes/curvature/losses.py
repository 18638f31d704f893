"""A loss and what it says of single samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import vmap

from .batches import sample_number
from .filtered_warnings import filtered_warnings
from .graph_ends import has_nodes, next_node
from .objects import flattened

__all__ = [
    "Loss",
    "Reduction",
    "differentiable_copies",
    "require_nothing_left",
    "sample_losses",
    "scalar_loss",
]

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
    loss: Loss,
    outputs: Any,
    targets: Any,
    reduction: Reduction = "mean",
    *,
    check: bool = True,
    since: int | None = None,
) -> Tensor:
    """The loss of every sample alone, (n,).

    Values cannot tell a mean from another mean where all losses are near each other, as they are
    at the start of a training: gradients in the outputs can.

    Args:
        loss: of (outputs, targets), a mean or a sum over the first axis of their tensors.
        outputs: any tree, of objects too; what is no tensor with samples along its first axis is
            given with every sample.
        targets: likewise.
        reduction: what the loss does over samples.
        check: compare value and gradient with those of the batch.
        since: number of the first node that the forward pass may have made, see `next_node`;
            default: not known.

    Raises:
        ValueError: if the loss is not that mean or sum, in value or in gradient, or reads an
            output without samples, or what the forward pass has left elsewhere, or
            `torch.func.vmap` cannot take it apart.
    """
    if check:
        with torch.enable_grad():
            _require_reduction(loss, outputs, targets, reduction, since)
    return _alone(loss, outputs, targets)


def require_nothing_left(value: Tensor, since: int, before: int) -> None:
    """Refuse a loss of copies of the outputs that depends on the forward pass all the same.

    Args:
        value: the loss.
        since: number of the first node that the forward pass may have made, see `next_node`.
        before: of the first that the loss has made.

    Raises:
        ValueError: if it does.
    """
    if has_nodes(value, since, before):
        raise ValueError(
            "loss: expected a function of outputs, targets and parameters, got one that reads "
            "what the forward pass has left elsewhere, as in an attribute of the model: return it "
            "among the outputs"
        )


def differentiable_copies(outputs: Any) -> tuple[Any, list[Tensor]]:
    """The outputs off their graph, and those tensors in them that are now its leaves."""
    leaves, rebuilt = flattened(outputs)
    copies = [
        leaf.detach().requires_grad_()
        if isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex())
        else leaf
        for leaf in leaves
    ]
    found = [leaf for leaf in copies if isinstance(leaf, Tensor) and leaf.requires_grad]
    return rebuilt(copies), found


def _alone(loss: Loss, outputs: Any, targets: Any) -> Tensor:
    """The loss of batches of one sample, (n,)."""
    # Not by a map of the tree: some containers drop what is None.
    leaves, rebuilt = flattened((outputs, targets))
    number = sample_number((leaves, targets))
    split = [i for i, leaf in enumerate(leaves) if _has_samples(leaf, number)]

    def single(*rows: Tensor) -> Tensor:
        sample = list(leaves)
        for i, row in zip(split, rows, strict=True):
            sample[i] = row.unsqueeze(0)
        return loss(*rebuilt(sample))

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


def _has_samples(leaf: Any, number: int) -> bool:
    return isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == number


def _require_reduction(
    loss: Loss, outputs: Any, targets: Any, reduction: Reduction, since: int | None
) -> None:
    """Refuse a loss whose batch is not the mean or sum of its samples."""
    copies, leaves = differentiable_copies(outputs)
    before = next_node()
    try:
        total = scalar_loss(loss(copies, targets))
    except RuntimeError as error:
        raise ValueError(
            "loss: expected a function of the values of the outputs, got one that differentiates "
            f"through the model ({error}); {_INSTEAD}"
        ) from error
    if since is not None:
        require_nothing_left(total, since, before)
    found = _slopes(total, leaves)
    number = sample_number((leaves, targets))
    for leaf, slope in zip(leaves, found, strict=True):
        if not _has_samples(leaf, number) and bool(slope.count_nonzero()):
            why = "" if leaf.ndim else ": a mean that the model has taken says nothing of them"
            raise ValueError(
                f"loss: expected outputs with {number} samples along their first axis, got one of "
                f"shape {tuple(leaf.shape)} that it depends on{why}"
            )
    losses = _alone(loss, copies, targets)
    together = losses.sum() if reduction == "sum" else losses.mean()
    spread = float(losses.detach().abs().mean()) * (len(losses) if reduction == "sum" else 1)
    difference = abs(float(together.detach()) - float(total.detach()))
    if not difference <= _TOLERANCE * max(spread, abs(float(total.detach()))):
        raise ValueError(
            f"loss: expected the {reduction} over samples ({float(together.detach()):g}), "
            f"got {float(total.detach()):g} for the batch; {_INSTEAD}"
        )
    expected = _slopes(together, leaves)
    scale = max((float(part.abs().max()) for part in expected if part.numel()), default=0.0)
    apart = 0.0
    for one, other in zip(found, expected, strict=True):
        if one.numel():
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
