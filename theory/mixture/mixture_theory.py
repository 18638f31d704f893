"""The theory of a head on a Gaussian mixture, as a probe uses it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ...models.arguments import require_arguments, require_positive
from ...models.heads import Head, HeadModel, require_labels
from ...models.mixture import GaussianMixture
from ..direction import Direction
from ..finite_law import finite_jacobi
from ..geometry import Geometry
from ..matrix_kind import HESSIAN, INFORMATION
from ..protocol import INDEPENDENT, Clock, Reference, SampleKind, Selection
from ..quantity import Quantity
from ..source import Source
from .dynamics import EffectiveDynamics
from .effective_spectrum import EffectiveSpectrum
from .quadrature import MixtureLaw
from .sgd import SGD
from .statistics import Statistics

__all__ = ["MixtureTheory"]

_DENSITY_POINTS = 160
# Outliers to 1e-4, a hundredth of what they move from one probe sample to the next; edges come out
# far more accurate than they are asked for.
_TOLERANCE = 1e-2
_MATRICES = (HESSIAN.name, INFORMATION.name)
_SPECTRAL_SOURCES = (
    Source(
        "G. Ben Arous, R. Gheissari, J. Huang, A. Jagannath",
        "Local geometry of high-dimensional mixture models: Effective spectral theory and "
        "dynamical transitions",
        "2502.15655",
        "predicted spectra and transitions",
    ),
    Source(
        "G. Ben Arous, R. Gheissari, J. Huang, A. Jagannath",
        "High-dimensional SGD aligns with emerging outlier eigenspaces",
        "2310.03010",
        "overlaps of eigenvectors with the reference directions",
    ),
    Source(
        "J. Baik, G. Ben Arous, S. Péché",
        "Phase transition of the largest eigenvalue for nonnull complex sample covariance matrices",
        "math/0403022",
        "outliers that leave the bulk",
    ),
    Source(
        "M. Chiani",
        "Distribution of the largest eigenvalue for real Wishart and Gaussian random matrices and "
        "a simple approximation for the Tracy-Widom distribution",
        "1209.3394",
        "detection edges",
    ),
)
_DYNAMICAL_SOURCE = Source(
    "G. Ben Arous, R. Gheissari, A. Jagannath",
    "High-dimensional limit theorems for SGD: Effective dynamics and critical scaling",
    "2206.04030",
    "forecasts from the initial Gram matrix",
)


class MixtureTheory:
    """Effective spectrum and dynamics of a `HeadModel` trained on a Gaussian mixture.

    Args:
        mixture: the law of the data; its means, with the model's directions x, give the Gram
            matrix.
        head: the model's head.
        aspect_ratio: phi = n/d of the probe sample.
        sgd: the algorithm, for forecasts; None if only spectra are wanted.

    Raises:
        ValueError: if the aspect ratio is not positive, or the head's loss is not defined for a
            label.
    """

    def __init__(
        self,
        mixture: GaussianMixture,
        head: Head,
        aspect_ratio: float,
        sgd: SGD | None = None,
    ) -> None:
        require_arguments(MixtureTheory.__init__, locals())
        require_positive("aspect_ratio", aspect_ratio)
        require_labels(head, mixture.labels)
        self.mixture, self.head, self.aspect_ratio, self.sgd = mixture, head, aspect_ratio, sgd
        self.law = MixtureLaw(
            weights=np.array(mixture.weights) / sum(mixture.weights),
            labels=np.array(mixture.labels),
            snr=mixture.snr,
        )
        self._dynamics: EffectiveDynamics | None = None

    @property
    def directions(self) -> tuple[Direction, ...]:
        """x of each row of the head's directions, which are trained, and mu of each mean."""
        return (
            *(Direction(f"x{a}", f"x_{{{a}}}", True) for a in range(self.head.directions)),
            *(
                Direction(f"mu{b}", rf"\mu_{{{b}}}", False)
                for b in range(len(self.mixture.weights))
            ),
        )

    @property
    def sources(self) -> tuple[Source, ...]:
        """Of spectra, and of the dynamics where there are forecasts."""
        return (*_SPECTRAL_SOURCES, *((_DYNAMICAL_SOURCE,) if self.sgd else ()))

    @property
    def holds_for(self) -> frozenset[SampleKind]:
        """Samples that the weights do not depend on."""
        return INDEPENDENT

    def attach(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Refuse a model that the theory does not describe; nothing is recorded.

        Raises:
            ValueError: if the model is not a `HeadModel` of the right shape.
        """
        self.reference(model)
        return nullcontext()

    def clock(self, step: int) -> Clock:
        """t = steps * c/d; NaN without ``sgd``."""
        if self.sgd is None:
            return Clock()
        time = step * self.sgd.scaled_learning_rate / self.mixture.dimension
        return Clock(time, "time t = steps × c/d")

    def reference(self, model: nn.Module) -> Reference:
        """(x, mu), (d, C+k) float64, on the model's device.

        Raises:
            ValueError: if the model is not a `HeadModel` of the right shape.
        """
        if not isinstance(model, HeadModel) or model.head != self.head:
            raise ValueError(
                f"model: expected a HeadModel with the theory's head {self.head}, "
                f"got {type(model).__name__}"
            )
        x = model.get_parameter(model.direction_name).detach()
        expected = (self.head.directions, self.mixture.dimension)
        if tuple(x.shape) != expected:
            raise ValueError(
                f"model: expected directions of shape {expected}, as the mixture's means have, "
                f"got {tuple(x.shape)}"
            )
        return Reference(torch.cat([x.double(), self.mixture.means.to(x.device).double()]).T)

    def statistics(self, model: nn.Module, batch: Any = None) -> Statistics:
        """G = (x, mu)^T (x, mu) in float64, and v; the batch does not matter."""
        directions = self.reference(model).vectors
        assert isinstance(model, HeadModel)
        named = {name: model.get_parameter(name).detach() for name in model.head_parameter_names}
        v = [value.flatten() for value in named.values()]
        return Statistics(
            (directions.T @ directions).cpu().numpy(),
            torch.cat(v).double().cpu().numpy() if v else np.zeros(0),
            tuple(direction.name for direction in self.directions),
            tuple(
                f"{name}.{place}" for name, value in named.items() for place in range(value.numel())
            ),
        )

    def restore(self, quantities: Sequence[Quantity]) -> Statistics:
        """The statistics with this Gram matrix and v."""
        return Statistics.restored(quantities)

    def predict(
        self, statistics: Statistics, selections: Sequence[Selection], density: bool = True
    ) -> Geometry:
        """Expected loss, without ridge, and effective spectra of what the theory covers.

        These are Hessian and information matrix of blocks of x, and of x and v together: the
        direction parameter and all of the head's, in any order.
        """
        at = EffectiveSpectrum(
            self.head,
            statistics,
            self.law,
            self.aspect_ratio,
            self.mixture.dimension,
            tolerance=_TOLERANCE,
        )
        every = tuple(range(self.head.directions))
        loss, loss_error = at.loss()
        spectra = tuple(
            at.spectrum(
                "hessian" if selection.matrix == HESSIAN.name else "information",
                selection.rows or every,
                selection.block,
                density_points=_DENSITY_POINTS if density else 0,
                with_parameters=joint,
            )
            for selection in selections
            if selection.matrix in _MATRICES
            and (joint := _holds_parameters(selection, statistics)) is not None
        )
        spectra = tuple(replace(one, jacobi=finite_jacobi(one)) for one in spectra)
        return Geometry((Quantity.number("loss", loss, "loss", loss_error),), spectra)

    def forecast(
        self, start: Statistics, steps: int, selections: Sequence[Selection]
    ) -> Geometry | None:
        """Loss, G(t) with its band, v, and outliers along the effective dynamics.

        The band is the standard deviation of each entry of a single run's G(t); NaN for a head
        whose gradient has jumps (relu).
        """
        dynamics = self._from(start)
        if dynamics is None:
            return None
        time = self.clock(steps).time
        state = dynamics.at(time)
        at = replace(start, gram=state.gram, parameters=state.parameters)
        gram, *rest = at.quantities()
        band = dynamics.band(time, self.mixture.dimension)
        predicted = self.predict(at, selections, density=False)
        quantities = (*predicted.quantities, replace(gram, band=band), *rest)
        return Geometry(quantities, predicted.spectra)

    def _from(self, start: Statistics) -> EffectiveDynamics | None:
        if self.sgd is None:
            return None
        if self._dynamics is None or self._dynamics.initial is not start:
            self._dynamics = EffectiveDynamics(self.head, self.law, self.sgd, start)
        return self._dynamics


def _holds_parameters(selection: Selection, statistics: Statistics) -> bool | None:
    """Whether the block is of x and v together, not of x alone; None if it is neither.

    Without the names of v's tensors, a single tensor is taken for x, and several for both.
    """
    chosen, heads = frozenset(selection.parameters), statistics.head_parameters
    if selection.rows:
        return False
    if not heads:
        return bool(len(statistics.parameters)) and len(chosen) != 1
    if not chosen & heads:
        return False
    return True if chosen > heads else None
