"""Measures: whatever else is taken of a model at a probing, as named quantities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn

from ..theory.quantity import Quantity
from .curvature.batches import Batch
from .curvature.losses import Loss

__all__ = ["Measure"]


class Measure(Protocol):
    """Takes quantities of model, loss and probe sample, with or without theory.

    It runs inside `Calls.apart`: gradients are enabled, and whatever model and loss write is put
    back. A measure that fails costs its own quantities alone. Of several processes the first one
    that has samples runs it, on those of all.
    """

    @property
    def name(self) -> str:
        """Of the measure, for messages."""

    def __call__(
        self, model: nn.Module, loss: Loss, batch: Batch, generator: torch.Generator
    ) -> Sequence[Quantity]:
        """The quantities, by names that no other measure and no theory gives.

        Args:
            model: unwrapped, in evaluation mode.
            loss: of (outputs, targets).
            batch: the probe sample (inputs, targets), of all processes in one.
            generator: on the CPU, seeded by the probe's seed and the step alone.
        """
