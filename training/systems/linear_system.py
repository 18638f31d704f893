"""A linear model as a system: its batches, its optimiser, its theory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...probes.curvature.block import Block
from ...probes.curvature.matrix import Hessian
from ...theory.linear.linear_theory import LinearTheory
from ..data import Batches, Draw, FixedData, FreshSamples, FullBatch
from ..system import System
from .linear_runs import LinearRuns
from .linear_training import LinearTrainingConfig

__all__ = ["batches", "linear_system", "resampled"]


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


def linear_system(
    config: LinearTrainingConfig,
    model: nn.Module,
    draw: Draw,
    data: tuple[Tensor, Tensor] | None,
    excess: Callable[[Any], Tensor],
    probe_samples: int = 0,
    spikes: Sequence[float] = (),
) -> System:
    """The system, with one block: all weights.

    Args:
        config: how it is trained.
        model: with one parameter, ``weight``.
        draw: fresh samples.
        data: the training set; None for fresh batches.
        excess: the test loss of a model without label noise, exactly.
        probe_samples: of a fresh probe sample, where there is no training set.
        spikes: eigenvalues of the covariance, one each, that may make outliers.
    """
    optimiser = torch.optim.SGD(
        model.parameters(), lr=config.learning_rate(), weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, config.rate_factor)
    return System(
        model=model,
        loss=nn.MSELoss(),
        optimiser=optimiser,
        batches=lambda own: batches(config.algorithm, draw, data, config.batch_size, own),
        sample=data if data else lambda own: draw(probe_samples, own),
        sample_kind="training" if data else "fresh",
        theory=LinearTheory(
            config.problem(),
            config.trained(),
            excess,
            "training" if data else "fresh",
            len(data[1]) if data else probe_samples,
            spikes,
            sum(weights.numel() for weights in model.parameters()),
        ),
        blocks=(Block("weight", ("weight",)),),
        matrices=(Hessian(),),
        learning_rate=optimiser,
        schedule=schedule if config.schedule else None,
        runs=LinearRuns(),
    )
