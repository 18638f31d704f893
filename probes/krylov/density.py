"""The spectral density by stochastic Lanczos quadrature, from a Krylov space already built."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...theory.spectrum import Density, FloatArray
from .block_lanczos import Krylov
from .column_rules import ColumnRules, column_rules, eigenvalue_resolution
from .frame_mean import frame_mean

__all__ = ["informed_rules", "resolvent_traces", "spectral_densities"]

# Weights below this belong to directions that a column does not see.
_NOTHING = 1e-14


def spectral_densities(krylov: Krylov, traces: Tensor | None = None) -> tuple[Density, ...]:
    """F(lam) = mean_j F_j(lam),  F_j the law with the Gauss rule of q_j^T f(H) q_j,  for each H.

    The columns q_j of the start must be a random frame (stochastic Lanczos quadrature, arXiv
    2105.06595); their rules are those of `column_rules.column_rules`, in which isolated
    eigenvalues have their true weight. F_j is linear between the midpoints of its jumps. The joint
    nodes (eigenvalues of T) are the points, an atom of many equal eigenvalues being one. ``values``
    are slopes of the cumulative between neighbouring points, so that they hold no mass it does not
    have.

    Errors of the cumulative are standard errors over the columns; half the change if rules of half
    as many nodes are taken; what residuals leave open of the place of a jump, and of the weight of
    an atom; and rounding. In a complete Krylov space points are the eigenvalues themselves, and
    errors are 0.

    Args:
        krylov: a run from a random frame, or a complete one.
        traces: (*batch,), tr H if known: random weights w of each column become
            w (1 + a (theta - mean)), with a such that the first moment of F is tr H / N, which
            about halves the squared random error.

    Returns:
        One density for each matrix of the batch, in order; a single one without a batch.
    """
    size = krylov.eigen[0].shape[-1]
    half = (round(size**0.5) if krylov.complete else krylov.width) // 2
    rules = informed_rules(krylov, traces)
    coarse = informed_rules(krylov, traces, max(1, size // krylov.width // 2))
    count = rules.free.numel()

    def flat(part: Tensor, axes: int) -> NDArray[Any]:
        array: NDArray[Any] = part.reshape(count, *part.shape[-axes:]).cpu().numpy()
        return array

    points, atoms, doubt, excess = (
        flat(part, 1) for part in (rules.points, rules.atoms, rules.doubt, rules.excess)
    )
    fine, fewer = (
        (flat(each.places, 2), flat(each.known + each.random, 2)) for each in (rules, coarse)
    )
    scale, free = flat(eigenvalue_resolution(krylov), 1), rules.free.reshape(count).cpu().numpy()
    precision = 0.0 if krylov.complete else 10 * torch.finfo(krylov.basis.dtype).eps
    return tuple(
        _density(
            _Joint.of(points[i], atoms[i], doubt[i], excess[i], float(scale[i, 0])),
            _Rules(fine[0][i], fine[1][i]),
            _Rules(fewer[0][i], fewer[1][i]),
            max(1, half),
            int(free[i]),
            precision,
        )
        for i in range(count)
    )


def informed_rules(krylov: Krylov, traces: Tensor | None, steps: int | None = None) -> ColumnRules:
    """`column_rules`, with the first moments that the traces prescribe, if they are known."""
    rules = column_rules(krylov, steps)
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


@dataclass(frozen=True)
class _Joint:
    """The joint nodes of one matrix, of which those closer than ``scale`` are one.

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
    ) -> _Joint:
        """From all joint nodes, (k,)."""
        first = np.flatnonzero(np.diff(nodes, prepend=-np.inf) > scale)
        points = np.add.reduceat(nodes, first) / np.diff(first, append=len(nodes))
        return _Joint(points, np.maximum.reduceat(doubt, first), first, atoms, excess, scale)

    def reach(self, count: int) -> FloatArray:
        """(p,) how far around a point a law is open: its residual, or ``count`` points if less."""
        index = np.arange(len(self.points))
        low, high = np.maximum(index - count, 0), np.minimum(index + count, len(index) - 1)
        near = np.maximum(self.points - self.points[low], self.points[high] - self.points)
        return np.minimum(self.doubt, near)

    def leaked(self, weights: FloatArray, count: int) -> FloatArray:
        """(p,) mass that an atom within ``count`` points may have from them; weights are (k,)."""
        mass = np.add.reduceat(weights * self.excess, self.first)
        return np.convolve(mass, np.ones(2 * count + 1))[count : count + len(mass)]


