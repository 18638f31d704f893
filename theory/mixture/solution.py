"""The solution of the drift's differential equation, piece by piece."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import DOP853, DenseOutput

from ..spectrum import FloatArray
from .drift import Drift

__all__ = ["Piece", "Solution"]

_RTOL, _ATOL = 1e-6, 1e-9
_LARGEST_RTOL = 1e-3
_FIRST = 0.05  # share of itself that the state is let move in the first step tried
_DIVERGED = 1e9  # an entry of the state this large is on its way to infinity
_MOST, _FOR_EACH_CHANGE = 500, 10  # steps of the solver: to t of 30,000 or so


@dataclass(frozen=True)
class Piece:
    """One step of the solver.

    Attributes:
        start: where it starts, on the clock of plain SGD, t/(1-m).
        end: where it ends.
        factor: of the schedule, constant in between.
        state: the state in between, a polynomial of degree 7 at most.
    """

    start: float
    end: float
    factor: float
    state: DenseOutput


class Solution:
    """u with du/dt = F(u) from the initial statistics, as far as it has been asked for.

    The steps depend on the initial state alone, not on what is asked: a resumed run finds the very
    bits of an uninterrupted one. They end where the schedule changes, and are chosen no finer than
    the drift is known: the error of Sobol points, or of a head with jumps, is rough along the path,
    and a solver that insisted would hardly move.

    Args:
        drift: F.

    Attributes:
        pieces: of the solution so far.
    """

    def __init__(self, drift: Drift) -> None:
        self.drift, self.pieces = drift, list[Piece]()
        self._slowness = 1 - drift.sgd.momentum
        self._start(0.0, drift.pack(drift.initial))

    def piece(self, clock: float) -> Piece:
        """The piece that contains a time > 0 of the clock.

        Raises:
            ArithmeticError: if the solution diverges before, or takes more steps than can be waited
                for, saying where.
        """
        return self.pieces[self.index(clock)]

    def index(self, clock: float) -> int:
        """Its index in ``pieces``."""
        while not self.pieces or self.pieces[-1].end < clock:
            self._advance(clock)
        return bisect_left(self.pieces, clock, key=lambda piece: piece.end)

    def _start(self, clock: float, state: FloatArray) -> None:
        """Begin a stretch on which the schedule is constant."""
        changes = [time / self._slowness for time, _ in self.drift.sgd.schedule]
        passed = sum(change <= clock for change in changes)
        factor = self.drift.sgd.schedule[passed - 1][1] if passed else 1.0

        def velocity(_: float, u: FloatArray) -> FloatArray:
            if not (np.isfinite(u).all() and np.abs(u).max(initial=0.0) < _DIVERGED):
                raise FloatingPointError("the solution diverges")
            return self.drift.velocity(u, factor)

        self._factor = factor
        end = changes[passed] if passed < len(changes) else math.inf
        slope = velocity(clock, state)
        speed = float(np.abs(slope).max(initial=0.0))
        # The solver's own first guess is tiny where entries of the state start at zero.
        first = _FIRST * max(float(np.abs(state).max(initial=0.0)), speed) / max(speed, _ATOL)
        self._solver = DOP853(
            velocity,
            clock,
            state,
            end,
            first_step=min(first, end - clock),
        )
        self._adapt(state, slope)

    def _adapt(self, state: FloatArray, slope: FloatArray) -> None:
        """Set the solver's tolerance to how well the drift is known at a state."""
        finer = self.drift.velocity(state, self._factor, level=0)
        speed = max(float(np.abs(slope).max(initial=0.0)), 1e-300)
        known = float(np.abs(finer - slope).max(initial=0.0)) / speed
        tolerance = min(max(_RTOL, known), _LARGEST_RTOL)
        solver: Any = self._solver  # SciPy's stubs do not know these attributes
        solver.rtol, solver.atol = tolerance, _ATOL / _RTOL * tolerance

    def _advance(self, end: float) -> None:
        """One step of the solver towards ``end``."""
        if self._solver.status == "finished":
            self._start(self._solver.t, self._solver.y)
        solver = self._solver
        try:
            most = _MOST + _FOR_EACH_CHANGE * len(self.drift.sgd.schedule)
            if len(self.pieces) >= most:
                raise FloatingPointError(f"it takes more than {most} steps of the solver")
            with np.errstate(over="ignore", invalid="ignore"):
                message = solver.step()
                if solver.status != "failed":
                    state = solver.dense_output()
                    self._adapt(solver.y, np.asarray(solver.f))
        except FloatingPointError as error:
            solver.status, message = "failed", str(error)
        if solver.status == "failed":
            raise ArithmeticError(
                f"effective dynamics stopped at t = {solver.t * self._slowness:.4g} of "
                f"{end * self._slowness:.4g}: {message}"
            )
        self.pieces.append(Piece(float(solver.t_old), float(solver.t), self._factor, state))
