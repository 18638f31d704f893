"""Measurements y = (a.w*)^2, and the position that is fitted to them as a module."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..arguments import require_arguments, require_least
from ..spiked.start import random_signal
from .loss import PhaseLoss

__all__ = ["MeanLoss", "Measurements", "PhaseRetrieval"]

_UNIT = 1e-4  # relative deviation of a squared length from 1


@dataclass(frozen=True, eq=False)
class Measurements:
    """Sensing vectors a ~ N(0, I_N) and y = (a.w*)^2 of a unit vector w*.

    Attributes:
        signal: w*, (N,).
        sensing: (n, N).
        targets: y, (n,).
    """

    signal: Tensor
    sensing: Tensor
    targets: Tensor

    @classmethod
    def drawn(
        cls,
        dimension: int,
        samples: int,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Measurements:
        """A uniform signal and so many measurements of it.

        Raises:
            ValueError: naming the argument, what was expected and what came.
        """
        require_least("samples", samples, 1)
        signal = random_signal(dimension, generator, dtype, device) / dimension**0.5
        sensing = torch.randn(samples, dimension, dtype=dtype, device=device, generator=generator)
        return cls(signal, sensing, (sensing @ signal).square())

    def overlap(self, position: Tensor) -> Tensor:
        """m = w.w*, (); the signal is known up to its sign."""
        return position @ self.signal


class PhaseRetrieval(nn.Module):
    """a -> z = a.w: one parameter ``w`` (N,) with |w| = 1.

    Args:
        start: w, (N,).

    Raises:
        ValueError: unless the start has length 1.
    """

    def __init__(self, start: Tensor) -> None:
        require_arguments(PhaseRetrieval.__init__, locals())
        super().__init__()
        length = float(start.detach().double().square().sum())
        if start.ndim != 1 or not abs(length - 1) < _UNIT:
            raise ValueError(
                f"start: expected (N,) of length 1, got {tuple(start.shape)} "
                f"with |w|^2 = {length:.6g}"
            )
        self.w = nn.Parameter(start.detach().clone())

    def forward(self, sensing: Tensor) -> Tensor:
        """z (n,) of sensing vectors (n, N)."""
        return sensing @ self.w


class MeanLoss:
    """(1/n) sum_i l(z_i) of projections z (n,) and targets y (n,).

    Args:
        loss: l.
    """

    def __init__(self, loss: PhaseLoss) -> None:
        self.loss = loss

    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        """The mean, ()."""
        return self.loss.value(z, y).mean()
