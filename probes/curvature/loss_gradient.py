"""The gradient of a loss, without a trace in the parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .batches import Inputs
from .losses import Loss, module_outputs, scalar_loss
from .observe import ordinary

__all__ = ["loss_gradient"]


def loss_gradient(module: nn.Module, loss: Loss, inputs: Inputs, targets: Any) -> dict[str, Tensor]:
    """d loss / d theta of every parameter that is trained; zeros where there is no dependence."""
    leaves = {
        name: parameter.detach().requires_grad_()
        for name, parameter in ordinary(dict(module.named_parameters())).items()
        if parameter.requires_grad
    }
    value = scalar_loss(loss(module_outputs(module, inputs, leaves), ordinary(targets)))
    if not value.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    gradient = torch.autograd.grad(
        value, list(leaves.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, gradient, strict=True))
