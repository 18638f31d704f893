"""How far a reconstruction is, read off its measurements alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ...models.low_rank.factorisation import LocalLoss
from ...models.low_rank.measurements import Measurements
from ...models.low_rank.model import FactorisedMatrix
from ...models.low_rank.standing import standing
from ...models.low_rank.truth import LowRankMatrix
from ...theory.quantity import Quantity

__all__ = ["PhaseMeasure", "StandingMeasure"]

_MATRIX = "that of the matrix"
# sigma_1(U)^2 / nu_1 at which the linear phase is off by 10 %, and rho / nu_r in refinement.
_NONLINEAR, _REFINED = 0.2, 0.5


class PhaseMeasure:
    """rho = lam_max(A*A(R)), the phase, and how many directions stand out of A*A(R).

    Nothing is known here but y and U. A*(y) = A*A(Z) gives nu_1 and nu_r, its first and its last
    outlier. Phase 1 (spectral) ends at sigma_1(U)^2 = .2 nu_1; phase 2 (saddles) ends, and phase 3
    (refinement) begins, at rho = nu_r / 2. A direction is not yet learned while it stands above
    2 sigma (1 + n^(-2/3)), sigma from the loss, and above nu_r / 2: late in training R is not like
    noise, and its largest eigenvalue alone stands out of the others. With q columns each of u such
    directions is a descent direction of the q - (r - u) free columns: ``negative_outliers``. The
    gradient over rho^(3/2), rho at least nu_r / 2, is ``stationarity``: small at a saddle, of order
    1 between two.
    A direction that does not stand out of A*(y) is not counted, and if it is the last, phase 3 is
    announced before it is learned.

    Args:
        measurements: A.
        outcomes: y.
    """

    name = "phases"

    def __init__(self, measurements: Measurements, outcomes: Tensor) -> None:
        self._measurements, self._outcomes = measurements, outcomes

    def __call__(
        self, model: nn.Module, loss: Any, batch: Any, generator: torch.Generator
    ) -> Sequence[Quantity]:
        """All of these at the present factors.

        Raises:
            ValueError: if the model is no `FactorisedMatrix`.
        """
        if not isinstance(model, FactorisedMatrix):
            raise ValueError(f"model: expected a FactorisedMatrix, got {type(model).__name__}")
        local = model.at(model.u)
        first, last, rank = self._initial
        values = -torch.linalg.eigvalsh(local.pull.double())
        rho, edge = float(values[0]), self._edge(local.outcomes)
        cut = max(self._cut(edge), _REFINED * last)
        waiting = int((values > cut).sum())
        phase = 3 if rho <= _REFINED * last else 2
        if float(torch.linalg.matrix_norm(local.point.double(), 2)) ** 2 < _NONLINEAR * first:
            phase = 1
        free = local.point.shape[1] - max(0, rank - waiting)
        return (
            Quantity.number("rho", rho, _MATRIX),
            Quantity.number("edge", edge, _MATRIX),
            Quantity.number("cut", cut, _MATRIX),
            Quantity.number("phase", phase, "1"),
            Quantity.number("unlearned", waiting, "directions"),
            Quantity.number("negative_outliers", waiting * free, "eigenvalues"),
            Quantity.number("stationarity", _stationarity(local, max(rho, _REFINED * last)), "1"),
        )

    @cached_property
    def _initial(self) -> tuple[float, float, int]:
        """nu_1, nu_r and r, of the directions that stand out of A*(y)."""
        values = torch.linalg.eigvalsh(self._measurements.adjoint(self._outcomes).double())
        rank = max(1, int((values > self._cut(self._edge(self._outcomes))).sum()))
        return float(values[-1]), float(values[-rank]), rank

    def _edge(self, outcomes: Tensor) -> float:
        return 2 * math.sqrt(self._measurements.noise_share) * float(outcomes.double().norm())

    def _cut(self, edge: float) -> float:
        return edge * (1 + 1 / math.cbrt(self._measurements.size) ** 2)


def _stationarity(local: LocalLoss, rho: float) -> float:
    return float(local.gradient.double().norm()) / (rho * math.sqrt(rho))


class StandingMeasure:
    """Strengths, noise, angle and test error beside the truth, where no theory takes them.

    Args:
        truth: Z.
    """

    name = "standing"

    def __init__(self, truth: LowRankMatrix) -> None:
        self._truth = truth

    def __call__(
        self, model: nn.Module, loss: Any, batch: Any, generator: torch.Generator
    ) -> Sequence[Quantity]:
        """Of the present factors.

        Raises:
            ValueError: if the model is no `FactorisedMatrix`.
        """
        if not isinstance(model, FactorisedMatrix):
            raise ValueError(f"model: expected a FactorisedMatrix, got {type(model).__name__}")
        at = standing(model.u.detach(), self._truth)
        names = tuple(str(k + 1) for k in range(len(at.strengths)))
        return (
            Quantity("strengths", at.strengths.cpu().numpy(), _MATRIX, (names,)),
            Quantity.number("noise", float(at.noise), _MATRIX),
            Quantity.number("principal_angle", float(at.principal_angle), "radians"),
            Quantity.number("test_error", float(at.test_error), "1"),
        )
