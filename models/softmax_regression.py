"""Softmax regression without bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .heads import SoftmaxHead

__all__ = ["SoftmaxRegression"]


class SoftmaxRegression(nn.Module):
    """Logits h = W Y;  rows of W are the class directions x_a.

    Args:
        dimension: d, the number of input features.
        classes: C >= 2.
        scale: rows start as scale * N(0, I/d); 0 starts at the origin.
        generator: source of the initial weights; needed unless scale is 0.
        dtype: of the weights.
        device: of the weights.
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
    ) -> None:
        super().__init__()
        self.head = SoftmaxHead(classes)
        self.weight = nn.Parameter(
            initial_directions(classes, dimension, scale, generator, dtype, device)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (n, d) -> logits (n, C)."""
        return inputs @ self.weight.T


def initial_directions(
    rows: int,
    dimension: int,
    scale: float,
    generator: torch.Generator | None,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Tensor:
    """Rows of norm about ``scale``: scale * N(0, I/d), (rows, d); exact zeros for scale 0."""
    if scale == 0:
        return torch.zeros(rows, dimension, dtype=dtype, device=device)
    if scale < 0 or generator is None:
        raise ValueError(f"scale: expected 0, or more with a generator, got {scale}")
    weights = torch.randn(rows, dimension, dtype=dtype, device=device, generator=generator)
    return weights * (scale / dimension**0.5)
