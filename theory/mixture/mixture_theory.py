"""The theory of a head on a Gaussian mixture, as a probe uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ...models.heads import Head, HeadModel, require_labels
from ...models.mixture import GaussianMixture
from ..finite_law import finite_jacobi
from ..protocol import Prediction, Selection
from ..spectrum import FloatArray
from ..statistics import Statistics
from .dynamics import SGD, EffectiveDynamics
from .effective_spectrum import EffectiveSpectrum
from .quadrature import MixtureLaw

__all__ = [
    "MixtureTheory",
]

_DENSITY_POINTS = 160
# Outliers to 1e-4, a hundredth of what they move from one probe sample to the next; edges come out
# far more accurate than they are asked for.
_TOLERANCE = 1e-2


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
        if not aspect_ratio > 0:
            raise ValueError(f"aspect_ratio: expected a positive number, got {aspect_ratio}")
        require_labels(head, mixture.labels)
        self.mixture, self.head, self.aspect_ratio, self.sgd = mixture, head, aspect_ratio, sgd
        self.law = MixtureLaw(
            weights=np.array(mixture.weights) / sum(mixture.weights),
            labels=np.array(mixture.labels),
            snr=mixture.snr,
        )
        self.directions = (
            *(f"x{a}" for a in range(head.directions)),
            *(f"mu{b}" for b in range(len(mixture.weights))),
        )
        self._direction_name = ""
        self._joint: frozenset[str] = frozenset()
        self._trained: frozenset[str] = frozenset()
        self._dynamics: EffectiveDynamics | None = None

    def time(self, step: int) -> float:
        """t = steps * c/d; NaN without ``sgd``."""
        if self.sgd is None:
            return float("nan")
        return step * self.sgd.scaled_learning_rate / self.mixture.dimension

    def reference(self, model: nn.Module) -> Tensor:
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
        self._direction_name = model.direction_name
        self._joint = frozenset((model.direction_name, *model.head_parameter_names))
        self._trained = frozenset(
            name for name, parameter in model.named_parameters() if parameter.requires_grad
        )
        return torch.cat([x.double(), self.mixture.means.to(x.device).double()]).T

    def statistics(self, model: nn.Module) -> Statistics:
        """G = (x, mu)^T (x, mu) in float64, and v."""
        directions = self.reference(model)
        assert isinstance(model, HeadModel)
        v = [model.get_parameter(name).detach().flatten() for name in model.head_parameter_names]
        parameters = torch.cat(v).double().cpu().numpy() if v else np.zeros(0)
        return Statistics((directions.T @ directions).cpu().numpy(), parameters)

    def predict(
        self, statistics: Statistics, selections: Sequence[Selection], density: bool = True
    ) -> Prediction:
        """Expected loss, and effective spectra of the selections that theory covers.

        These are blocks of x, and x and v together: the direction parameter and all of the head's,
        in any order. Parameters that are not trained belong to no block.
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
                selection.matrix,
                selection.rows or every,
                selection.block,
                density_points=_DENSITY_POINTS if density else 0,
                with_parameters=parameters == self._joint,
            )
            for selection in selections
            if (parameters := self._parameters(selection)) in ({self._direction_name}, self._joint)
        )
        spectra = tuple(replace(one, jacobi=finite_jacobi(one)) for one in spectra)
        return Prediction(loss, loss_error, spectra)

    def forecast(self, initial: Statistics, time: float) -> Statistics | None:
        """G(t) along the effective dynamics from the initial statistics."""
        dynamics = self._from(initial)
        return None if dynamics is None else dynamics.at(time)

    def forecast_band(self, initial: Statistics, time: float) -> FloatArray | None:
        """Standard deviation of each entry of a single run's G(t), (C+k, C+k).

        NaN for a head whose gradient has jumps (relu).
        """
        dynamics = self._from(initial)
        return None if dynamics is None else dynamics.band(time, self.mixture.dimension)

    def _parameters(self, selection: Selection) -> frozenset[str]:
        return frozenset(selection.parameters or self._trained) & self._trained

    def _from(self, initial: Statistics) -> EffectiveDynamics | None:
        if self.sgd is None:
            return None
        if self._dynamics is None or self._dynamics.initial is not initial:
            self._dynamics = EffectiveDynamics(self.head, self.law, self.sgd, initial)
        return self._dynamics
