"""How often descents from random starts find the signal."""

from __future__ import annotations

import torch
from torch import Tensor

from .loss import PhaseLoss

__all__ = ["final_overlaps"]


def final_overlaps(
    loss: PhaseLoss,
    dimension: int,
    samples: int,
    runs: int,
    rate: float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """|w.w*| at the end of descents w <- w - eta P grad on the sphere, side by side, (runs,).

    Each has measurements, signal and start of its own. float32.

    Args:
        loss: l.
        dimension: N.
        samples: n.
        runs: how many.
        rate: eta.
        steps: of each.
        generator: source of all.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    for name, value in (("dimension", dimension), ("samples", samples), ("runs", runs)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    device = generator.device
    drawn = torch.randn(2, runs, dimension, 1, generator=generator, device=device)
    w, signal = drawn / drawn.norm(dim=2, keepdim=True)
    sensing = torch.randn(runs, samples, dimension, generator=generator, device=device)
    y = (sensing @ signal).square()
    for _ in range(steps):
        gradient = sensing.mT @ loss.slope(sensing @ w, y) / samples
        w = w - rate * (gradient - (gradient * w).sum(1, keepdim=True) * w)
        w = w / w.norm(dim=1, keepdim=True)
    overlaps: Tensor = (w * signal).sum((1, 2)).abs()
    return overlaps
