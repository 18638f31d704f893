"""The Gaussian mixture: the law of the data that the theory is about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .arguments import require_fields
from .mixture_law import MixtureLaw

__all__ = ["GaussianMixture"]


@dataclass(frozen=True)
class GaussianMixture:
    """Y = mu_b + snr^(-1/2) g,  b ~ weights,  g ~ N(0, I_d),  y = labels[b].

    Attributes:
        means: (k, d) floating tensor, one mean mu_b a row; its dtype and device are the samples'.
        weights: (k,) probabilities of the components.
        labels: (k,) 0-based label of each component; several components may share one.
        snr: inverse variance of the noise (lambda in arXiv 2502.15655).

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    means: Tensor
    weights: tuple[float, ...]
    labels: tuple[int, ...]
    snr: float

    def __post_init__(self) -> None:
        require_fields(self)
        if self.means.ndim != 2 or not self.means.is_floating_point() or 0 in self.means.shape:
            raise ValueError(
                "means: expected a floating tensor of shape (components, dimension), "
                f"got {self.means.dtype} of shape {tuple(self.means.shape)}"
            )
        if not bool(torch.isfinite(self.means).all()):
            raise ValueError("means: expected finite numbers, got NaN or infinity")
        _ = self.law  # refused here, not where it is first asked for

    @cached_property
    def law(self) -> MixtureLaw:
        """The mixture but for its means."""
        return MixtureLaw.of_means(len(self.means), self.weights, self.labels, self.snr)

    @property
    def dimension(self) -> int:
        """d, the number of input features."""
        return int(self.means.shape[1])

    @property
    def classes(self) -> int:
        """Number of labels: the largest label plus one."""
        return max(self.labels) + 1

    def sample(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw independent samples.

        Args:
            size: number of samples n >= 1.
            generator: source of all randomness, on the device of ``means``.

        Returns:
            inputs (n, d) in the dtype of ``means``, and labels (n,) int64.
        """
        if size < 1:
            raise ValueError(f"size: expected at least 1 sample, got {size}")
        device = self.means.device
        weights = torch.tensor(self.weights, dtype=torch.float64, device=device)
        components = torch.multinomial(weights, size, replacement=True, generator=generator)
        noise = torch.randn(
            size, self.dimension, dtype=self.means.dtype, device=device, generator=generator
        )
        inputs = noise.mul_(self.snr**-0.5).add_(self.means[components])
        labels = torch.tensor(self.labels, device=device)[components]
        return inputs, labels
