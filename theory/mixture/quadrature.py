"""Expectations over one sample of the mixture, given the summary statistics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.linalg import helmert
from scipy.special import ndtri

from ...models.heads import Head
from ...models.mixture_law import MixtureLaw
from ..spectrum import FloatArray
from .sobol import sobol
from .statistics import Statistics

__all__ = ["MixtureLaw", "Projection", "Quadrature", "project", "quadrature"]

# Nodes along a direction in which h has standard deviation s: _FEW + _MORE s, more where there are
# few directions, fewer where a tensor grid would have more than _BUDGET nodes; but if that leaves
# less than a share _COARSE of them, scrambled Sobol points are the better rule.
_FEW, _MORE = 6.0, 24.0
_REFINED = {1: 8.0, 2: 2.0}
_BUDGET = 6_000
_COARSE = 0.4
_LEVEL = 0.75
_SOBOL_LOG2 = 13
_WIDE = 0.4  # beyond this deviation equidistant nodes beat those of Gauss and Hermite
# More of Gauss and Hermite take cubic time, and underflow from 370 on; of so many, this share is
# within the range of equidistant ones, which take over from there.
_MOST_GAUSS, _WITHIN = 128, 0.4
_RANGE, _LARGEST_RANGE = 1.2, 7.0  # of n equidistant nodes: 1.2 n^(1/2) deviations
_NEGLIGIBLE = 1e-12  # total share of the tensor nodes that are dropped, the smallest ones
_RANK_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Projection:
    """Coordinates V of (x, mu) in an orthonormal basis of their span, V^T V = G.

    The basis starts with the directions that the preactivations depend on, in the order of growing
    variance of h, so that quadrature is needed in those only; for a shift-invariant head these are
    the contrasts x_a - x_c.

    Attributes:
        coordinates: V, (r, C+k).
        active: r1, the number of leading basis vectors that the preactivations depend on.
        to_preactivations: (r1, C): h = z1 @ to_preactivations, up to a common shift where the
            head does not see one.
        directions: C.
        turn: (s, r1) orthonormal columns: the leading basis vectors in a fixed basis of what the
            preactivations can be, R^C or the contrasts. With z1 = eta @ turn for eta ~ N(0, I_s),
            h = eta S^(1/2) is the symmetric root of its covariance, smooth in it.
    """

    coordinates: FloatArray
    active: int
    to_preactivations: FloatArray
    directions: int
    turn: FloatArray


def project(statistics: Statistics, head: Head) -> Projection:
    """Factor the Gram matrix with the head's effective directions first."""
    gram, c = statistics.gram, head.directions
    contrast = np.eye(c) - (1.0 / c if head.shift_invariant else 0.0)
    effective = contrast @ gram[:c, :c] @ contrast
    values, vectors = np.linalg.eigh(effective)
    kept = values > _RANK_TOLERANCE * max(float(np.abs(np.diag(gram)).max()), 1e-300)
    values, vectors = values[kept], vectors[:, kept]
    first = (contrast @ vectors / np.sqrt(values)).T @ gram[:c, :]
    rest = gram - first.T @ first
    rest_values, rest_vectors = np.linalg.eigh((rest + rest.T) / 2)
    rest_kept = rest_values > _RANK_TOLERANCE * max(float(np.abs(np.diag(gram)).max()), 1e-300)
    second = (rest_vectors[:, rest_kept] * np.sqrt(rest_values[rest_kept])).T
    return Projection(
        coordinates=np.vstack([first, second]),
        active=int(kept.sum()),
        to_preactivations=first[:, :c] @ contrast,
        directions=c,
        turn=(helmert(c) if head.shift_invariant else np.eye(c)) @ vectors,
    )


@dataclass(frozen=True)
class Quadrature:
    """Nodes for expectations over b and z ~ N(V_mu[:, b], I_r / snr).

    Attributes:
        projection: the coordinates used.
        weights: (N,) positive, summing to 1.
        preactivations: (N, C) h at the nodes.
        components: (N,) index b of the mixture component.
        active: (N, r1) first coordinates z1 of z at the nodes.
        law: the mixture.
        is_tensor: whether it is a tensor grid, whose error falls exponentially with the nodes of
            a direction, or else Sobol points.
    """

    projection: Projection
    weights: FloatArray
    preactivations: FloatArray
    components: np.ndarray
    active: FloatArray
    law: MixtureLaw
    is_tensor: bool

    @cached_property
    def means(self) -> FloatArray:
        """E[z | node], (N, r): the coordinates that h does not depend on are averaged exactly."""
        p = self.projection
        rest = p.coordinates[p.active :, p.directions :].T[self.components]
        return np.hstack([self.active, rest])

    @cached_property
    def second_moments(self) -> FloatArray:
        """E[z z^T | node], (N, r, r)."""
        moments = self.means[:, :, None] * self.means[:, None, :]
        free = np.arange(self.projection.active, self.means.shape[1])
        moments[:, free, free] += 1 / self.law.snr
        return moments

    @cached_property
    def labels(self) -> np.ndarray:
        """Label of each node, (N,) int64."""
        labels: np.ndarray = self.law.labels[self.components]
        return labels


