"""One derivative by automatic differentiation."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["slope"]


def slope(total: Tensor, leaf: Tensor, create_graph: bool = False) -> Tensor:
    """d total/d leaf, of the shape of leaf; zero where total does not depend on it.

    Args:
        total: a number, (); its graph is kept.
        leaf: what it is a function of.
        create_graph: whether the result is to be differentiated again.
    """
    if not total.requires_grad:
        return torch.zeros_like(leaf)
    (result,) = torch.autograd.grad(
        total, leaf, retain_graph=True, create_graph=create_graph, materialize_grads=True
    )
    return result
