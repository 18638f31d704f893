"""A system: all that training and probing must know of what is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..probes.curvature.batches import Batch
from ..probes.curvature.block import Block
from ..probes.curvature.losses import Loss
from ..probes.curvature.matrix import CurvatureMatrix, Hessian, Information
from ..probes.measure import Measure
from ..probes.stability import LearningRate
from ..theory.protocol import SampleKind, Theory
from ..theory.quantity import Quantity
from .config import TrainingConfig
from .data import Batches

__all__ = ["BatchedRuns", "Descent", "Running", "System"]


class BatchedRuns(Protocol):
    """Trains many configurations of one system side by side, for less than one after the other."""

    def __call__(
        self, configs: Sequence[TrainingConfig], steps: Sequence[int]
    ) -> tuple[Quantity, ...]:
        """What the runs have after some numbers of steps.

        Each is, up to rounding, the run that `run` makes of its configuration.

        Args:
            configs: of the runs: other seeds, or other parameters as far as the system allows.
            steps: numbers of steps, increasing, at which the quantities are taken.

        Returns:
            quantities whose first two axes are the runs and the steps, named by their numbers.

        Raises:
            ValueError: naming a key in which the runs must agree and do not.
        """


class Descent(Protocol):
    """Takes the steps of several runs side by side, for less than one after the other."""

    @property
    def free(self) -> frozenset[str]:
        """Keys of the configuration in which these runs may differ, as "seed"."""

    def __call__(self, runs: Sequence[Running]) -> Callable[[int], Tensor]:
        """Begin with some runs.

        Returns:
            a function that takes so many more steps of each run, and leaves model, optimiser and
            batches as its own training would, up to rounding; it returns the loss of each step and
            run, (steps, runs), before the step.
        """


@dataclass(frozen=True)
class System:
    """What is trained, how, and what is probed.

    Attributes:
        model: with its initial weights; its loss is taken of model(x), model(*x) for a sequence x
            of inputs, model(**x) for a mapping.
        loss: mean over a batch of (outputs, targets); twice differentiable.
        optimiser: of the parameters that are trained; the others do not require a gradient. One
            that draws numbers of its own (Langevin) has a generator of its own, whose state is in
            its ``state_dict``.
        batches: from the generator of the training data, the batches of the training.
        sample: the probe sample, see `SpectralProbe`.
        sample_kind: what the sample is to the training.
        theory: predicts; None if there is none.
        blocks: are probed after every epoch; None for those that a probe takes by itself.
        rare_blocks: are probed at the start, in the middle and at the end.
        matrices: whose spectra are taken of each block.
        measures: take further quantities at each probing.
        learning_rate: with whose critical sharpness the measured one is compared: the optimiser, or
            a function of the step; None for no comparison.
        runs: trains many configurations at once; None where nothing is won by that.
        descent: trains the members of an ensemble; None where nothing is won by that.
        schedule: of the learning rate; it takes a step after each of the optimiser's.
    """

    model: nn.Module
    loss: Loss
    optimiser: torch.optim.Optimizer
    batches: Callable[[torch.Generator], Batches]
    sample: Batch | Callable[[torch.Generator], Batch]
    sample_kind: SampleKind = "fresh"
    theory: Theory[Any] | None = None
    blocks: Sequence[Block] | None = None
    rare_blocks: Sequence[Block] = ()
    matrices: Sequence[CurvatureMatrix] = (Hessian(), Information())
    measures: Sequence[Measure] = ()
    learning_rate: LearningRate | None = None
    runs: BatchedRuns | None = None
    descent: Descent | None = None
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None

    def probe_sample(self, generator: torch.Generator) -> Batch:
        """A probe sample, drawn from the generator if it is not always the same."""
        return self.sample(generator) if callable(self.sample) else self.sample


@dataclass(frozen=True)
class Running:
    """A run under way.

    Attributes:
        system: with its present weights.
        batches: of its training, at their present place.
    """

    system: System
    batches: Batches
