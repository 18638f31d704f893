"""The record: what one probing yields, measured and predicted side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from ...theory.direction import Direction
from ...theory.geometry import Geometry
from ...theory.matrix_kind import MatrixKind
from ...theory.source import Source
from ...theory.transitions import Transition, TransitionKind
from .track import Track

__all__ = ["Failure", "Geometry", "Record", "Transition", "TransitionKind"]


@dataclass(frozen=True)
class Failure:
    """Something that a probing could not have, which kept nothing else from the record.

    Attributes:
        part: of the probing: "sample", "loss", "spectra", "prediction", ..., or a measure's name;
            empty where the whole of it failed.
        reason: type and text of what was raised.
        matrix: whose spectrum is missing; empty for other parts.
        block: likewise.
    """

    part: str = field(metadata={"unit": "none"})
    reason: str = field(metadata={"unit": "none"})
    matrix: str = field(default="", metadata={"unit": "none"})
    block: str = field(default="", metadata={"unit": "none"})

    def __str__(self) -> str:
        place = f"{self.matrix}, {self.block}" if self.matrix else self.part
        # One line each.
        return " ".join((f"{place}: {self.reason}" if place else self.reason).split())


@dataclass(frozen=True, repr=False)
class Record:
    """What one probing yields.

    Attributes:
        step: number of optimiser steps taken.
        epoch: number of epochs finished; NaN outside the provided loop.
        time: of the clock of the dynamics; NaN without theory.
        clock: what that clock counts; empty without theory.
        reference: the reference directions, rows of the Gram matrix where there is one.
        matrices: the kinds of matrix that were asked for.
        sources: what the predictions rest on.
        measured: on the probe sample.
        predicted: from the statistics measured at this step alone.
        forecast: from the initial statistics alone, through the effective dynamics.
        transitions: changes of the predicted outliers since the record before.
        tracks: how the measured spectra go on from those of the probing before, one for each.
        operator: how curvature was multiplied: "head" (hand-written; blocks of other parameters
            than the head's directions by automatic differentiation all the same) or "autograd";
            followed by ", sample space" where information matrices or covariances were not
            multiplied at all, but made from the gradients of the samples.
        hooks: the user's hooks on modules and tensors, each with what became of it: "forward hook f
            of layer: left out", or "...: run". One that changes what the model returns is a part of
            the model, and a measurement without it is of another one.
        per: what the information matrix is a mean over: "sample", or "term" where a `WeightedMean`
            says so.
        mode: "eval" or "train": what the modules were in.
        unreached: parameters that no gradient of the loss reached: their curvature counts as 0.
        micro_batch: samples that a process took curvature of together once memory had run out; 0
            where the probe sample was taken as it came.
        failures: what could not be had; empty if everything was.
        early: what a `Budget` ended early: measured with a larger error, or left out as the reason
            says. It is no failure.
        share: of the training's time that probings have taken so far, where a `WithinShare` keeps
            it; not reproducible.
        seconds: wall time of each part of the probing; not reproducible.
    """

    step: int = field(metadata={"unit": "optimiser steps"})
    epoch: float = field(default=math.nan, metadata={"unit": "epochs"})
    time: float = field(default=math.nan, metadata={"unit": "see clock"})
    clock: str = field(default="", metadata={"unit": "none"})
    reference: tuple[Direction, ...] = field(default=(), metadata={"unit": "see Direction"})
    matrices: tuple[MatrixKind, ...] = field(default=(), metadata={"unit": "see MatrixKind"})
    sources: tuple[Source, ...] = field(default=(), metadata={"unit": "see Source"})
    measured: Geometry = field(default_factory=Geometry, metadata={"unit": "see Geometry"})
    predicted: Geometry | None = field(default=None, metadata={"unit": "see Geometry"})
    forecast: Geometry | None = field(default=None, metadata={"unit": "see Geometry"})
    transitions: tuple[Transition, ...] = field(default=(), metadata={"unit": "see Transition"})
    tracks: tuple[Track, ...] = field(default=(), metadata={"unit": "see Track"})
    operator: str = field(default="", metadata={"unit": "none"})
    hooks: tuple[str, ...] = field(default=(), metadata={"unit": "none"})
    per: str = field(default="sample", metadata={"unit": "none"})
    mode: str = field(default="eval", metadata={"unit": "none"})
    unreached: tuple[str, ...] = field(default=(), metadata={"unit": "none"})
    micro_batch: int = field(default=0, metadata={"unit": "samples"})
    failures: tuple[Failure, ...] = field(default=(), metadata={"unit": "see Failure"})
    early: tuple[Failure, ...] = field(default=(), metadata={"unit": "see Failure"})
    share: float = field(default=math.nan, metadata={"unit": "share"})
    seconds: dict[str, float] = field(default_factory=dict, metadata={"unit": "s"})

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the reference directions: "x0", .., "mu0", .."""
        return tuple(direction.name for direction in self.reference)

    @property
    def failure(self) -> str:
        """Why something could not be had, a line for each; empty if everything was."""
        return "\n".join(map(str, self.failures))

    def summary(self) -> str:
        """The record in a few lines of text."""
        from .summary import summary  # it reads records

        return summary(self)

    def table(self) -> dict[str, NDArray[Any]]:
        """Every number, one row for each, as columns of equal length: see `record_table`.

        ``pandas.DataFrame(record.table())`` is a data frame.
        """
        from .record_table import record_table

        return record_table([self])

    def __repr__(self) -> str:
        found = [f"step {self.step}"]
        if not math.isnan(self.measured.loss):
            found.append(f"loss {self.measured.loss:.4g}")
        found += [
            f"{len(part)} {name if len(part) > 1 else name_of_one}"
            for part, name, name_of_one in (
                (self.measured.spectra, "spectra", "spectrum"),
                (self.measured.quantities, "quantities", "quantity"),
                (self.failures, "failures", "failure"),
            )
            if part
        ]
        return f"Record({', '.join(found)})"

    def track(self, matrix: str, block: str) -> Track | None:
        """The track of one block, or None if it is not here."""
        for track in self.tracks:
            if track.matrix == matrix and track.block == block:
                return track
        return None
