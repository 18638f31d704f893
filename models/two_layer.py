"""A two-layer network with one logit and no biases."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .heads import Activation, TwoLayerHead
from .softmax_regression import initial_directions

__all__ = ["TwoLayerNetwork"]


class TwoLayerNetwork(nn.Module):
    """Logit f = v . act(W Y);  rows of W are the hidden units' directions x_a.

    Args:
        dimension: d, the number of input features.
        second_layer: the K initial weights v; their number is the width.
        activation: of the hidden units.
        scale: rows of W start as start + scale * N(0, I/d).
        generator: source of the initial weights; needed unless scale is 0.
        dtype: of the weights.
        device: of the weights.
        start: first coordinates of the mean of each row of W; none for mean 0.
    """

    direction_name = "weight"
    head_parameter_names: tuple[str, ...] = ("second_layer",)

    def __init__(
        self,
        dimension: int,
        second_layer: Sequence[float],
        activation: Activation = "gelu",
        scale: float = 0.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        start: Sequence[Sequence[float]] = (),
    ) -> None:
        super().__init__()
        self.head = TwoLayerHead(len(second_layer), activation)
        self.weight = nn.Parameter(
            initial_directions(len(second_layer), dimension, scale, generator, dtype, device, start)
        )
        self.second_layer = nn.Parameter(torch.tensor(second_layer, dtype=dtype, device=device))

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (n, d) -> logits (n,)."""
        return self.head.output(inputs @ self.weight.T, self.second_layer)
