"""A spiked landscape as a system: descent on a sphere, probed on its tangent space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...models.spiked.landscape import SpikedLandscape
from ...models.spiked.model import SpikedModel
from ...models.spiked.sphere_descent import SphereDescent
from ...models.spiked.start import random_signal, start_at_overlap
from ...probes.curvature.batches import Batch
from ...probes.curvature.block import Block
from ...probes.curvature.formed import FormedCurvature
from ...probes.curvature.losses import Loss
from ...probes.curvature.sphere_curvature import SphereHessian
from ...theory.matrix_kind import HESSIAN, MatrixKind
from ...theory.spiked.spiked_theory import SpikedTheory
from ..data import FullBatch
from ..system import System
from .spiked_matrix_tensor import SpikedMatrixTensorConfig

__all__ = ["LandscapeHessian", "spiked_system"]


@dataclass(frozen=True)
class LandscapeHessian:
    """d^2 H / dx^2 of a `SpikedModel`, from the pass over the tensor that the energy took."""

    @property
    def kind(self) -> MatrixKind:
        """`HESSIAN`."""
        return HESSIAN

    def operator(
        self, module: nn.Module, loss: Loss, batch: Batch, block: Block
    ) -> FormedCurvature:
        """The matrix at the present position.

        Raises:
            ValueError: if the module is no `SpikedModel`.
        """
        if not isinstance(module, SpikedModel):
            raise ValueError(f"module: expected a SpikedModel, got {type(module).__name__}")
        return FormedCurvature(module.landscape.at(module.x).hessian)


def spiked_system(config: SpikedMatrixTensorConfig, generator: torch.Generator) -> System:
    """Landscape, start and descent, all drawn from the generator.

    Args:
        config: of the landscape and the descent.
        generator: on the device of the configuration.
    """
    dtype: torch.dtype = getattr(torch, config.dtype)
    signal = random_signal(config.dimension, generator, dtype, config.device)
    landscape = SpikedLandscape(
        signal, config.matrix_noise, config.tensor_noise, generator, config.order
    )
    model = SpikedModel(landscape, start_at_overlap(signal, config.initial_overlap, generator))
    noise = None
    if config.temperature > 0:
        seed = int(torch.randint(2**62, (1,), generator=generator, device=config.device))
        noise = torch.Generator(config.device).manual_seed(seed)
    # No data: a batch that says nothing, of the one landscape there is.
    nothing = torch.zeros(1, 0, dtype=dtype, device=config.device)
    batch = nothing, nothing.new_zeros(1)
    return System(
        model=model,
        loss=_energy,
        optimiser=SphereDescent(
            model.parameters(), config.learning_rate, config.temperature, noise
        ),
        batches=lambda _: FullBatch(*batch),
        sample=batch,
        sample_kind="training",
        theory=SpikedTheory(landscape, config.learning_rate, config.temperature),
        blocks=(Block("position", ("x",)),),
        matrices=(SphereHessian(LandscapeHessian()),),
    )


def _energy(energy: Tensor, targets: Any) -> Tensor:
    """H itself: the model's output is the loss."""
    return energy