@dataclass(frozen=True)
class _Rules:
    """Rules of the columns for one matrix.

    Attributes:
        places: (columns, m) nodes, the k joint ones last.
        weights: (columns, m).
    """

    places: FloatArray
    weights: FloatArray

    def laws(self, joint: _Joint, *, atoms: bool = True) -> list[_Law]:
        """The law of each column, with the atoms or without."""
        weights = self.weights
        if not atoms:
            weights = weights.copy()
            weights[:, -len(joint.atoms) :][:, joint.atoms] = 0.0
        return [
            _Law.of(joint.points, places, shares, joint.scale)
            for places, shares in zip(self.places, weights, strict=True)
        ]


def _density(
    joint: _Joint, rules: _Rules, coarse: _Rules, half: int, free: int, precision: float
) -> Density:
    """The density of one matrix.

    Slopes are over ``half`` points to either side; ``free`` eigenvalues have random weights, and
    any number of them is known to the relative ``precision``.
    """
    points = joint.points
    cumulative = frame_mean(np.stack([law.at(points) for law in rules.laws(joint)]), free)
    bulks = rules.laws(joint, atoms=False)
    levels = np.stack([law.at(points) for law in bulks])
    slopes = frame_mean(_slopes(points, levels, half), free)
    fewer = np.mean([law.at(points) for law in coarse.laws(joint, atoms=False)], axis=0)
    parts = (
        cumulative.error,
        (levels.mean(0) - fewer) / 2,
        _steepness(bulks, points, joint.reach(2 * half)),
        joint.leaked(rules.weights[:, -len(joint.atoms) :].mean(0), 2 * half),
        precision,
    )
    error = np.sqrt(sum(np.square(part) for part in parts))
    return Density(points, slopes.value, slopes.error, cumulative.value, error)


def _steepness(laws: list[_Law], points: FloatArray, reach: FloatArray) -> FloatArray:
    """By how much the mean law F grows more over [x - r/2, x + r/2] than half over [x - r, x + r].

    A smooth law does not; one with a jump somewhere in there has half of the jump.
    """
    low, lower, upper, high = (
        np.mean([law.at(points + part * reach) for law in laws], axis=0)
        for part in (-1, -0.5, 0.5, 1)
    )
    steepness: FloatArray = upper - lower - (high - low) / 2
    return steepness


@dataclass(frozen=True)
class _Law:
    """A cumulative law that is linear between its knots.

    Attributes:
        knots: increasing.
        levels: share below each.
    """

    knots: FloatArray
    levels: FloatArray

    @staticmethod
    def of(points: FloatArray, nodes: FloatArray, weights: FloatArray, scale: float) -> _Law:
        """Linear between the midpoints of the jumps, 0 and total outside.

        Nodes within ``scale`` of one of the points are there, so that it has half of the jump.
        """
        present = weights > _NOTHING
        nodes, weights = nodes[present], weights[present]
        if not len(nodes):
            return _Law(points[:1], np.zeros(1))
        order = np.argsort(nodes)
        nodes, weights = _snapped(nodes[order], points, scale), weights[order]
        first = np.flatnonzero(np.diff(nodes, prepend=-np.inf) > scale)
        masses = np.add.reduceat(weights, first)
        total = np.cumsum(masses)
        knots = np.r_[nodes[0] - scale, nodes[first], nodes[-1] + scale]
        return _Law(knots, np.r_[0.0, total - masses / 2, total[-1]])

    def at(self, places: FloatArray) -> FloatArray:
        """Share below each place."""
        return np.interp(places, self.knots, self.levels)


def _snapped(nodes: FloatArray, points: FloatArray, scale: float) -> FloatArray:
    """Each node at the nearest of the points if it is within ``scale`` of it."""
    right = np.searchsorted(points, nodes).clip(max=len(points) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(nodes - points[left] < points[right] - nodes, points[left], points[right])
    return np.where(np.abs(nodes - nearest) <= scale, nearest, nodes)


def _slopes(points: FloatArray, laws: FloatArray, half: int) -> FloatArray:
    """Growth of each law over ``half`` points to either side, fewer at the ends."""
    if len(points) == 1:
        return np.zeros_like(laws)
    index = np.arange(len(points))
    low, high = np.maximum(index - half, 0), np.minimum(index + half, len(points) - 1)
    slopes: FloatArray = (laws[:, high] - laws[:, low]) / (points[high] - points[low])
    return slopes
