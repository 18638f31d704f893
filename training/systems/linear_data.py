"""Batches of linear models: with replacement, and passes without a short last batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data import Batches, Draw, FixedData, FreshSamples, FullBatch

__all__ = ["batches", "resampled"]


def resampled(inputs: Tensor, targets: Tensor) -> Draw:
    """Draws from the same samples again and again, with replacement.

    Args:
        inputs: (P, ...).
        targets: (P, ...).
    """

    def draw(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(inputs), (size,), generator=generator, device=inputs.device)
        return inputs[chosen], targets[chosen]

    return draw


def batches(
    algorithm: str,
    draw: Draw,
    data: tuple[Tensor, Tensor] | None,
    batch_size: int,
    generator: torch.Generator,
) -> Batches:
    """What an algorithm is fed: its name is one of the theory's."""
    if data is None:
        return FreshSamples(draw, batch_size, generator)
    if algorithm in ("flow", "gd"):
        return FullBatch(*data)
    if algorithm == "shuffled":
        return FixedData(*data, batch_size, generator)
    return FreshSamples(resampled(*data), batch_size, generator)
