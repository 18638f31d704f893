"""Equation (3): the expected velocity of the summary statistics under SGD."""

from __future__ import annotations

import numpy as np

from ...models.heads import Head, gradient_factors
from ..spectrum import FloatArray
from .quadrature import MixtureLaw, project, quadrature
from .sgd import SGD
from .statistics import Statistics

__all__ = ["Drift"]

_RANK_TOLERANCE = 1e-6  # of the references' Gram matrix, relative; that of a valid `Statistics`


class Drift:
    """The velocity F of the state u: the entries of (G, v) that move.

        d(x_a.r)/dt   = -E[g_a (r.Y)] - kappa x_a.r
        d(x_a.x_c)/dt = -E[g_a h_c] - E[g_c h_a] - 2 kappa x_a.x_c + (c/(B snr)) E[g_a g_c]
        dv/dt         = -rho (E[d ell/dv] + kappa v)

    for trained directions x_a, x_c and references r, the teachers and the means, which stay where
    they are; g = d ell/dh, rho = ``second_layer_rate``. A factor f of the schedule multiplies the
    whole by f and c by f. Time is that of plain SGD: with momentum m, c stands for c/(1-m) and the
    clock is t/(1-m).

    Args:
        head: the head.
        law: weights, labels and snr of the mixture.
        sgd: the algorithm.
        initial: statistics at the start; the products of references with each other are theirs.

    Attributes:
        trained: number of trained directions, the first columns of x.
        rows: (P,) first index in G of the entries that move.
        columns: (P,) second index. The state is (G[rows, columns], v), of shape (P + q,): the upper
            triangle of x.x, then x.r by rows of x, then v.

    Raises:
        ValueError: if the Gram matrix or the parameters do not have the head's size.

    Source: arXiv 2206.04030; docs/theory.md, equation (3).
    """

    def __init__(self, head: Head, law: MixtureLaw, sgd: SGD, initial: Statistics) -> None:
        size = head.directions + len(law.weights)
        if len(initial.gram) != size:
            raise ValueError(
                f"gram: expected {size} rows ({head.directions} directions and "
                f"{len(law.weights)} means), got {len(initial.gram)}"
            )
        if len(initial.parameters) != head.parameters:
            raise ValueError(
                f"parameters: expected {head.parameters}, got {len(initial.parameters)}"
            )
        self.head, self.law, self.sgd, self.initial = head, law, sgd, initial
        self.rate = sgd.scaled_learning_rate / (1 - sgd.momentum)
        self.trained = head.directions - head.teachers
        upper = np.triu_indices(self.trained)
        cross = np.indices((self.trained, size - self.trained)).reshape(2, -1)
        self.rows = np.concatenate([upper[0], cross[0]])
        self.columns = np.concatenate([upper[1], cross[1] + self.trained])
        references = initial.gram[self.trained :, self.trained :]
        self._inverse = np.linalg.pinv(references, rcond=_RANK_TOLERANCE, hermitian=True)
        self._onto = references @ self._inverse

    def pack(self, statistics: Statistics) -> FloatArray:
        """The state, (P + q,)."""
        return np.concatenate([statistics.gram[self.rows, self.columns], statistics.parameters])

    def unpack(self, state: FloatArray) -> Statistics:
        """The statistics of a state, or of a possible one close by if a solver strays.

        The rows of x.r lie in the range of r.r, and the part of x.x that is orthogonal to the
        references is positive semidefinite.
        """
        entries, a = len(self.rows), self.trained
        gram = self.initial.gram.copy()
        gram[self.rows, self.columns] = gram[self.columns, self.rows] = state[:entries]
        gram[:a, a:] = gram[:a, a:] @ self._onto
        gram[a:, :a] = gram[:a, a:].T
        within = gram[:a, a:] @ self._inverse @ gram[a:, :a]
        values, vectors = np.linalg.eigh(gram[:a, :a] - (within + within.T) / 2)
        if values[0] < 0:
            gram[:a, :a] -= (vectors * np.minimum(values, 0)) @ vectors.T
        return Statistics(gram, state[entries:].copy())

    def velocity(self, state: FloatArray, factor: float = 1.0, level: int = 1) -> FloatArray:
        """F(u), (P + q,).

        Args:
            state: u, (P + q,).
            factor: of the schedule.
            level: of the quadrature; 0 is the finest.
        """
        sgd, a = self.sgd, self.trained
        statistics = self.unpack(state)
        projection = project(statistics, self.head)
        nodes = quadrature(projection, self.law, level)
        g_h, g_v = gradient_factors(
            self.head, nodes.preactivations, statistics.parameters, nodes.labels
        )
        g = g_h[:, :a]
        weighted = nodes.weights[:, None] * g
        pull = weighted.T @ nodes.means @ projection.coordinates  # E[g_a (Y . each direction)]
        flow = np.zeros_like(statistics.gram)
        flow[:a] = -pull - sgd.ridge * statistics.gram[:a]
        flow += flow.T
        flow[:a, :a] += factor * self.rate / (sgd.batch_size * self.law.snr) * (weighted.T @ g)
        v = -sgd.second_layer_rate * (nodes.weights @ g_v + sgd.ridge * statistics.parameters)
        return factor * np.concatenate([flow[self.rows, self.columns], v])
