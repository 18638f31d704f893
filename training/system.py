"""A system: a law of data, a model, its statistics and its theory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ..probes.curvature.block import Block
from ..theory.protocol import Theory
from .data import Law

__all__ = ["System"]


@dataclass(frozen=True)
class System:
    """All that training and probing must know of what is trained.

    Attributes:
        law: of the data, for training and for probing.
        model: with its initial weights.
        loss: mean over a batch of (outputs, targets); twice differentiable.
        theory: knows the statistics (which directions the Gram matrix is of) and predicts.
        blocks: are probed after every epoch.
        rare_blocks: are probed at the start, in the middle and at the end.
        relative_rates: learning rates of parameters relative to the optimiser's, by name; 1 if
            absent, 0 freezes the parameter.
    """

    law: Law
    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    theory: Theory[Any] | None
    blocks: tuple[Block, ...]
    rare_blocks: tuple[Block, ...] = ()
    relative_rates: Mapping[str, float] = field(default_factory=dict)
