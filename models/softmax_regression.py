"""Softmax regression without bias."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .arguments import require_arguments, require_whole
from .heads.softmax_head import SoftmaxHead
from .initial_directions import initial_directions

__all__ = ["SoftmaxRegression"]


class SoftmaxRegression(nn.Module):
    """Logits h = W Y;  rows of W are the class directions x_a.

    Args:
        dimension: d, the number of input features.
        classes: C >= 2.
        scale: rows start as start + scale * N(0, I/d); 0 without ``start`` is the origin.
        generator: source of the initial weights; needed unless scale is 0.
        dtype: of the weights.
        device: of the weights.
        start: first coordinates of the mean of each row; none for mean 0.
    """

    direction_name = "weight"
    head_parameter_names: tuple[str, ...] = ()

    def __init__(
        self,
        dimension: int,
        classes: int,
        scale: float = 0.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        start: Sequence[Sequence[float]] = (),
    ) -> None:
        require_arguments(SoftmaxRegression.__init__, locals())
        require_whole("classes", classes, 2)
        super().__init__()
        self.head = SoftmaxHead(classes)
        self.weight = nn.Parameter(
            initial_directions(classes, dimension, scale, generator, dtype, device, start)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (n, d) -> logits (n, C)."""
        return inputs @ self.weight.T
