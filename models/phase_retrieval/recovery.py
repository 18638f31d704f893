"""How often descents from random starts find the signal."""

from __future__ import annotations

import torch
from torch import Tensor

from ..arguments import require_arguments, require_least
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
    """|w.w*| at the end of descents w <- w - eta P grad on the sphere, (runs,).

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
    require_arguments(final_overlaps, locals())
    for name, value in (("dimension", dimension), ("samples", samples), ("runs", runs)):
        require_least(name, value, 1)
    # One after the other: a batched product with single vectors is many times slower on the CPU.
    found = [_final_overlap(loss, dimension, samples, rate, steps, generator) for _ in range(runs)]
    return torch.stack(found)


def _final_overlap(
    loss: PhaseLoss,
    dimension: int,
    samples: int,
    rate: float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    device = generator.device
    drawn = torch.randn(2, dimension, generator=generator, device=device)
    w, signal = drawn / drawn.norm(dim=1, keepdim=True)
    sensing = torch.randn(samples, dimension, generator=generator, device=device)
    y = (sensing @ signal).square()
    for _ in range(steps):
        gradient = loss.slope(sensing @ w, y) @ sensing / samples
        w = w - rate * (gradient - (gradient @ w) * w)
        w = w / w.norm()
    overlap: Tensor = (w @ signal).abs()
    return overlap
