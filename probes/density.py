"""The spectral density by stochastic Lanczos quadrature, from a Krylov space already built."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..theory.spectrum import Density, FloatArray
from .krylov import Krylov, block_lanczos
from .operator import CurvatureOperator

__all__ = ["cdf_distance", "resolvent_traces", "spectral_densities"]

# Weights below this belong to directions that a column does not see.
_NOTHING = 1e-14


def spectral_densities(krylov: Krylov, traces: Tensor | None = None) -> tuple[Density, ...]:
    """F(lam) = mean_j F_j(lam),  F_j the law with the Gauss rule of q_j^T f(H) q_j,  for each H.

    The columns q_j of the start must be a random frame (stochastic Lanczos quadrature, arXiv
    2105.06595). Each has its own rule, of as many nodes as there were steps, found by
    Lanczos inside the Krylov space; F_j is linear between the midpoints of its jumps. The joint
    nodes (eigenvalues of T) with their weights would do worse: they come in clusters of
    ``width``, at which such a law is off by half a node of a single rule. Joint nodes are the
    points. ``values`` are slopes of the cumulative between neighbouring points, so that they hold
    no mass it does not have; standard errors are over the columns.

    In a complete Krylov space points are the eigenvalues themselves, and errors are 0.

    Args:
        krylov: a run from a random frame, or a complete one.
        traces: (*batch,), tr H if known: weights w of each column become w (1 + a (theta - mean)),
            with a such that the mean is tr H / N, which about halves the squared random error.

    Returns:
        One density for each matrix of the batch, in order; a single one without a batch.
    """
    points, _ = krylov.eigen
    if krylov.complete:
        nodes = points[..., None, :]
        weights = torch.full_like(nodes, 1 / nodes.shape[-1])
        half = round(points.shape[-1] ** 0.5) // 2
    else:
        nodes, weights = _column_rules(krylov)
        half = krylov.width // 2
        if traces is not None:
            weights = _tilted(nodes, weights, traces[..., None, None] / krylov.basis.shape[-2])
    count = nodes[..., 0, 0].numel()
    flat = [
        array.reshape(count, *array.shape[-axes:]).cpu().numpy()
        for array, axes in ((points, 1), (nodes, 2), (weights, 2), (_resolution(krylov), 1))
    ]
    return tuple(
        _density(grid, theta, share, float(scale[0]), max(1, half), krylov.complete)
        for grid, theta, share, scale in zip(*flat, strict=True)
    )


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
    apart = distance.abs() > _resolution(krylov)[..., None, :]
    terms = torch.where(apart, weights[..., None, :] / torch.where(apart, distance, 1.0), 0.0)
    total: Tensor = terms.sum(-1)
    return total


def cdf_distance(measured: Density, predicted: Density) -> float:
    """Kolmogorov distance max_i |F(theta_i) - F_predicted(theta_i)| over the measured points."""
    expected = np.interp(
        measured.points, predicted.points, predicted.cumulative, left=0.0, right=1.0
    )
    return float(np.abs(measured.cumulative - expected).max())


def _resolution(krylov: Krylov) -> Tensor:
    """(*batch, 1): the distance below which eigenvalues differ by rounding errors only."""
    largest = krylov.eigen[0].abs().amax(-1, keepdim=True)
    precision = 10 * torch.finfo(krylov.basis.dtype).eps
    return torch.where(largest > 0, precision * largest, 1.0)


class _Diagonal(CurvatureOperator):
    """diag(entries), entries (*batch, N)."""

    def __init__(self, entries: Tensor) -> None:
        self._entries = entries

    @property
    def batch(self) -> tuple[int, ...]:
        return tuple(self._entries.shape[:-1])

    @property
    def size(self) -> int:
        return int(self._entries.shape[-1])

    @property
    def dtype(self) -> torch.dtype:
        return self._entries.dtype

    @property
    def device(self) -> torch.device:
        return self._entries.device

    def matmul(self, panel: Tensor) -> Tensor:
        return self._entries[..., None] * panel


def _column_rules(krylov: Krylov) -> tuple[Tensor, Tensor]:
    """Rule of each column of the start: nodes and weights, (*batch, width, steps + 1).

    The last node is the atom at zero, as the joint nodes have it, the others are the Gauss rule
    of the rest: by itself a column's rule would put its atom less sharply.
    """
    joint, vectors = krylov.eigen
    start = vectors[..., : krylov.width, :]
    at_zero = (joint.abs() <= _resolution(krylov))[..., None, :]
    atom = (start.square() * at_zero).sum(-1, keepdim=True)
    rest = torch.where(at_zero, 0.0, start)
    length = rest.norm(dim=-1, keepdim=True)
    frame = torch.where(length > 0, rest / length, start)[..., None]
    # Only directions of weight zero are drawn, where a column sees fewer eigenvalues than steps.
    generator = torch.Generator().manual_seed(0)
    operator = _Diagonal(joint[..., None, :].expand(rest.shape))
    gauss, coordinates = block_lanczos(
        operator, frame, joint.shape[-1] // krylov.width, generator
    ).eigen
    weights = coordinates[..., 0, :].square() * length.square()
    return torch.cat([gauss, torch.zeros_like(atom)], -1), torch.cat([weights, atom], -1)


def _tilted(nodes: Tensor, weights: Tensor, mean: Tensor) -> Tensor:
    """Weights with the prescribed mean of the nodes, changed in proportion to node - mean."""
    present = (weights * nodes).sum(-1, keepdim=True)
    deviation = nodes - present
    variance = (weights * deviation.square()).sum(-1, keepdim=True)
    slope = torch.where(variance > 0, (mean - present) / variance, 0.0)
    tilted = (weights * (1 + slope * deviation)).clamp_min(0)
    return tilted / tilted.sum(-1, keepdim=True)


def _density(
    grid: FloatArray,
    nodes: FloatArray,
    weights: FloatArray,
    scale: float,
    half: int,
    exact: bool,
) -> Density:
    """From the grid (k,) and rules (columns, nodes); ``scale`` is the eigenvalues' resolution."""
    points, _ = _joined(grid, grid, scale)
    continuous = np.where(np.abs(nodes) <= scale, 0.0, weights)
    laws, smooth = (
        np.stack([_law(points, *rule, scale) for rule in zip(nodes, shares, strict=True)])
        for shares in (weights, continuous)
    )
    cumulative, cumulative_errors = _mean(laws, exact)
    values, errors = _mean(_slopes(points, smooth, half), exact)
    return Density(points, values, errors, cumulative, cumulative_errors)


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


def _mean(columns: FloatArray, exact: bool) -> tuple[FloatArray, FloatArray]:
    """Mean over columns and its standard error: 0 if exact, NaN from a single column."""
    mean = columns.mean(axis=0)
    if exact:
        return mean, np.zeros_like(mean)
    if len(columns) == 1:
        return mean, np.full_like(mean, np.nan)
    return mean, columns.std(axis=0, ddof=1) / len(columns) ** 0.5
