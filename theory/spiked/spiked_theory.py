"""The theory of a descent on a spiked landscape, as a probe uses it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, get_args

from torch import nn

from ...models.arguments import require_arguments, require_least, require_positive
from ...models.spiked.landscape import SpikedLandscape
from ...models.spiked.model import SpikedModel
from ..direction import Direction
from ..field_statistics import FieldStatistics
from ..geometry import Geometry
from ..matrix_kind import SPHERE_HESSIAN
from ..protocol import Clock, Reference, SampleKind, Selection, Theory
from ..quantity import Quantity
from ..source import Source
from ..spectrum import Spectrum
from .covariance import Covariance
from .descent import PRECISION, REMEMBERED, thinned
from .descent_law import DescentLaw
from .outliers import Outlier, independent_outliers, trajectory_outliers
from .semicircle import semicircle_spectrum

__all__ = ["SpikedStatistics", "SpikedTheory"]

_POINTS = 160
_SOURCES = (
    Source(
        "S. Sarao Mannelli, F. Krzakala, P. Urbani, L. Zdeborová",
        "Passed & Spurious: Descent algorithms and local minima in spiked matrix-tensor models",
        "1902.00139",
        "equations of the descent, complexity of minima",
    ),
    Source(
        "S. Sarao Mannelli, G. Biroli, C. Cammarota, F. Krzakala, L. Zdeborová",
        "Who is Afraid of Big Bad Minima? Analysis of Gradient-Flow in a Spiked Matrix-Tensor "
        "Model",
        "1907.08226",
        "the outlier of the Hessian at an independent point, the line of gradient flow",
    ),
    Source(
        "M. Capitaine, C. Donati-Martin, D. Féral",
        "The largest eigenvalues of finite rank deformation of large Wigner matrices: convergence "
        "and nonuniversality of the fluctuations",
        "0706.0136",
        "how far a draw of the noise moves that outlier",
    ),
)


@dataclass(frozen=True)
class SpikedStatistics(FieldStatistics):
    """What the limit knows of one point of a descent.

    Attributes:
        overlap: m = x.x*/N, signed.
        multiplier: mu = -x.grad H / N.
        energy: H / N.
        gradient_norm: |P grad H| / N^(1/2).
    """

    overlap: float = field(metadata={"unit": "1"})
    multiplier: float = field(metadata={"unit": "energy per squared coordinate"})
    energy: float = field(metadata={"unit": "energy per coordinate"})
    gradient_norm: float = field(metadata={"unit": "energy per coordinate"})


class SpikedTheory(Theory[SpikedStatistics]):
    """Predictions from (m, mu) as if x were independent of the noise; forecasts by the exact law.

    Where both exist, the outlier that is predicted is the naive one, and that of the forecast
    knows the whole descent; which of them is measured is the point (docs/spiked.md). The first
    statistics must be those of a start that is independent of the noise.

    Args:
        landscape: H.
        learning_rate: eta of a projected descent; None without forecasts.
        temperature: T, of Langevin dynamics.

    Raises:
        ValueError: if the learning rate is not positive or the temperature negative.
    """

    def __init__(
        self,
        landscape: SpikedLandscape,
        learning_rate: float | None = None,
        temperature: float = 0.0,
    ) -> None:
        require_arguments(SpikedTheory.__init__, locals())
        if learning_rate is not None:
            require_positive("learning_rate", learning_rate)
        require_least("temperature", temperature, 0)
        self.landscape = landscape
        self.learning_rate, self.temperature = learning_rate, temperature
        self.covariance = Covariance(
            landscape.matrix_noise, landscape.tensor_noise, landscape.order
        )
        self._law: tuple[float, int, DescentLaw] | None = None

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The signal."""
        return (Direction("signal", "x^*", False),)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Of equations and formulas; the law of discrete steps is derived in the documentation."""
        return _SOURCES

    @property
    def holds_for(self) -> frozenset[SampleKind]:
        """All kinds: there are no samples."""
        return frozenset(get_args(SampleKind))

    def attach(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Refuse a model of another landscape; nothing is recorded.

        Raises:
            ValueError: if the model is not a `SpikedModel` of this landscape.
        """
        self._position(model)
        return nullcontext()

    def clock(self, step: int) -> Clock:
        """t = steps * eta; NaN without a learning rate."""
        if self.learning_rate is None:
            return Clock()
        return Clock(step * self.learning_rate, "time t = steps × η")

    def reference(self, model: nn.Module) -> Reference:
        """x*, (N, 1) float64."""
        self._position(model)
        return Reference(self.landscape.signal.double()[:, None])

    def statistics(self, model: nn.Module, batch: Any = None) -> SpikedStatistics:
        """(m, mu, e, |P grad H|) at the present position; the batch does not matter."""
        local = self.landscape.at(self._position(model).x)
        n = self.landscape.dimension
        return SpikedStatistics(
            float(self.landscape.overlap(local.point)),
            float(local.multiplier),
            float(local.energy) / n,
            float(local.tangent_gradient.norm()) / n**0.5,
        )

    def restore(self, quantities: Sequence[Quantity]) -> SpikedStatistics:
        """The statistics with these quantities."""
        return SpikedStatistics.restored(quantities)

    def predict(
        self, statistics: SpikedStatistics, selections: Sequence[Selection], density: bool = True
    ) -> Geometry:
        """Semicircle and outlier at an x of this overlap that does not know the noise."""
        m, mu = min(max(statistics.overlap, -1.0), 1.0), statistics.multiplier
        outliers = independent_outliers(self.covariance, m, mu)
        points = _POINTS if density else 0
        return Geometry((), self._spectra(mu, outliers, selections, points))

    def forecast(
        self, start: SpikedStatistics, steps: int, selections: Sequence[Selection]
    ) -> Geometry | None:
        """m, mu, e, |P grad H|, the loss H and the outliers by the law of the descent.

        None without a learning rate. At a temperature above 0 there are no spectra.
        """
        law = self._after(min(max(start.overlap, -1.0), 1.0), steps)
        if law is None:
            return None
        told = SpikedStatistics(
            law.overlap, law.multiplier, law.energy, math.sqrt(law.gradient_square)
        )
        loss = Quantity.number("loss", law.energy * self.landscape.dimension, "loss")
        spectra: tuple[Spectrum, ...] = ()
        if self.temperature == 0:
            outliers = trajectory_outliers(law)
            spectra = self._spectra(law.multiplier, outliers, selections, 0)
        return Geometry((loss, *told.quantities()), spectra)

    def _spectra(
        self,
        multiplier: float,
        outliers: Sequence[Outlier],
        selections: Sequence[Selection],
        points: int,
    ) -> tuple[Spectrum, ...]:
        """Of the selections that are the Hessian on the sphere."""
        size, sigma = self.landscape.dimension - 1, self.covariance.sigma
        return tuple(
            semicircle_spectrum(selection.block, size, multiplier, sigma, outliers, points)
            for selection in selections
            if selection.matrix == SPHERE_HESSIAN.name
        )

    def _after(self, overlap: float, steps: int) -> DescentLaw | None:
        """The law after so many steps, continued from where it was asked last if it can be."""
        if self.learning_rate is None:
            return None
        remembered = steps <= REMEMBERED
        start, done, law = self._law or (math.nan, 0, None)
        thinned_before = done > REMEMBERED
        if law is None or start != overlap or done > steps or thinned_before == remembered:
            memory = None if remembered else thinned(self.covariance, PRECISION)
            done = 0
            law = DescentLaw(self.covariance, overlap, self.temperature, memory)
        for _ in range(steps - done):
            law.step(self.learning_rate)
        self._law = overlap, steps, law
        return law

    def _position(self, model: nn.Module) -> SpikedModel:
        if not isinstance(model, SpikedModel) or model.landscape is not self.landscape:
            raise ValueError(
                f"model: expected a SpikedModel of the theory's landscape, "
                f"got {type(model).__name__}"
            )
        return model
