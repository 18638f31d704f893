"""The gradient of a loss, without a trace in the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .batches import Batched, Inputs, batches_of, sample_number
from .losses import Loss
from .observe import undisturbed
from .stand_ins import alias

__all__ = ["gradient_and_weight", "loss_gradient", "mean_gradient"]


def loss_gradient(module: nn.Module, loss: Loss, inputs: Inputs, targets: Any) -> dict[str, Tensor]:
    """d loss / d theta of every parameter that is trained; zeros where there is no dependence."""
    return gradient_and_weight(module, loss, inputs, targets)[0]


def gradient_and_weight(
    module: nn.Module, loss: Loss, inputs: Inputs, targets: Any
) -> tuple[dict[str, Tensor], float]:
    """`loss_gradient`, and what the batch counts by in a mean over batches."""
    with undisturbed(module, loss) as observed:
        leaves = {
            name: alias(parameter, observed.dtype)
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }

        def gradient() -> tuple[Sequence[Tensor], float]:
            number = sample_number((inputs, targets))
            total, weight = observed.total(observed.outputs(inputs), targets, number)
            if not total.requires_grad:
                return [torch.zeros_like(leaf) for leaf in leaves.values()], weight
            return torch.autograd.grad(
                total / weight, list(leaves.values()), allow_unused=True, materialize_grads=True
            ), weight

        found, weight = observed.evaluated(gradient, leaves)
        return dict(zip(leaves, found, strict=True)), weight


def mean_gradient(module: nn.Module, loss: Loss, data: Batched) -> tuple[dict[str, Tensor], float]:
    """sum_b w_b g_b / sum_b w_b over batches with gradients g_b and weights w_b, and sum_b w_b."""
    batches = batches_of(data)
    if len(batches) == 1:
        return gradient_and_weight(module, loss, *batches[0])
    sums: dict[str, Tensor] = {}
    whole = 0.0
    for batch in batches:
        gradient, weight = gradient_and_weight(module, loss, *batch)
        for name, part in gradient.items():
            sums[name] = part * weight + sums.get(name, 0.0)
        whole += weight
    return {name: part / whole for name, part in sums.items()}, whole
