"""The gradient of a loss, without a trace in the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .batches import Inputs
from .losses import Loss, scalar_loss
from .observe import undisturbed
from .stand_ins import alias

__all__ = ["loss_gradient"]


def loss_gradient(module: nn.Module, loss: Loss, inputs: Inputs, targets: Any) -> dict[str, Tensor]:
    """d loss / d theta of every parameter that is trained; zeros where there is no dependence."""
    leaves = {
        name: alias(parameter)
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    with undisturbed(module, loss) as observed:

        def gradient() -> Sequence[Tensor]:
            value = scalar_loss(observed.loss(observed.outputs(inputs), targets))
            if not value.requires_grad:
                return [torch.zeros_like(leaf) for leaf in leaves.values()]
            return torch.autograd.grad(
                value, list(leaves.values()), allow_unused=True, materialize_grads=True
            )

        return dict(zip(leaves, observed.evaluated(gradient, leaves), strict=True))
