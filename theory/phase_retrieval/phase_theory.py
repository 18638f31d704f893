"""The theory of phase retrieval as a probe uses it: the law of (z, z*) is taken as measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from ...models.arguments import require_arguments, require_positive
from ...models.phase_retrieval.loss import PhaseLoss
from ...models.phase_retrieval.model import PhaseRetrieval
from ..direction import Direction
from ..field_statistics import FieldStatistics
from ..geometry import Geometry
from ..matrix_kind import SPHERE_HESSIAN
from ..protocol import Clock, Reference, SampleKind, Selection, Theory
from ..quantity import Quantity
from ..source import Source
from .joint_law import JointLaw, measured_law
from .law_spectrum import tangent_spectrum

__all__ = ["BIASED_BEYOND", "PhaseStatistics", "PhaseTheory"]

BIASED_BEYOND = 0.3  # |m| from which the plug-in outlier is off by some per cent (docs)
_INNER = math.nextafter(1.0, 0.0)  # at the signal itself there is no direction towards it
_POINTS = 160
_SOURCES = (
    Source(
        "S. Sarao Mannelli, G. Biroli, C. Cammarota, F. Krzakala, P. Urbani, L. Zdeborová",
        "Complex Dynamics in Simple Neural Networks: Understanding Gradient Flow in Phase "
        "Retrieval",
        "2006.06997",
        "the Hessian of phase retrieval, and the threshold states",
    ),
)


@dataclass(frozen=True)
class PhaseStatistics(FieldStatistics):
    """What the Hessian depends on at one position.

    Attributes:
        overlap: m = w.w*, signed.
        multiplier: -(1/n) sum l'(z) z.
        gradient_norm: of the gradient in the tangent space.
        law: of (z, z*) on the measurements; None if restored, it is not recorded.
    """

    overlap: float = field(metadata={"unit": "1"})
    multiplier: float = field(metadata={"unit": "loss per squared parameter"})
    gradient_norm: float = field(metadata={"unit": "loss per parameter"})
    law: JointLaw | None = field(default=None, metadata={"unit": "none"})


class PhaseTheory(Theory[PhaseStatistics]):
    """The Hessian on the sphere, from the measured law of (z, z*) plugged into the limit.

    The bulk holds all along a descent. The outlier is that of directions which have not been
    descended along: beyond |m| = .3 it is some per cent off, and ``plug_in_biased`` says so.

    Args:
        loss: l.
        signal: w*, (N,).
        learning_rate: eta of the descent, for its clock; None for none.
    """

    def __init__(self, loss: PhaseLoss, signal: Tensor, learning_rate: float | None = None) -> None:
        require_arguments(PhaseTheory.__init__, locals())
        if learning_rate is not None:
            require_positive("learning_rate", learning_rate)
        self.loss, self.signal, self.learning_rate = loss, signal, learning_rate

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The signal."""
        return (Direction("signal", "w^*", False),)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Of model and threshold states; the equations are derived in the documentation."""
        return _SOURCES

    @property
    def holds_for(self) -> frozenset[SampleKind]:
        """The measurements themselves, and others of the same signal."""
        return frozenset({"training", "fresh", "held-out"})

    def attach(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Refuse a model that is no `PhaseRetrieval` of the signal's dimension.

        Raises:
            ValueError: if it is not.
        """
        self._position(model)
        return nullcontext()

    def clock(self, step: int) -> Clock:
        """t = steps * eta; NaN without a learning rate."""
        if self.learning_rate is None:
            return Clock()
        return Clock(step * self.learning_rate, "time t = steps × η")

    def reference(self, model: nn.Module) -> Reference | None:
        """The signal's direction in the tangent space, (N, 1) float64; None at the signal."""
        w = self._position(model)
        signal = self.signal.double()
        tangent = signal - (signal @ w) * w
        length = float(tangent.norm())
        return Reference((tangent / length)[:, None]) if length > 0 else None

    def statistics(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> PhaseStatistics:
        """m, multiplier, gradient and the law of (z, z*) at the present position."""
        w = self._position(model)
        sensing, y = batch[0].double(), batch[1].double()
        z = sensing @ w
        slope = self.loss.slope(z, y)
        gradient = sensing.mT @ slope / len(z)
        multiplier = -float((slope * z).mean())
        overlap = float(w @ self.signal.double())
        inner = max(min(overlap, _INNER), -_INNER)
        law = measured_law(z.cpu().numpy(), (sensing @ self.signal.double()).cpu().numpy(), inner)
        return PhaseStatistics(overlap, multiplier, float((gradient + multiplier * w).norm()), law)

    def restore(self, quantities: Sequence[Quantity]) -> PhaseStatistics:
        """The statistics with these quantities, without a law."""
        return PhaseStatistics.restored(quantities)

    def predict(
        self, statistics: PhaseStatistics, selections: Sequence[Selection], density: bool = True
    ) -> Geometry:
        """Bulk and outliers; nothing without a law."""
        biased = float(abs(statistics.overlap) > BIASED_BEYOND)
        flag = Quantity.number("plug_in_biased", biased, "1 (0 or 1)")
        spectra = []
        chosen = [each for each in selections if each.matrix == SPHERE_HESSIAN.name]
        if statistics.law is not None and chosen:
            dimension = len(self.signal)
            found = tangent_spectrum(
                statistics.law, self.loss, dimension, _POINTS if density else 0
            )
            spectra = [replace(found, block=each.block) for each in chosen]
        return Geometry((flag,), tuple(spectra))

    def _position(self, model: nn.Module) -> Tensor:
        """w, (N,) float64."""
        if not isinstance(model, PhaseRetrieval) or model.w.shape != self.signal.shape:
            raise ValueError(
                f"model: expected a PhaseRetrieval of dimension {len(self.signal)}, "
                f"got {type(model).__name__}"
            )
        return model.w.detach().double()
