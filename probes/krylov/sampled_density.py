"""The density of a matrix that a random frame has sampled: its columns' quadrature rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...theory.spectrum import Density, FloatArray
from .bands import Bands
from .exact_density import SPACINGS
from .frame_mean import frame_mean
from .staircase import Staircase

__all__ = ["Frame", "FrameRules", "JointNodes", "sampled_density"]


@dataclass(frozen=True)
class Frame:
    """A random frame: (size, width), in numbers of a relative precision."""

    size: int
    width: int
    precision: float


@dataclass(frozen=True)
class JointNodes:
    """The joint nodes of one matrix, of which those closer than ``scale`` are one point.

    Attributes:
        points: (p,) increasing.
        doubt: (p,) their residuals.
        first: (p,) place of the first node of each point.
        atoms: (k,) bool, whether a node is that of an atom.
        excess: (k,) relative errors of the atoms' weights.
        scale: distance below which eigenvalues are the same.
    """

    points: FloatArray
    doubt: FloatArray
    first: NDArray[np.intp]
    atoms: NDArray[np.bool_]
    excess: FloatArray
    scale: float

    @staticmethod
    def of(
        nodes: FloatArray,
        atoms: NDArray[np.bool_],
        doubt: FloatArray,
        excess: FloatArray,
        scale: float,
    ) -> JointNodes:
        """From all joint nodes, (k,)."""
        first = np.flatnonzero(np.diff(nodes, prepend=-np.inf) > scale)
        points = np.add.reduceat(nodes, first) / np.diff(first, append=len(nodes))
        return JointNodes(points, np.maximum.reduceat(doubt, first), first, atoms, excess, scale)

    def reaches(self, width: int) -> tuple[FloatArray, FloatArray]:
        """(p,) how far a law is open around a point, at least and at most.

        That is its residual, but no more than a node of a rule is wide, which is ``width`` points,
        on the narrower side or on the wider one.
        """
        left, right = np.full((2, len(self.points)), np.inf)
        left[width:] = right[:-width] = self.points[width:] - self.points[:-width]
        return (
            np.minimum(self.doubt, np.minimum(left, right)),
            np.minimum(self.doubt, np.maximum(left, right)),
        )

    def leaked(self, weights: FloatArray, width: int) -> FloatArray:
        """(p,) mass that an atom within ``width`` points may have from them; weights are (k,)."""
        mass = np.add.reduceat(weights * self.excess, self.first)
        return np.convolve(mass, np.ones(2 * width + 1))[width : width + len(mass)]


@dataclass(frozen=True)
class FrameRules:
    """Rules of the columns for one matrix, (columns, m); the k joint nodes come last."""

    places: FloatArray
    known: FloatArray
    random: FloatArray

    def laws(self, bands: Bands, joint: JointNodes, *, atoms: bool = True) -> list[Staircase]:
        """The law of each column, with the atoms or without."""
        weights = self.known + self.random
        if not atoms:
            weights[:, -len(joint.atoms) :][:, joint.atoms] = 0.0
        return [
            Staircase.of(bands, places, shares, joint.scale)
            for places, shares in zip(self.places, weights, strict=True)
        ]


def sampled_density(
    frame: Frame, joint: JointNodes, rules: FrameRules, coarse: FrameRules, free: int
) -> Density:
    """The density of one matrix; values and errors as `density.spectral_densities` says.

    Args:
        frame: the columns.
        joint: the joint nodes.
        rules: of the columns.
        coarse: those of half as many nodes.
        free: number of eigenvalues that have random weights.
    """
    least, most = joint.reaches(frame.width)
    bands = Bands.of(joint.points, least, max(frame.width, SPACINGS), frame.width, joint.scale)
    half, grid, one = max(1, frame.width // 2), bands.grid, 1 / frame.size
    bulk, fewer = (each.laws(bands, joint, atoms=False) for each in (rules, coarse))

    cumulative = frame_mean(np.stack([law.at(grid) for law in rules.laws(bands, joint)]), free)
    change = np.mean([law.at(grid) for law in bulk], 0) - np.mean(
        [law.at(grid) for law in fewer], 0
    )
    leaked = joint.leaked(rules.random[:, -len(joint.atoms) :].mean(0), frame.width)
    open_places = (_steepness(bulk, joint.points, most), leaked)
    law_errors = (
        cumulative.error, change / 2, *(bands.on_grid(part, 0.0) for part in open_places),
        frame.precision,
    )  # fmt: skip

    low, high = bands.windows(half)
    slopes = frame_mean(np.stack([law.slopes(low, high) for law in bulk]), free)
    wide = bands.windows(half, 2)
    change = np.mean([law.slopes(*wide) for law in fewer], axis=0) - slopes.value
    found = Staircase.of(bands, rules.places[0], rules.known[0], joint.scale).slopes(low, high)
    number = np.sqrt(one * found / np.maximum(high - low, joint.scale))
    slope_errors = (slopes.error, change, number, slopes.value * bands.lopsided(low, high))

    values, errors = bands.densities(slopes.value, _total(slope_errors), one)
    return Density(grid, values, errors, cumulative.value, _total(law_errors))


def _total(errors: tuple[FloatArray | float, ...]) -> FloatArray:
    """Root of the sum of squares of independent errors."""
    total: FloatArray = np.sqrt(sum(np.square(error) for error in errors))
    return total


def _steepness(laws: list[Staircase], points: FloatArray, reach: FloatArray) -> FloatArray:
    """By how much the mean law F grows more over [x - r/2, x + r/2] than half over [x - r, x + r].

    A smooth law does not; one with a jump somewhere in there has half of the jump.
    """
    low, lower, upper, high = (
        np.mean([law.at(points + part * reach) for law in laws], axis=0)
        for part in (-1, -0.5, 0.5, 1)
    )
    steepness: FloatArray = upper - lower - (high - low) / 2
    return steepness
