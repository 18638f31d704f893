"""The spectral density by stochastic Lanczos quadrature, from a Krylov space already built."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...theory.spectrum import Density, FloatArray
from .block_lanczos import Krylov
from .frame_mean import frame_mean
from .lanczos_quadrature import ColumnRules, column_rules, eigenvalue_resolution

__all__ = ["informed_rules", "resolvent_traces", "spectral_densities"]

# Weights below this belong to directions that a column does not see.
_NOTHING = 1e-14


def spectral_densities(krylov: Krylov, traces: Tensor | None = None) -> tuple[Density, ...]:
    """F(lam) = mean_j F_j(lam),  F_j the law with the Gauss rule of q_j^T f(H) q_j,  for each H.

    The columns q_j of the start must be a random frame (stochastic Lanczos quadrature, arXiv
    2105.06595); their rules are those of `lanczos_quadrature.column_rules`, in which isolated
    eigenvalues have their true weight. F_j is linear between the midpoints of its jumps. The joint
    nodes (eigenvalues of T) are the points. ``values`` are slopes of the cumulative between
    neighbouring points, so that they hold no mass it does not have; standard errors are over the
    columns.

    In a complete Krylov space points are the eigenvalues themselves, and errors are 0.

    Args:
        krylov: a run from a random frame, or a complete one.
        traces: (*batch,), tr H if known: random weights w of each column become
            w (1 + a (theta - mean)), with a such that the first moment of F is tr H / N, which
            about halves the squared random error.

    Returns:
        One density for each matrix of the batch, in order; a single one without a batch.
    """
    points, _ = krylov.eigen
    rules = informed_rules(krylov, traces)
    half = (round(points.shape[-1] ** 0.5) if krylov.complete else krylov.width) // 2
    nodes, weights = rules.nodes, rules.known + rules.random
    count = nodes[..., 0, 0].numel()
    scale = eigenvalue_resolution(krylov)
    flat = [
        array.reshape(count, *array.shape[-axes:]).cpu().numpy()
        for array, axes in ((points, 1), (nodes, 2), (weights, 2), (scale, 1))
    ]
    free = rules.free.reshape(count).cpu().numpy()
    return tuple(
        _density(grid, theta, share, float(resolution[0]), max(1, half), int(left))
        for grid, theta, share, resolution, left in zip(*flat, free, strict=True)
    )


def informed_rules(krylov: Krylov, traces: Tensor | None) -> ColumnRules:
    """`column_rules`, with the first moments that the traces prescribe, if they are known."""
    rules = column_rules(krylov)
    if traces is None or krylov.complete:
        return rules
    size = krylov.basis.shape[-2]
    left = traces[..., None, None] / size - (rules.known * rules.nodes).sum(-1, keepdim=True)
    return replace(rules, random=_tilted(rules.nodes, rules.random, left))


def resolvent_traces(krylov: Krylov, values: Tensor) -> Tensor:
    """S(lam) = tr (H - lam)^-1 / N  ~  sum_i w_i / (theta_i - lam),  without nodes at lam itself.

    Args:
        krylov: a run from a random frame, or a complete one.
        values: (*batch, k) float64: lam, eigenvalues outside the bulk.

    Returns:
        (*batch, k) float64.
    """
    nodes, vectors = krylov.eigen
    weights = vectors[..., : krylov.width, :].square().mean(-2)
    distance = nodes[..., None, :] - values[..., :, None]
    apart = distance.abs() > eigenvalue_resolution(krylov)[..., None, :]
    terms = torch.where(apart, weights[..., None, :] / torch.where(apart, distance, 1.0), 0.0)
    total: Tensor = terms.sum(-1)
    return total


def _tilted(nodes: Tensor, weights: Tensor, first: Tensor) -> Tensor:
    """Weights with the prescribed sum of weight * node, changed in proportion to node - mean."""
    total = weights.sum(-1, keepdim=True)
    share = torch.where(total > 0, total, 1.0)
    present = (weights * nodes).sum(-1, keepdim=True) / share
    deviation = nodes - present
    variance = (weights * deviation.square()).sum(-1, keepdim=True)
    slope = torch.where(variance > 0, (first - total * present) / variance, 0.0)
    tilted = (weights * (1 + slope * deviation)).clamp_min(0)
    left = tilted.sum(-1, keepdim=True)
    return tilted * total / torch.where(left > 0, left, 1.0)


def _density(
    grid: FloatArray,
    nodes: FloatArray,
    weights: FloatArray,
    scale: float,
    half: int,
    free: int,
) -> Density:
    """From the grid (k,) and rules (columns, nodes); ``scale`` is the eigenvalues' resolution.

    Slopes are over ``half`` points to either side; ``free`` eigenvalues have random weights.
    """
    points, _ = _joined(grid, grid, scale)
    continuous = np.where(np.abs(nodes) <= scale, 0.0, weights)
    laws, smooth = (
        np.stack([_law(points, *rule, scale) for rule in zip(nodes, shares, strict=True)])
        for shares in (weights, continuous)
    )
    cumulative = frame_mean(laws, free)
    slopes = frame_mean(_slopes(points, smooth, half), free)
    return Density(points, slopes.value, slopes.error, cumulative.value, cumulative.error)


def _joined(nodes: FloatArray, weights: FloatArray, scale: float) -> tuple[FloatArray, FloatArray]:
    """Nodes closer than ``scale`` become one, with the sum of their weights."""
    first = np.flatnonzero(np.diff(nodes, prepend=-np.inf) > scale)
    centres = np.add.reduceat(nodes, first) / np.diff(first, append=len(nodes))
    return centres, np.add.reduceat(weights, first)


def _law(points: FloatArray, nodes: FloatArray, weights: FloatArray, scale: float) -> FloatArray:
    """Cumulative at the points: linear between the midpoints of the jumps, 0 and total outside."""
    present = np.flatnonzero(weights > _NOTHING)
    if not len(present):
        return np.zeros_like(points)
    order = present[np.argsort(nodes[present])]
    nodes, weights = _joined(nodes[order], weights[order], scale)
    total = np.cumsum(weights)
    knots = np.r_[min(points[0], nodes[0]) - scale, nodes, max(points[-1], nodes[-1]) + scale]
    law: FloatArray = np.interp(points, knots, np.r_[0.0, total - weights / 2, total[-1]])
    return law


def _slopes(points: FloatArray, laws: FloatArray, half: int) -> FloatArray:
    """Growth of each law over ``half`` points to either side, fewer at the ends."""
    if len(points) == 1:
        return np.zeros_like(laws)
    index = np.arange(len(points))
    low, high = np.maximum(index - half, 0), np.minimum(index + half, len(points) - 1)
    slopes: FloatArray = (laws[:, high] - laws[:, low]) / (points[high] - points[low])
    return slopes
