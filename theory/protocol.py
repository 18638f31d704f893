"""What a probe asks of a theory, and what it answers; another system brings another theory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from .spectrum import FloatArray, Matrix, Spectrum
from .statistics import Statistics

__all__ = ["Prediction", "Selection", "Theory"]


@dataclass(frozen=True)
class Selection:
    """One spectrum that is asked for.

    Attributes:
        matrix: "hessian" or "information".
        block: the block's name.
        parameters: names of its parameters.
        rows: rows of the (single) parameter; empty means all.
    """

    matrix: Matrix
    block: str
    parameters: tuple[str, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Prediction:
    """What theory says at one value of the statistics.

    Attributes:
        loss: expected loss, without ridge.
        loss_error: its numerical error.
        spectra: of those selections that the theory covers.
    """

    loss: float
    loss_error: float
    spectra: tuple[Spectrum, ...]


class Theory(Protocol):
    """What a probe asks of a theory; another system brings another one.

    Attributes:
        directions: names of the reference directions, rows of the Gram matrix.
    """

    directions: tuple[str, ...]

    def time(self, step: int) -> float:
        """The clock t of the dynamics after a number of steps; NaN without dynamics."""

    def reference(self, model: nn.Module) -> Tensor:
        """The reference directions, (d, r) float64, one a column."""

    def statistics(self, model: nn.Module) -> Statistics:
        """The statistics at the present weights."""

    def predict(
        self, statistics: Statistics, selections: Sequence[Selection], density: bool
    ) -> Prediction:
        """Loss and spectra from the statistics alone."""

    def forecast(self, initial: Statistics, time: float) -> Statistics | None:
        """The statistics at time t after the initial ones; None without dynamics."""

    def forecast_band(self, initial: Statistics, time: float) -> FloatArray | None:
        """Standard deviation over runs of each entry of the Gram matrix of a forecast.

        Of the Gram matrix's shape; NaN where it is unknown; None without dynamics.
        """
