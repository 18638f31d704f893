"""The theory of low-rank reconstruction, as a probe uses it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

import numpy as np
from torch import nn

from ...models.arguments import require_arguments
from ...models.low_rank.model import FactorisedMatrix
from ...models.low_rank.standing import standing
from ...models.low_rank.truth import LowRankMatrix
from ..field_statistics import FieldStatistics, numbered
from ..geometry import Geometry
from ..matrix_kind import HESSIAN
from ..protocol import Clock, SampleKind, Selection, Theory
from ..quantity import Quantity
from ..source import Source
from ..spectrum import FloatArray, Spectrum
from .conditional import conditional_amplitudes, conditional_rates
from .curves import curves
from .hessian_spectrum import hessian_spectrum
from .problem import LowRankProblem
from .residual import residual
from .stages import Start, learning_stages

__all__ = ["LowRankStatistics", "LowRankTheory"]

_MATRIX = {"unit": "that of the matrix"}
_SOURCES = (
    Source(
        "D. Stöger, M. Soltanolkotabi",
        "Small random initialization is akin to spectral learning: Optimization and "
        "generalization guarantees for overparameterized low-rank matrix reconstruction",
        "2106.15013",
        "spectral phase, saddles and refinement; the formulas are derived in docs/low-rank.md",
    ),
    Source(
        "F. Benaych-Georges, R. R. Nadakuditi",
        "The eigenvalues and eigenvectors of finite, low rank perturbations of large random "
        "matrices",
        "0910.2120",
        "outliers of a noisy matrix and their overlaps",
    ),
)


@dataclass(frozen=True)
class LowRankStatistics(FieldStatistics):
    """Where U stands, seen by someone who knows Z.

    Attributes:
        strengths: s_k = sigma_k(V^T U)^2, (r,), falling.
        amplitudes: squares of the rows of U along the eigenvectors of A*(y), orthogonal in turn.
        noise: |B B^T|, B = U (1 - W W^T), W the right singular vectors of V^T U.
        principal_angle: the largest between the r leading directions of U and those of Z.
        test_error: |U U^T - Z| / |Z|.
    """

    strengths: FloatArray = field(metadata=_MATRIX)
    amplitudes: FloatArray = field(metadata=_MATRIX)
    noise: float = field(metadata=_MATRIX)
    principal_angle: float = field(metadata={"unit": "radians"})
    test_error: float = field(metadata={"unit": "1"})


class LowRankTheory(Theory[LowRankStatistics]):
    """Predictions from the strengths now; forecasts from the start, for the operator as drawn.

    Rates and amplitudes of forecasts are those of the drawn operator, for which Z must be known,
    as it is here; `learning_stages` alone has the closed form. Neither says where it fails: large
    starts, few measurements, directions near their transition (docs/low-rank.md).

    Args:
        problem: sizes and eigenvalues.
        start: of the descent.
        truth: Z.
    """

    def __init__(self, problem: LowRankProblem, start: Start, truth: LowRankMatrix) -> None:
        require_arguments(LowRankTheory.__init__, locals())
        start.require(problem)
        self.problem, self.start, self.truth = problem, start, truth
        self._model: FactorisedMatrix | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """Of the three phases and of the outliers."""
        return _SOURCES

    @property
    def holds_for(self) -> frozenset[SampleKind]:
        """All kinds: the measurements are part of the model."""
        return frozenset(get_args(SampleKind))

    def attach(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Refuse a model of other sizes; nothing is recorded.

        Raises:
            ValueError: if the model is not a `FactorisedMatrix` of these sizes.
        """
        self._model = self._own(model)
        return nullcontext()

    def clock(self, step: int) -> Clock:
        """t = steps."""
        return Clock(float(step), "time t = steps")

    def statistics(self, model: nn.Module, batch: Any = None) -> LowRankStatistics:
        """At the present factors; the batch does not matter."""
        own = self._own(model)
        u = own.u.detach()
        at = standing(u, self.truth)
        amplitudes = conditional_amplitudes(own.measurements, own.outcomes, u, self.problem.rank)
        return LowRankStatistics(
            at.strengths.cpu().numpy(),
            amplitudes,
            float(at.noise),
            float(at.principal_angle),
            float(at.test_error),
        )

    def restore(self, quantities: Sequence[Quantity]) -> LowRankStatistics:
        """The statistics with these quantities."""
        return LowRankStatistics.restored(quantities)

    def predict(
        self, statistics: LowRankStatistics, selections: Sequence[Selection], density: bool = True
    ) -> Geometry:
        """Loss, rho, error and the negative end of the Hessian from strengths and noise alone."""
        at = residual(self.problem, statistics.strengths[None], np.array([statistics.noise]))
        quantities = (
            numbered("loss", float(at.loss[0]), "loss"),
            numbered("rho", float(at.rho[0]), _MATRIX["unit"]),
            numbered("test_error", float(at.error[0]), "1"),
        )
        spectra = self._spectra(statistics.strengths, statistics.noise, selections)
        return Geometry(quantities, spectra)

    def forecast(
        self, start: LowRankStatistics, steps: int, selections: Sequence[Selection]
    ) -> Geometry | None:
        """Strengths, learning times, noise, angle, loss, rho, error, Hessian so many steps later.

        None before the theory has been attached to its model, whose operator it needs.
        """
        if self._model is None:
            return None
        stages = learning_stages(self.problem, self.start, self._rates, start.amplitudes)
        at = curves(self.problem, self.start, stages, np.array([float(steps)]))
        strengths, noise = at.strengths[0], float(at.noise[0])
        quantities = (
            numbered("loss", float(at.residual.loss[0]), "loss"),
            numbered("strengths", strengths, _MATRIX["unit"]),
            numbered("learning_times", stages.times, "steps"),
            numbered("noise", noise, _MATRIX["unit"]),
            numbered("principal_angle", float(at.principal_angle[0]), "radians"),
            numbered("test_error", float(at.residual.error[0]), "1"),
            numbered("rho", float(at.residual.rho[0]), _MATRIX["unit"]),
        )
        return Geometry(quantities, self._spectra(strengths, noise, selections))

    @cached_property
    def _rates(self) -> FloatArray:
        assert self._model is not None
        return conditional_rates(self._model.measurements, self.truth)

    def _spectra(
        self, strengths: FloatArray, noise: float, selections: Sequence[Selection]
    ) -> tuple[Spectrum, ...]:
        """Of the selections that are the Hessian."""
        return tuple(
            hessian_spectrum(self.problem, self.start.factors, strengths, noise, selection.block)
            for selection in selections
            if selection.matrix == HESSIAN.name
        )

    def _own(self, model: nn.Module) -> FactorisedMatrix:
        sizes = self.problem.size, self.start.factors
        if not isinstance(model, FactorisedMatrix) or model.u.shape != sizes:
            shape = tuple(model.u.shape) if isinstance(model, FactorisedMatrix) else ""
            raise ValueError(
                f"model: expected a FactorisedMatrix of shape {sizes}, "
                f"got {type(model).__name__} {shape}".rstrip()
            )
        return model
