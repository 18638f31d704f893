"""Binary logistic regression without bias."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .arguments import require_arguments
from .heads.logistic_head import LogisticHead
from .initial_directions import initial_directions

__all__ = ["LogisticRegression"]


class LogisticRegression(nn.Module):
    """Logit h = x . Y;  the one row of the weight (1, d) is the direction x.

    Args:
        dimension: d, the number of input features.
        scale: x starts as start + scale * N(0, I/d); 0 without ``start`` is the origin.
        generator: source of the initial weights; needed unless scale is 0.
        dtype: of the weights.
        device: of the weights.
        start: first coordinates of the mean of the row, as a single row; none for mean 0.
    """

    direction_name = "weight"
    head_parameter_names: tuple[str, ...] = ()

    def __init__(
        self,
        dimension: int,
        scale: float = 0.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        start: Sequence[Sequence[float]] = (),
    ) -> None:
        require_arguments(LogisticRegression.__init__, locals())
        super().__init__()
        self.head = LogisticHead()
        self.weight = nn.Parameter(
            initial_directions(1, dimension, scale, generator, dtype, device, start)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (n, d) -> logits (n,)."""
        return (inputs @ self.weight.T).squeeze(-1)
