"""The record: what one probing yields, measured and predicted side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ...theory.spectrum import FloatArray, Matrix, Spectrum
from ...theory.transitions import Transition, TransitionKind
from .track import Track

__all__ = ["Geometry", "Record", "Transition", "TransitionKind"]


def _no_gram() -> FloatArray:
    return np.zeros((0, 0))


@dataclass(frozen=True)
class Geometry:
    """The local geometry of the loss at one step.

    Attributes:
        gram: (r, r) Gram matrix of the reference directions (x_1..x_C, mu_1..mu_k); (0, 0) without
            reference directions.
        loss: mean loss on the probe sample (measured) or its expectation (predicted).
        loss_error: standard error of ``loss`` (measured) or its numerical error (predicted).
        accuracy: share of right labels; NaN if unknown.
        accuracy_error: standard error of ``accuracy``; NaN if unknown.
        spectra: one for each matrix and block.
        gram_band: (r, r) standard deviation over runs of each entry of ``gram``, of a forecast; NaN
            where it is unknown, (0, 0) if there is none.
    """

    gram: FloatArray = field(default_factory=_no_gram, metadata={"unit": "squared parameter"})
    loss: float = field(default=math.nan, metadata={"unit": "loss"})
    loss_error: float = field(default=math.nan, metadata={"unit": "loss"})
    accuracy: float = field(default=math.nan, metadata={"unit": "1, between 0 and 1"})
    accuracy_error: float = field(default=math.nan, metadata={"unit": "1, between 0 and 1"})
    spectra: tuple[Spectrum, ...] = field(default=(), metadata={"unit": "see Spectrum"})
    gram_band: FloatArray = field(default_factory=_no_gram, metadata={"unit": "squared parameter"})

    def spectrum(self, matrix: Matrix, block: str) -> Spectrum | None:
        """The spectrum of one block, or None if it is not here."""
        for spectrum in self.spectra:
            if spectrum.matrix == matrix and spectrum.block == block:
                return spectrum
        return None


@dataclass(frozen=True)
class Record:
    """What one probing yields.

    Attributes:
        step: number of optimiser steps taken.
        epoch: number of epochs finished; NaN outside the provided loop.
        time: step * delta, the clock of the effective dynamics; NaN without theory.
        directions: names of the reference directions, rows of the Gram matrix: "x0", .., "mu0", ..
        measured: on the probe sample.
        predicted: from the Gram matrix measured at this step alone; its ``gram`` is empty.
        forecast: from the initial Gram matrix alone, through the effective dynamics.
        transitions: changes of the predicted outliers since the record before.
        tracks: how the measured spectra go on from those of the probing before, one for each.
        operator: how curvature was multiplied: "head" (hand-written; blocks of other parameters
            than the head's directions by automatic differentiation all the same) or "autograd".
        failure: why the probing failed; empty if it did not. The other fields then hold what was
            measured before the failure.
        seconds: wall time of each part of the probing; not reproducible.
    """

    step: int = field(metadata={"unit": "optimiser steps"})
    epoch: float = field(default=math.nan, metadata={"unit": "epochs"})
    time: float = field(default=math.nan, metadata={"unit": "steps times scaled step size / d"})
    directions: tuple[str, ...] = field(default=(), metadata={"unit": "none"})
    measured: Geometry = field(default_factory=Geometry, metadata={"unit": "see Geometry"})
    predicted: Geometry | None = field(default=None, metadata={"unit": "see Geometry"})
    forecast: Geometry | None = field(default=None, metadata={"unit": "see Geometry"})
    transitions: tuple[Transition, ...] = field(default=(), metadata={"unit": "see Transition"})
    tracks: tuple[Track, ...] = field(default=(), metadata={"unit": "see Track"})
    operator: str = field(default="", metadata={"unit": "none"})
    failure: str = field(default="", metadata={"unit": "none"})
    seconds: dict[str, float] = field(default_factory=dict, metadata={"unit": "s"})

    def track(self, matrix: Matrix, block: str) -> Track | None:
        """The track of one block, or None if it is not here."""
        for track in self.tracks:
            if track.matrix == matrix and track.block == block:
                return track
        return None
