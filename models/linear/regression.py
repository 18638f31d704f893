"""Linear regression, on the inputs or on random linear features of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..arguments import require_arguments, require_least

__all__ = ["LinearRegression", "RandomFeatures"]


class LinearRegression(nn.Module):
    """f(x) = v . x,  v = 0 at first.

    Args:
        dimension: D.
        dtype: of the weights.
        device: of the weights.
    """

    def __init__(
        self,
        dimension: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        require_arguments(LinearRegression.__init__, locals())
        super().__init__()
        require_least("dimension", dimension, 1)
        self.weight = nn.Parameter(torch.zeros(dimension, dtype=dtype, device=device))

    def effective(self) -> Tensor:
        """The weights of the inputs, (D,): v."""
        return self.weight

    def features(self, inputs: Tensor) -> Tensor:
        """Inputs (n, D), which are the features."""
        return inputs

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (n, D) -> outputs (n,)."""
        return inputs @ self.weight


class RandomFeatures(nn.Module):
    """f(x) = v . F^T x,  F (D, N) of entries N(0, 1/N) that are not trained, v = 0 at first.

    Args:
        dimension: D.
        features: N.
        generator: source of F, on ``device``.
        dtype: of the weights and of F.
        device: of the weights and of F.
    """

    projection: Tensor

    def __init__(
        self,
        dimension: int,
        features: int,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        require_arguments(RandomFeatures.__init__, locals())
        super().__init__()
        for name, value in (("dimension", dimension), ("features", features)):
            require_least(name, value, 1)
        entries = torch.randn(dimension, features, generator=generator, dtype=dtype, device=device)
        self.register_buffer("projection", entries / features**0.5)
        self.weight = nn.Parameter(torch.zeros(features, dtype=dtype, device=device))

    def effective(self) -> Tensor:
        """The weights of the inputs, (D,): F v."""
        return self.projection @ self.weight

    def features(self, inputs: Tensor) -> Tensor:
        """Inputs (n, D) -> features (n, N)."""
        return inputs @ self.projection

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (n, D) -> outputs (n,)."""
        return self.features(inputs) @ self.weight
