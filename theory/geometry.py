"""The local geometry of the loss at one step, measured and predicted alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .quantity import Quantity, quantity_named
from .spectrum import FloatArray, Spectrum

__all__ = ["Geometry"]


@dataclass(frozen=True)
class Geometry:
    """The local geometry of the loss at one step: named quantities and spectra.

    Attributes:
        quantities: loss, accuracy, statistics of the theory, ...; only those that are known.
        spectra: one for each matrix and block.
    """

    quantities: tuple[Quantity, ...] = field(default=(), metadata={"unit": "see Quantity"})
    spectra: tuple[Spectrum, ...] = field(default=(), metadata={"unit": "see Spectrum"})

    def quantity(self, name: str) -> Quantity | None:
        """The quantity of that name, or None if it is not here."""
        return quantity_named(name, self.quantities)

    def spectrum(self, matrix: str, block: str) -> Spectrum | None:
        """The spectrum of one block, or None if it is not here."""
        for spectrum in self.spectra:
            if spectrum.matrix == matrix and spectrum.block == block:
                return spectrum
        return None

    @property
    def gram(self) -> FloatArray:
        """(r, r) Gram matrix of the reference directions; (0, 0) where there is none."""
        found = self.quantity("gram")
        return np.zeros((0, 0)) if found is None else found.values

    @property
    def gram_band(self) -> FloatArray:
        """(r, r) standard deviation over runs of each entry of ``gram``; (0, 0) without a band."""
        found = self.quantity("gram")
        return np.zeros((0, 0)) if found is None or found.band is None else found.band

    @property
    def loss(self) -> float:
        """Mean loss on the probe sample (measured) or its expectation; NaN if unknown."""
        return self._number("loss")

    @property
    def loss_error(self) -> float:
        """Standard error of ``loss`` (measured) or its numerical error; NaN if unknown."""
        return self._error("loss")

    @property
    def accuracy(self) -> float:
        """Share of right labels; NaN if unknown."""
        return self._number("accuracy")

    @property
    def accuracy_error(self) -> float:
        """Standard error of ``accuracy``; NaN if unknown."""
        return self._error("accuracy")

    def _number(self, name: str) -> float:
        found = self.quantity(name)
        return math.nan if found is None else float(found.values)

    def _error(self, name: str) -> float:
        found = self.quantity(name)
        return math.nan if found is None or found.errors is None else float(found.errors)
