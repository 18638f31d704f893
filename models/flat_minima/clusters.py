"""Two Gaussian clusters on both sides of the origin, and a linear classifier of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..arguments import require_arguments, require_fields, require_whole

__all__ = ["ClusterClassifier", "ClusterLaw"]


@dataclass(frozen=True, eq=False)
class ClusterLaw:
    """x = y mu + D^(1/2) g,  g ~ N(0, I_N),  y = 1 with probability rho, -1 otherwise.

    Attributes:
        mean: mu, (N,) of length 1; its dtype and device are the samples'.
        noise: D > 0.
        fraction: rho of the first cluster.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    mean: Tensor
    noise: float
    fraction: float = 0.5

    def __post_init__(self) -> None:
        require_fields(self)
        if not (math.isfinite(self.noise) and self.noise > 0):
            raise ValueError(f"noise: expected a positive number, got {self.noise}")
        if not 0 < self.fraction < 1:
            raise ValueError(f"fraction: expected a number between 0 and 1, got {self.fraction}")

    def sample(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """x (size, N) and labels y (size,) of -1 and 1, floating."""
        mean = self.mean
        kind, device = mean.dtype, mean.device
        uniform = torch.rand(size, generator=generator, dtype=kind, device=device)
        first = uniform < self.fraction
        labels = torch.where(first, 1.0, -1.0).to(kind)
        noise = torch.randn(size, len(mean), generator=generator, dtype=kind, device=device)
        return labels[:, None] * mean + math.sqrt(self.noise) * noise, labels


class ClusterClassifier(nn.Module):
    """x -> w.x + b, both 0 at first; b is fixed at 0 without a bias.

    Args:
        dimension: N.
        bias: whether b is trained.
        dtype: of the parameters.
        device: of the parameters.
    """

    def __init__(
        self,
        dimension: int,
        bias: bool = False,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        require_arguments(ClusterClassifier.__init__, locals())
        require_whole("dimension", dimension, 1)
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dimension, dtype=dtype, device=device))
        self.bias = nn.Parameter(torch.zeros((), dtype=dtype, device=device)) if bias else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores (n,) of inputs (n, N)."""
        scores = inputs @ self.weight
        return scores if self.bias is None else scores + self.bias
