"""Softmax regression without bias."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .heads import SoftmaxHead

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
        super().__init__()
        self.head = SoftmaxHead(classes)
        self.weight = nn.Parameter(
            initial_directions(classes, dimension, scale, generator, dtype, device, start)
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
    start: Sequence[Sequence[float]],
) -> Tensor:
    """Rows start + scale * N(0, I/d), (rows, d); ``start`` is padded with zeros to length d."""
    weights = torch.zeros(rows, dimension, dtype=dtype, device=device)
    if start:
        lengths = {len(row) for row in start}
        if len(start) != rows or len(lengths) != 1 or max(lengths) > dimension:
            raise ValueError(
                f"start: expected {rows} rows of equal length, at most {dimension}, "
                f"got lengths {[len(row) for row in start]}"
            )
        weights[:, : max(lengths)] = torch.tensor(start, dtype=dtype, device=device)
    if not scale >= 0 or (scale > 0 and generator is None):
        raise ValueError(f"scale: expected 0, or more with a generator, got {scale}")
    if scale > 0:
        noise = torch.randn(rows, dimension, dtype=dtype, device=device, generator=generator)
        weights += noise * (scale / dimension**0.5)
    return weights