def _orders(deviations: FloatArray, level: int) -> tuple[int, ...]:
    """Number of nodes along each direction; empty if a tensor grid would be too coarse."""
    wanted = _FEW + _REFINED.get(len(deviations), 1.0) * _MORE * deviations
    affordable = min(1.0, float(_BUDGET / np.prod(wanted)) ** (1 / max(len(wanted), 1)))
    if affordable < _COARSE:
        return ()
    return tuple(max(2, round(float(order) * affordable * _LEVEL**level)) for order in wanted)


@lru_cache(maxsize=64)
def _tensor(orders: tuple[int, ...], wide: tuple[bool, ...]) -> tuple[FloatArray, FloatArray]:
    """Nodes (N, len(orders)) and weights (N,) for a standard Gaussian."""
    grid, shares = np.zeros((1, 0)), np.ones(1)
    for order, is_wide in zip(orders, wide, strict=True):
        if is_wide:
            nodes, weights = _equidistant(order)
        elif order > _MOST_GAUSS:
            nodes, weights = _equidistant(round(_WITHIN * order))
        else:
            nodes, weights = np.polynomial.hermite_e.hermegauss(order)
        grid = np.hstack([np.repeat(grid, len(nodes), axis=0), np.tile(nodes, len(grid))[:, None]])
        shares = np.outer(shares, weights / weights.sum()).reshape(-1)
        ordered = np.sort(shares)
        dropped = int(np.searchsorted(np.cumsum(ordered), _NEGLIGIBLE))
        kept = shares >= ordered[min(dropped, len(ordered) - 1)]
        grid, shares = grid[kept], shares[kept]
    return grid, shares / shares.sum()


def _equidistant(order: int) -> tuple[FloatArray, FloatArray]:
    """The trapezoidal rule: its error falls exponentially with the density of the nodes."""
    reach = min(_RANGE * order**0.5, _LARGEST_RANGE)
    nodes = np.linspace(-reach, reach, order)
    weights = np.exp(-(nodes**2) / 2)
    nodes /= np.sqrt(weights @ nodes**2 / weights.sum())  # a variance of exactly 1
    return nodes, weights


@lru_cache(maxsize=16)
def _sobol(dimensions: int, log2_size: int) -> tuple[FloatArray, FloatArray]:
    """Scrambled Sobol points mapped to a standard Gaussian, with equal weights."""
    nodes = ndtri(sobol(dimensions, log2_size, seed=0))
    # Exact first two moments remove the leading part of the error.
    nodes -= nodes.mean(0)
    nodes = nodes @ np.linalg.inv(np.linalg.cholesky(nodes.T @ nodes / len(nodes))).T
    return nodes, np.full(len(nodes), 1 / len(nodes))


def quadrature(projection: Projection, law: MixtureLaw, level: int = 0) -> Quadrature:
    """Nodes for the mixture seen through a projection.

    Args:
        projection: from `project`.
        law: the mixture.
        level: 0 is the full rule; each level takes three quarters of the nodes a dimension of the
            one before (half as many Sobol points). The difference of a result between two levels
            estimates the quadrature error of the finer.
    """
    r1 = projection.active
    deviations = np.linalg.norm(projection.to_preactivations, axis=1) * law.snr**-0.5
    orders = _orders(deviations, level)
    if len(orders) == r1:
        nodes, shares = _tensor(orders, tuple((deviations > _WIDE).tolist()))
    else:
        # In the basis itself, which turns and flips along a path, their error would jump.
        nodes, shares = _sobol(len(projection.turn), _SOBOL_LOG2 - level)
        nodes = nodes @ projection.turn
    means = projection.coordinates[:r1, projection.directions :].T
    k = len(law.weights)
    z1 = (means[:, None, :] + law.snr**-0.5 * nodes).reshape(k * len(nodes), r1)
    return Quadrature(
        projection=projection,
        weights=(law.weights[:, None] * shares).reshape(-1),
        preactivations=z1 @ projection.to_preactivations,
        components=np.repeat(np.arange(k), len(nodes)),
        active=z1,
        law=law,
        is_tensor=len(orders) == r1,
    )
