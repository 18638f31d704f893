"""Low-rank reconstruction as a system: full descent on its measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...models.low_rank.block import BlockMeasurements
from ...models.low_rank.descent import descend
from ...models.low_rank.entries import EntryMeasurements
from ...models.low_rank.factorisation import LocalLoss
from ...models.low_rank.gaussian import GaussianMeasurements
from ...models.low_rank.measurements import Measurements
from ...models.low_rank.model import FactorisedMatrix
from ...models.low_rank.standing import standing
from ...models.low_rank.structured import StructuredMeasurements
from ...models.low_rank.truth import LowRankMatrix, block_matrix, random_matrix, small_start
from ...probes.curvature.batches import Batch
from ...probes.curvature.block import Block
from ...probes.curvature.losses import Loss
from ...probes.curvature.operator import CurvatureOperator
from ...theory.low_rank.low_rank_theory import LowRankTheory
from ...theory.low_rank.problem import LowRankProblem
from ...theory.low_rank.stages import Start
from ...theory.matrix_kind import HESSIAN, MatrixKind
from ...theory.quantity import Quantity
from ..config import TrainingConfig
from ..data import FullBatch
from ..system import System
from .low_rank import LowRankConfig
from .low_rank_descent import LowRankDescent
from .low_rank_phases import PhaseMeasure, StandingMeasure

__all__ = ["FactorCurvature", "FactorHessian", "LowRankRuns", "low_rank_system"]

_OPERATORS: dict[str, Callable[..., Measurements]] = {
    "gaussian": GaussianMeasurements,
    "structured": StructuredMeasurements,
    "entries": EntryMeasurements,
}


class FactorCurvature(CurvatureOperator):
    """D -> A*A(U D^T + D U^T) U - A*A(R) D at one U, on vec(U), see `LocalLoss`.

    Args:
        local: loss and derivatives at U (n, q).
    """

    def __init__(self, local: LocalLoss) -> None:
        self._local = local

    @property
    def batch(self) -> tuple[int, ...]:
        """()."""
        return ()

    @property
    def size(self) -> int:
        """n q."""
        return self._local.point.numel()

    @property
    def dtype(self) -> torch.dtype:
        """That of U."""
        return self._local.point.dtype

    @property
    def device(self) -> torch.device:
        """That of U."""
        return self._local.point.device

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """((n, q),)."""
        return (tuple(self._local.point.shape),)

    def matmul(self, panel: Tensor) -> Tensor:
        """H V for V (n q, width); same shape."""
        directions = panel.mT.reshape(-1, *self._local.point.shape)
        return self._local.hessian_product(directions).flatten(-2).mT


@dataclass(frozen=True)
class FactorHessian:
    """d^2 f / dU^2 of a `FactorisedMatrix`, by products written by hand."""

    @property
    def kind(self) -> MatrixKind:
        """`HESSIAN`."""
        return HESSIAN

    def operator(
        self, module: nn.Module, loss: Loss, batch: Batch, block: Block
    ) -> FactorCurvature:
        """The matrix at the present factors.

        Raises:
            ValueError: if the module is no `FactorisedMatrix`.
        """
        if not isinstance(module, FactorisedMatrix):
            raise ValueError(f"module: expected a FactorisedMatrix, got {type(module).__name__}")
        return FactorCurvature(module.at(module.u))


class LowRankRuns:
    """Trains several scales of the start and learning rates on one operator at once."""

    def __call__(
        self, configs: Sequence[TrainingConfig], steps: Sequence[int]
    ) -> tuple[Quantity, ...]:
        """Loss and test error of each run after some numbers of steps.

        Raises:
            ValueError: naming a key in which the runs must agree and do not.
        """
        given = [cast(LowRankConfig, config) for config in configs]
        first = given[0]
        for config in given:
            same = replace(config, scale=first.scale, learning_rate=first.learning_rate)
            for key, value in same.to_dict().items():
                if value != first.to_dict()[key]:
                    raise ValueError(
                        f"{key}: expected the same in all runs, got {first.to_dict()[key]} "
                        f"and {value}"
                    )
        seed: int = np.random.SeedSequence(first.seed).generate_state(3, np.uint64).tolist()[0]
        drawn = _drawn(first, torch.Generator(first.device).manual_seed(seed))
        place: Any = {"dtype": drawn.start.dtype, "device": drawn.start.device}
        scales = torch.tensor([config.scale / first.scale for config in given], **place)
        rates = torch.tensor([config.learning_rate for config in given], **place)
        wanted, losses, errors = set(steps), [], []

        def look(step: int, local: LocalLoss) -> None:
            if step in wanted:
                losses.append(local.loss)
                errors.append(standing(local.point, drawn.truth).test_error)

        starts = scales[:, None, None] * drawn.start
        descend(drawn.measurements, drawn.outcomes, starts, rates, max(steps), look)
        axes = tuple(map(str, range(len(given)))), tuple(map(str, steps))
        return tuple(
            Quantity(name, torch.stack(found, 1).double().cpu().numpy(), unit, axes)
            for name, found, unit in (("loss", losses, "loss"), ("test_error", errors, "1"))
        )


@dataclass(frozen=True)
class _Drawn:
    truth: LowRankMatrix
    measurements: Measurements
    outcomes: Tensor
    start: Tensor


def _drawn(config: LowRankConfig, generator: torch.Generator) -> _Drawn:
    """Matrix, operator, outcomes and start."""
    place: Any = getattr(torch, config.dtype), config.device
    n, lam, m = config.size, config.eigenvalues, config.measurements
    truth: LowRankMatrix
    measurements: Measurements
    if config.operator == "block":
        truth = block_matrix(n, n, lam, generator, *place)
        measurements = BlockMeasurements(n, n, m, generator, *place)
    else:
        truth = random_matrix(n, lam, generator, *place)
        measurements = _OPERATORS[config.operator](n, m, generator, *place)
    start = small_start(config.rows, config.factors, config.scale, generator, *place)
    return _Drawn(truth, measurements, measurements.forward(truth.matrix), start)


def low_rank_system(config: LowRankConfig, generator: torch.Generator) -> System:
    """Matrix, operator and start, all drawn from the generator.

    Args:
        config: of the system.
        generator: on the device of the configuration.
    """
    drawn = _drawn(config, generator)
    model = FactorisedMatrix(drawn.measurements, drawn.outcomes, drawn.start)
    # No data beside the measurements, which are the model's: a batch that says nothing.
    nothing = torch.zeros(1, 0, dtype=drawn.start.dtype, device=config.device)
    batch = nothing, nothing.new_zeros(1)
    theory = None
    phases = PhaseMeasure(drawn.measurements, drawn.outcomes)
    if config.operator in ("gaussian", "structured"):
        problem = LowRankProblem(
            config.size, config.eigenvalues, config.measurements, config.operator
        )
        start = Start(config.factors, config.scale, config.learning_rate)
        theory = LowRankTheory(problem, start, drawn.truth)
    optimiser = torch.optim.SGD(model.parameters(), config.learning_rate)
    return System(
        model=model,
        loss=_loss,
        optimiser=optimiser,
        batches=lambda _: FullBatch(*batch),
        sample=batch,
        sample_kind="training",
        theory=theory,
        blocks=(Block("factors", ("u",)),),
        matrices=(FactorHessian(),),
        measures=(phases,) if theory else (phases, StandingMeasure(drawn.truth)),
        learning_rate=optimiser,
        runs=LowRankRuns(),
        descent=LowRankDescent(),
    )


def _loss(loss: Tensor, targets: Any) -> Tensor:
    """f itself: the model's output is the loss."""
    return loss
