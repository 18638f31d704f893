"""Fluctuations and numerical error along a path: two linear equations around the solution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev, legendre

from ..spectrum import FloatArray
from .drift import Drift
from .linear_noise import linear_noise
from .solution import Piece, Solution

__all__ = ["Deviation", "Fluctuations"]

_NODES = (legendre.leggauss(3)[0] + 1) / 2  # where a piece of the path is linearised
_EARLY, _LATE = 0.5 - 3**0.5 / 6, 0.5 + 3**0.5 / 6  # Gauss points of a step of order 4
_DEGREE = 7  # of the polynomial pieces
_FEWEST_STEPS = 2


@dataclass(frozen=True)
class Deviation:
    """How far a state may be from the computed one.

    Attributes:
        covariance: Sigma d, (p, p), of the state of a single run; NaN where the head's gradient
            has jumps (relu), for J is not known there.
        numerical: estimated error of the computed state, (p,).
    """

    covariance: FloatArray
    numerical: FloatArray


@dataclass(frozen=True)
class _Linearised:
    """J, Q and the defect F - du/dt at `_NODES` of a piece, and the steps it is taken in."""

    jacobian: FloatArray
    noise: FloatArray
    defect: FloatArray
    steps: int


class Fluctuations:
    """Linear noise approximation along a solution u(t), with the error of u itself.

        dSigma/dt = J Sigma + Sigma J^T + Q/d,   Sigma(0) = 0
        de/dt     = J e + F(u) - du/dt,          e(0) = 0

    where F is evaluated with a finer quadrature than the solution was computed with, so that the
    defect F(u) - du/dt holds the errors of solver and quadrature alike. J, Q and the defect are
    taken at three Gauss points of each piece and interpolated between them; the steps are those of
    Magnus, of order 4.

    Args:
        solution: u.
    """

    def __init__(self, solution: Solution) -> None:
        self._solution = solution
        size = len(solution.drift.pack(solution.drift.initial))
        self._linearised: list[_Linearised] = []
        self._starts = [Deviation(np.zeros((size, size)), np.zeros(size))]

    def at(self, clock: float) -> Deviation:
        """The deviation at a time >= 0 of the clock."""
        if clock <= 0:
            return self._starts[0]
        index = self._solution.index(clock)
        pieces = self._solution.pieces
        while len(self._linearised) <= index:
            self._linearised.append(_linearise(self._solution.drift, pieces[len(self._linearised)]))
        # A piece is gone through to its end only for what lies behind it: where the statistics
        # stand still it is so long that this would take hours, and leave the number range.
        for before in range(len(self._starts) - 1, index):
            end = pieces[before].end
            self._starts.append(
                _carry(self._starts[before], pieces[before], self._linearised[before], end)
            )
        return _carry(self._starts[index], pieces[index], self._linearised[index], clock)


def _linearise(drift: Drift, piece: Piece) -> _Linearised:
    length = piece.end - piece.start
    states = piece.state(piece.start + length * _NODES).T
    around = [linear_noise(drift, state, piece.factor) for state in states]
    finest = np.stack([drift.velocity(state, piece.factor, level=0) for state in states])
    jacobian = np.stack([one.jacobian for one in around])
    unknown = np.full(jacobian.shape[1:], np.nan)
    norm = float(np.linalg.norm(jacobian, 2, axis=(1, 2)).max())
    return _Linearised(
        jacobian=jacobian,
        noise=np.stack([one.noise if one.smooth else unknown for one in around]),
        defect=finest - _slope(piece),
        steps=max(_FEWEST_STEPS, math.ceil(length * norm)),
    )


def _slope(piece: Piece) -> FloatArray:
    """du/dt at `_NODES`, (3, p): exact, as the pieces are polynomials."""
    points = chebyshev.chebpts1(_DEGREE + 1)
    length = piece.end - piece.start
    values = piece.state(piece.start + length * (points + 1) / 2).T
    coefficients = chebyshev.chebfit(points, values, _DEGREE)
    slopes = chebyshev.chebval(2 * _NODES - 1, chebyshev.chebder(coefficients))
    return np.asarray(slopes.T * 2 / length, dtype=np.float64)


def _carry(start: Deviation, piece: Piece, around: _Linearised, clock: float) -> Deviation:
    """The deviation at ``clock`` from that at the start of the piece."""
    length = piece.end - piece.start
    share = (clock - piece.start) / length
    steps = max(1, math.ceil(around.steps * share))
    h = share * length / steps
    covariance, numerical = start.covariance, start.numerical
    for step in range(steps):
        at = (step + np.array([_EARLY, _LATE])) / steps * share
        weights = _lagrange(at)
        first, second = np.tensordot(weights, around.jacobian, 1)
        noises = np.tensordot(weights, around.noise, 1)
        defects = weights @ around.defect
        commutator = first @ second - second @ first
        tilt = (second - first) / (_LATE - _EARLY)
        exponents = [
            (first + second) / 2 - 3**0.5 / 12 * h * commutator,
            (1 - _EARLY) * (first + tilt * (1 - _EARLY) / 2),
            (1 - _LATE) * (second + tilt * (1 - _LATE) / 2),
        ]
        whole, from_early, from_late = _exponential(h * np.stack(exponents))
        covariance = whole @ covariance @ whole.T
        numerical = whole @ numerical
        for rest, noise, defect in zip((from_early, from_late), noises, defects, strict=True):
            covariance += h / 2 * rest @ noise @ rest.T
            numerical += h / 2 * rest @ defect
    return Deviation((covariance + covariance.T) / 2, numerical)


def _exponential(matrices: FloatArray) -> FloatArray:
    """exp of each matrix of a stack (n, p, p), by squaring a polynomial of degree 12.

    That of scipy solves systems with several threads, which takes a hundred times as long where
    other processes keep the cores busy.
    """
    norm = float(np.abs(matrices).sum(axis=1).max(initial=0.0))
    squarings = max(0, math.ceil(math.log2(max(norm, 1.0))))
    scaled, identity = matrices / 2.0**squarings, np.eye(matrices.shape[-1])
    result = np.broadcast_to(identity, matrices.shape)
    for order in range(12, 0, -1):
        result = identity + scaled @ result / order
    for _ in range(squarings):
        result = result @ result
    return result


def _lagrange(at: FloatArray) -> FloatArray:
    """Weights (len(at), 3) of the values at `_NODES` in the parabola through them."""
    weights = np.ones((len(at), len(_NODES)))
    for i, node in enumerate(_NODES):
        for other in np.delete(_NODES, i):
            weights[:, i] *= (at - other) / (node - other)
    return weights
