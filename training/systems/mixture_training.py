"""What every training on a Gaussian mixture shares: batches, optimiser and probe sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from ...models.mixture import GaussianMixture
from ...probes.curvature.block import Block
from ...probes.curvature.losses import Loss
from ...theory.mixture.mixture_theory import MixtureTheory
from ..data import Batches, FixedData, FreshSamples
from ..head_descent import HeadDescent
from ..system import System
from .mixture_config import MixtureTrainingConfig

__all__ = ["mixture_system"]


def mixture_system(
    config: MixtureTrainingConfig,
    model: nn.Module,
    loss: Loss,
    theory: MixtureTheory,
    blocks: Sequence[Block],
    rare_blocks: Sequence[Block] = (),
    relative_rates: Mapping[str, float] | None = None,
) -> System:
    """SGD on batches of a mixture, probed on fresh samples of it.

    Args:
        config: of batches, algorithm and probe sample.
        model: with its initial weights.
        loss: mean over a batch.
        theory: of the model on the mixture.
        blocks: are probed after every epoch.
        rare_blocks: are probed at the start, in the middle and at the end.
        relative_rates: learning rates of parameters relative to c/d, by name; 1 if absent, 0
            freezes the parameter.
    """
    optimiser = _sgd(config, model, relative_rates or {})
    return System(
        model=model,
        loss=loss,
        optimiser=optimiser,
        batches=_batches(config, theory.mixture),
        sample=lambda generator: theory.mixture.sample(config.probe_samples, generator),
        theory=theory,
        blocks=blocks,
        rare_blocks=rare_blocks,
        learning_rate=optimiser,
        descent=HeadDescent(),
    )


def _batches(
    config: MixtureTrainingConfig, law: GaussianMixture
) -> Callable[[torch.Generator], Batches]:
    batch_size, samples = config.optimiser.batch_size, config.training_samples

    def batches(generator: torch.Generator) -> Batches:
        if samples is None:
            return FreshSamples(law.sample, batch_size, generator)
        return FixedData(*law.sample(samples, generator), batch_size, generator)

    return batches


def _sgd(
    config: MixtureTrainingConfig, model: nn.Module, relative_rates: Mapping[str, float]
) -> torch.optim.SGD:
    groups = []
    for name, parameter in model.named_parameters():
        rate = relative_rates.get(name, 1.0)
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            groups.append({"params": [parameter], "lr": rate * config.learning_rate})
    return torch.optim.SGD(
        groups,
        lr=config.learning_rate,
        momentum=config.optimiser.momentum,
        weight_decay=config.optimiser.ridge,
        # One tensor at a time is the faster way for the one or two that there are.
        foreach=False,
    )
