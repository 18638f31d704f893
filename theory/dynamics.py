"""The effective dynamics of SGD: the statistics' own differential equation (arXiv 2206.04030)."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.integrate import RK45, DenseOutput

from ..models.heads import Head, gradient_factors
from .quadrature import MixtureLaw, project, quadrature
from .spectrum import FloatArray
from .statistics import Statistics
from .threads import single_thread

__all__ = ["SGD", "EffectiveDynamics"]

_RTOL, _ATOL = 1e-6, 1e-9
_DIVERGED = 1e9  # an entry of G this large is on its way to infinity


@dataclass(frozen=True)
class SGD:
    """The algorithm that the effective dynamics follows.

    Attributes:
        scaled_learning_rate: c = delta d; torch's lr is c/d.
        batch_size: B fresh samples a step.
        ridge: kappa, torch's weight_decay; adds kappa x to the gradient.
        momentum: heavy-ball momentum in [0, 1), without dampening.
        second_layer_rate: learning rate of the head's parameters v divided by that of x; 0 keeps v
            fixed.
    """

    scaled_learning_rate: float
    batch_size: int = 1
    ridge: float = 0.0
    momentum: float = 0.0
    second_layer_rate: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scaled_learning_rate) and self.scaled_learning_rate > 0):
            raise ValueError(
                f"scaled_learning_rate: expected a positive number, got {self.scaled_learning_rate}"
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {self.batch_size}")
        if not (math.isfinite(self.ridge) and self.ridge >= 0):
            raise ValueError(f"ridge: expected a number >= 0, got {self.ridge}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: expected 0 <= momentum < 1, got {self.momentum}")
        if not (math.isfinite(self.second_layer_rate) and self.second_layer_rate >= 0):
            raise ValueError(
                f"second_layer_rate: expected a number >= 0, got {self.second_layer_rate}"
            )


class EffectiveDynamics:
    """The path G(t) from G(0) for SGD on fresh samples, t = steps * delta, delta = c/d.

        d(x_a.mu_b)/dt = -E[g_a (mu_b.Y)] - kappa x_a.mu_b
        d(x_a.x_c)/dt  = -E[g_a h_c] - E[g_c h_a] - 2 kappa x_a.x_c + (c/(B snr)) E[g_a g_c]
        dv/dt          = -r (E[d ell/dv] + kappa v)

    with g = d ell/dh. The last term of the second line is the high-dimensional correction to
    gradient flow. With momentum m, c becomes c/(1-m) and the solution is read at t/(1-m).

    Args:
        head: the head.
        law: weights, labels and snr of the mixture.
        sgd: the algorithm.
        initial: statistics at t = 0.

    Source: arXiv 2206.04030; docs/theory.md, equation (3).
    """

    def __init__(self, head: Head, law: MixtureLaw, sgd: SGD, initial: Statistics) -> None:
        self.head, self.law, self.sgd, self.initial = head, law, sgd, initial
        # Without an end its steps depend on the initial statistics alone, not on what is asked:
        # a resumed run forecasts the very bits of an uninterrupted one.
        self._solver = RK45(
            lambda _, state: self.velocity(state),
            0.0,
            self._pack(initial),
            math.inf,
            rtol=_RTOL,
            atol=_ATOL,
        )
        self._pieces: list[DenseOutput] = []

    def at(self, time: float) -> Statistics:
        """Predicted statistics at time t >= 0.

        Raises:
            ArithmeticError: if the solution diverges before t, saying where.
        """
        clock = time / (1 - self.sgd.momentum)
        if clock <= 0:
            return self.initial
        while self._solver.t < clock:
            self._advance(clock)
        piece = self._pieces[bisect_left(self._pieces, clock, key=lambda piece: piece.t)]
        return self._unpack(piece(clock))

    def _advance(self, end: float) -> None:
        """One step of the solver towards ``end``."""
        solver = self._solver
        with np.errstate(over="ignore", invalid="ignore"):
            message = solver.step() if solver.status == "running" else None
        finite = bool(np.isfinite(solver.y).all()) and np.abs(solver.y).max() < _DIVERGED
        if solver.status != "running" or not finite:
            raise ArithmeticError(
                f"effective dynamics stopped at t = {solver.t:.4g} of {end:.4g}: "
                f"{message or 'the solution diverges'}"
            )
        self._pieces.append(solver.dense_output())

    @cached_property
    def _upper(self) -> tuple[np.ndarray, np.ndarray]:
        return np.triu_indices(self.head.directions)

    def _pack(self, statistics: Statistics) -> FloatArray:
        c = self.head.directions
        gram = statistics.gram
        return np.concatenate(
            [gram[:c, :c][self._upper], gram[:c, c:].reshape(-1), statistics.parameters]
        )

    def _unpack(self, state: FloatArray) -> Statistics:
        c, k = self.head.directions, len(self.law.weights)
        size = len(self._upper[0])
        gram = self.initial.gram.copy()
        square = np.zeros((c, c))
        square[self._upper] = state[:size]
        gram[:c, :c] = square + np.triu(square, 1).T
        gram[:c, c:] = state[size : size + c * k].reshape(c, k)
        gram[c:, :c] = gram[:c, c:].T
        return Statistics(gram, state[size + c * k :].copy())

    def velocity(self, state: FloatArray) -> FloatArray:
        """d/dt of (upper triangle of x.x, x.mu by rows, v), the same shape."""
        c, sgd = self.head.directions, self.sgd
        rate = sgd.scaled_learning_rate / (1 - sgd.momentum)
        statistics = self._unpack(state)
        projection = project(statistics, self.head)
        nodes = quadrature(projection, self.law, 1)
        with single_thread():
            g_h, g_v = (
                part.numpy()
                for part in gradient_factors(
                    self.head,
                    torch.from_numpy(nodes.preactivations),
                    torch.from_numpy(statistics.parameters),
                    torch.from_numpy(nodes.labels),
                )
            )
        weighted = nodes.weights[:, None] * g_h
        pull = weighted.T @ nodes.means @ projection.coordinates  # E[g_a (Y . each direction)]
        gram = statistics.gram
        xx = -pull[:, :c] - pull[:, :c].T - 2 * sgd.ridge * gram[:c, :c]
        xx += rate / (sgd.batch_size * self.law.snr) * (weighted.T @ g_h)
        xmu = -pull[:, c:] - sgd.ridge * gram[:c, c:]
        v = -sgd.second_layer_rate * (nodes.weights @ g_v + sgd.ridge * statistics.parameters)
        return np.concatenate([xx[self._upper], xmu.reshape(-1), v])
