"""Whether model and loss make of the parts of a batch what they make of the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .batches import Batch, sample_number
from .losses import differentiable_copies
from .observe import Observed
from .out_of_memory import is_out_of_memory

__all__ = ["same_in_parts"]

# Relative difference, of the largest entry, of two ways to compute the same.
_SAME = 1e-4
# Parameters are moved by this share of their size: where they start at 0, nothing would show.
_MOVED = 0.1


Total = Callable[[Any, Any, int], tuple[Tensor, float]]


def same_in_parts(observed: Observed, total: Total, batch: Batch, parts: Sequence[Batch]) -> bool:
    """Whether outputs and gradients of the loss in them are those of the parts, one after another.

    Compared at parameters near the present ones. A model that fails on a part has an answer too.

    Args:
        observed: the model.
        total: of (outputs, targets, samples): what is summed over batches, and what that counts by.
        batch: all of it.
        parts: of it, in their order.

    Raises:
        Exception: if memory runs out.
    """
    moved = _moved(observed)

    def seen(batch: Batch) -> _Seen:
        return observed.evaluated(lambda: _seen(observed, total, batch), moved)

    try:
        whole, pieces = seen(batch), [seen(part) for part in parts]
    except Exception as error:  # of the model or the loss, as for a mask that was cut
        if is_out_of_memory(error):
            raise
        return False
    samples = sample_number(batch)
    if not _close(sum(piece.weight for piece in pieces), whole.weight):
        return False
    if not _close(sum(piece.value for piece in pieces), whole.value):
        return False
    for i, (output, slope) in enumerate(zip(whole.outputs, whole.slopes, strict=True)):
        if any(len(piece.outputs) != len(whole.outputs) for piece in pieces):
            return False
        if not output.ndim or len(output) != samples:
            # No samples to tell parts by: the loss must not depend on it.
            if bool(slope.count_nonzero()):
                return False
        elif not (
            _same(output, [piece.outputs[i] for piece in pieces])
            and _same(slope, [piece.slopes[i] for piece in pieces])
        ):
            return False
    return True


@dataclass(frozen=True)
class _Seen:
    """What is summed, of a batch, the outputs, its gradient in them, what the batch counts by."""

    value: float
    outputs: list[Tensor]
    slopes: list[Tensor]
    weight: float


def _seen(observed: Observed, total: Total, batch: Batch) -> _Seen:
    copies, leaves = differentiable_copies(observed.outputs(batch[0]))
    value, weight = total(copies, batch[1], sample_number(batch))
    slopes = [torch.zeros_like(leaf) for leaf in leaves]
    if value.requires_grad:
        slopes = list(torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True))
    outputs = [leaf.detach() for leaf in leaves]
    return _Seen(float(value.detach()), outputs, slopes, weight)


def _same(whole: Tensor, pieces: Sequence[Tensor]) -> bool:
    """Whether the pieces, one after another, are the whole."""
    if any(piece.shape[1:] != whole.shape[1:] for piece in pieces):
        return False
    together = torch.cat(list(pieces))
    if len(together) != len(whole) or not whole.numel():
        return len(together) == len(whole)
    return bool((together - whole).abs().max() <= _SAME * whole.abs().max())


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME * abs(other)


def _moved(observed: Observed) -> dict[str, Tensor]:
    """Constants near the parameters that are trained."""
    found = {}
    for name, parameter in observed.module.named_parameters():
        if parameter.requires_grad and parameter.numel():
            value = parameter.detach().to(observed.dtype or parameter.dtype)
            generator = torch.Generator(value.device).manual_seed(0)
            noise = torch.empty_like(value).normal_(generator=generator)
            size = value.square().mean().sqrt()
            found[name] = value + _MOVED * torch.where(size > 0, size, 1.0) * noise
    return found
