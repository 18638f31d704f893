"""Ridge classification of two Gaussian clusters as a system, with flatness profiles."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...models.flat_minima.clusters import ClusterClassifier, ClusterLaw
from ...models.flat_minima.losses import margin_loss
from ...probes.curvature.block import Block
from ...probes.curvature.matrix import Hessian
from ...probes.flatness import FlatnessProfile
from ...theory.flat_minima.flat_theory import FlatMinimaTheory
from ...theory.flat_minima.ridge import Clusters, ridge_solution
from ..data import FullBatch
from ..entropy_sgd import EntropySGD
from ..replicated_sgd import ReplicatedSGD
from ..system import System
from .flat_minima import FlatMinimaConfig

__all__ = ["flat_minima_system"]

_SPREAD = 0.1  # of the length of mu, by which replicas differ at first


def flat_minima_system(config: FlatMinimaConfig, generator: torch.Generator) -> System:
    """Data, classifier and optimiser, all drawn from the generator.

    Args:
        config: of the data and the training.
        generator: on the device of the configuration.
    """
    dtype: torch.dtype = getattr(torch, config.dtype)
    n, size = config.samples, config.dimension
    mean = torch.randn(size, dtype=dtype, device=config.device, generator=generator)
    mean /= mean.norm()
    fraction = 0.5 if config.fraction is None else config.fraction
    law = ClusterLaw(mean, config.noise, fraction)
    train, test = law.sample(n, generator), law.sample(config.test_samples, generator)
    model = ClusterClassifier(size, config.fraction is not None, dtype, config.device)
    of_margins = margin_loss(config.loss)
    # Half the squared loss is taken, and half its ridge.
    ridge = config.ridge * size / n

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return of_margins(outputs, targets) + ridge / 2 * model.weight.square().sum()

    clusters = Clusters(config.noise, config.fraction)
    squared = config.loss == "squared"
    known = squared and not (config.ridge == 0 and n == size)
    end = ridge_solution(clusters, n / size, config.ridge) if known else None
    profile = FlatnessProfile(
        config.perturbations,
        config.draws,
        {"train": train, "test": test},
        ("weight",),
    )
    return System(
        model=model,
        loss=loss,
        optimiser=_optimiser(config, model, generator),
        batches=lambda _: FullBatch(*train),
        sample=train,
        sample_kind="training",
        theory=FlatMinimaTheory(clusters, mean, config.perturbations, end),
        blocks=(Block("weight", ("weight",)),),
        matrices=(Hessian(),),
        measures=(profile,),
    )


def _optimiser(
    config: FlatMinimaConfig, model: nn.Module, generator: torch.Generator
) -> torch.optim.Optimizer:
    rate = config.learning_rate
    if config.optimiser == "gd":
        return torch.optim.SGD(model.parameters(), rate)
    seed = int(torch.randint(2**62, (1,), generator=generator, device=config.device))
    noise = torch.Generator(config.device).manual_seed(seed)
    if config.optimiser == "entropy-sgd":
        return EntropySGD(
            model.parameters(),
            lr=1 / config.stiffness,
            inner_lr=rate,
            stiffness=config.stiffness,
            inner_steps=config.copies,
            generator=noise,
        )
    return ReplicatedSGD(
        model.parameters(),
        lr=rate,
        stiffness=config.stiffness,
        replicas=config.copies,
        spread=_SPREAD / config.dimension**0.5,
        generator=noise,
    )
