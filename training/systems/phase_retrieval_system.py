"""Phase retrieval as a system: descent on a sphere, probed on its tangent space."""

from __future__ import annotations

import torch

from ...models.phase_retrieval.loss import PhaseLoss
from ...models.phase_retrieval.model import MeanLoss, Measurements, PhaseRetrieval
from ...models.spiked.sphere_descent import SphereDescent
from ...models.spiked.start import random_signal, start_at_overlap
from ...probes.curvature.block import Block
from ...probes.curvature.sphere_curvature import SphereHessian
from ...theory.phase_retrieval.phase_theory import PhaseTheory
from ..data import FullBatch
from ..system import System
from .phase_retrieval import PhaseRetrievalConfig

__all__ = ["phase_retrieval_system"]


def phase_retrieval_system(config: PhaseRetrievalConfig, generator: torch.Generator) -> System:
    """Measurements, start and descent, all drawn from the generator.

    Args:
        config: of the measurements and the descent.
        generator: on the device of the configuration.
    """
    dtype: torch.dtype = getattr(torch, config.dtype)
    n = config.dimension
    loss = PhaseLoss(config.offset if config.loss == "normalised" else None)
    measured = Measurements.drawn(n, config.samples, generator, dtype, config.device)
    if config.initial_overlap is None:
        start = random_signal(n, generator, dtype, config.device)
    else:
        start = start_at_overlap(measured.signal * n**0.5, config.initial_overlap, generator)
    model = PhaseRetrieval(start / n**0.5)
    batch = measured.sensing, measured.targets
    return System(
        model=model,
        loss=MeanLoss(loss),
        optimiser=SphereDescent(model.parameters(), config.learning_rate),
        batches=lambda _: FullBatch(*batch),
        sample=batch,
        sample_kind="training",
        theory=PhaseTheory(loss, measured.signal, config.learning_rate),
        blocks=(Block("position", ("w",)),),
        matrices=(SphereHessian(),),
    )
