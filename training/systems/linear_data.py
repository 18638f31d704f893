"""Batches of linear models: with replacement, and passes without a short last batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data import Batches, FixedData, FreshSamples, FullBatch, Law

__all__ = ["Resampled", "batches"]


class Resampled:
    """A law that draws from the same samples again and again, with replacement.

    Args:
        inputs: (P, ...).
        targets: (P, ...).
    """

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self._inputs, self._targets = inputs, targets

    def sample(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs (size, ...) and targets (size, ...)."""
        chosen = torch.randint(
            len(self._inputs), (size,), generator=generator, device=self._inputs.device
        )
        return self._inputs[chosen], self._targets[chosen]


def batches(
    algorithm: str,
    law: Law,
    data: tuple[Tensor, Tensor] | None,
    batch_size: int,
    generator: torch.Generator,
) -> Batches:
    """What an algorithm is fed: its name is one of the theory's."""
    if data is None:
        return FreshSamples(law, batch_size, generator)
    if algorithm in ("flow", "gd"):
        return FullBatch(*data)
    if algorithm == "shuffled":
        return FixedData(*data, batch_size, generator)
    return FreshSamples(Resampled(*data), batch_size, generator)
