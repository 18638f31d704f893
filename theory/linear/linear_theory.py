"""The theory of a linear model, as a probe uses it.

torch's loss is nn.MSELoss, whose Hessian is twice the one of the theory, that of a problem whose
covariance is doubled.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...models.arguments import require_arguments
from ..direction import Direction
from ..geometry import Geometry
from ..matrix_kind import HESSIAN
from ..protocol import Clock, Reference, SampleKind, Selection
from ..quantity import Quantity
from ..source import Source
from ..spectrum import Spectrum
from .algorithm import Algorithm
from .hessian import HessianLaw
from .loss_curves import PARTS, LossCurves, loss_curves
from .problem import LinearProblem

__all__ = ["LinearStatistics", "LinearTheory"]

_DENSITY_POINTS = 160
_UNIT = "squared output"
_SOURCES = (
    Source(
        "A. Atanasov, B. Bordelon, J. A. Zavatone-Veth, C. Paquette, C. Pehlevan",
        "Two-point deterministic equivalence for stochastic gradient dynamics in linear models",
        "2502.05074",
        "train and test loss along time, and the Hessian",
    ),
    Source(
        "J. Baik, G. Ben Arous, S. Péché",
        "Phase transition of the largest eigenvalue for nonnull complex sample covariance matrices",
        "math/0403022",
        "outliers that leave the bulk",
    ),
)


@dataclass(frozen=True)
class LinearStatistics:
    """Losses at the present weights.

    Attributes:
        test: mean square under the test covariance, label noise not included.
    """

    test: float = field(metadata={"unit": _UNIT})

    def quantities(self) -> tuple[Quantity, ...]:
        """The test loss."""
        return (Quantity.number("test_loss", self.test, _UNIT, 0.0),)


class LinearTheory:
    """Losses and Hessian of linear regression, on inputs, random features, or a kernel's.

    Args:
        problem: with the number of training samples, infinite for fresh batches.
        algorithm: how it is trained.
        excess: the test loss of a model, exactly: w*, F and the test covariance are known.
        sample_kind: what the probe sample is.
        sample_size: of the probe sample, whose Hessian is predicted.
        spikes: eigenvalues of the covariance, one each, that may make outliers; they are among
            those of ``problem`` and are taken out of the bulk.
        parameters: how many are trained; one an input or feature if None. A kernel has one a
            sample.

    Source: docs/linear.md.
    """

    directions: tuple[Direction, ...] = ()
    sources = _SOURCES

    def __init__(
        self,
        problem: LinearProblem,
        algorithm: Algorithm,
        excess: Any,
        sample_kind: SampleKind,
        sample_size: int,
        spikes: Sequence[float] = (),
        parameters: int | None = None,
    ) -> None:
        require_arguments(LinearTheory.__init__, locals())
        if parameters is None:
            parameters = round(problem.parameters)
        self.parameters = parameters
        self.problem, self.algorithm, self.spikes = problem, algorithm, tuple(spikes)
        self._excess, self._kind, self._size = excess, sample_kind, sample_size
        self._curves = cache(self._curves_at)
        self._spectra = cache(self._spectrum)

    @property
    def holds_for(self) -> frozenset[SampleKind]:
        """The kind of sample it was made for: the Hessian depends on how large it is."""
        return frozenset({self._kind})

    def attach(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Refuse a model with another number of parameters.

        Raises:
            ValueError: naming what is at odds with the theory.
        """
        count = sum(parameter.numel() for parameter in model.parameters())
        if count != self.parameters:
            raise ValueError(f"model: expected {self.parameters} parameters, got {count}")
        return nullcontext()

    def clock(self, step: int) -> Clock:
        """Steps times the learning rate of the theory, which is twice torch's lr."""
        rate = self.algorithm
        time = float(step) if rate.name == "flow" else rate.clock(step)
        return Clock(time, "time t = steps × 2 lr")

    def reference(self, model: nn.Module) -> Reference | None:
        """No directions: bulk and outliers are those of the data."""
        return None

    def statistics(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> LinearStatistics:
        """The test loss of the present weights."""
        with torch.no_grad():
            return LinearStatistics(float(self._excess(model)))

    def restore(self, quantities: Sequence[Quantity]) -> LinearStatistics:
        """The statistics with these quantities."""
        found = {quantity.name: quantity for quantity in quantities}
        return LinearStatistics(float(found["test_loss"].values))

    def predict(
        self, statistics: LinearStatistics, selections: Sequence[Selection], density: bool
    ) -> Geometry:
        """The Hessian, which does not depend on the weights; on fresh samples the loss too."""
        quantities: tuple[Quantity, ...] = ()
        if self._kind != "training" and self._matched:
            loss = statistics.test + self.problem.noise
            quantities = (Quantity.number("loss", loss, _UNIT, 0.0),)
        return Geometry(quantities, self._chosen(selections, density))

    def forecast(
        self, start: LinearStatistics, steps: int, selections: Sequence[Selection]
    ) -> Geometry | None:
        """Losses so many steps after v = 0, with their split.

        The label noise of a fresh probe sample is in its loss, and in no test loss.
        """
        curves = self._curves(steps)
        train, test, error = (float(part[0]) for part in (curves.train, curves.test, curves.error))
        quantities = [
            Quantity.number("test_loss", test, _UNIT, error),
            Quantity.number("train_loss", train, _UNIT, error),
            Quantity.number("finite_size_correction", float(curves.finite_size[0]), "1 (relative)"),
        ]
        if self._kind == "training":
            quantities.insert(0, Quantity.number("loss", train, _UNIT, error))
        elif self._matched:
            loss = test + self.problem.noise
            quantities.insert(0, Quantity.number("loss", loss, _UNIT, error))
        for kind in ("train", "test"):
            parts = np.array([float(getattr(curves.parts[name], kind)[0]) for name in PARTS])
            quantities.append(
                Quantity(f"{kind}_parts", parts, _UNIT, (PARTS,), total=f"{kind}_loss")
            )
        return Geometry(tuple(quantities), self._chosen(selections, density=False))

    @property
    def _matched(self) -> bool:
        """Whether the test covariance is that of the samples."""
        problem = self.problem
        same = np.array_equal(problem.test_spectrum, problem.spectrum)
        return same and problem.target_overlap is None

    def _curves_at(self, steps: int) -> LossCurves:
        return loss_curves(self.problem, self.algorithm, [steps])

    def _chosen(self, selections: Sequence[Selection], density: bool) -> tuple[Spectrum, ...]:
        return tuple(
            self._spectra(selection.block, density)
            for selection in selections
            if selection.matrix == HESSIAN.name and not selection.rows
        )

    def _spectrum(self, block: str, density: bool) -> Spectrum:
        problem = self.problem
        kept = np.ones(len(problem.spectrum), bool)
        for spike in self.spikes:
            kept[np.flatnonzero(kept & (problem.spectrum == spike))[0]] = False
        sample = replace(
            problem,
            spectrum=2 * problem.spectrum[kept],
            target=problem.target[kept],
            multiplicity=problem.multiplicity[kept],
            test_spectrum=problem.test_spectrum[kept],
            target_overlap=None,
            samples=float(self._size),
        )
        spikes = [2 * spike for spike in self.spikes]
        law = HessianLaw(sample, spikes, self.parameters)
        return law.spectrum(block, _DENSITY_POINTS if density else 0)
