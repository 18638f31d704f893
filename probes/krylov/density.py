"""The spectral density by stochastic Lanczos quadrature, from a Krylov space already built."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...theory.spectrum import Density, FloatArray
from .bands import Bands
from .block_lanczos import Krylov
from .column_rules import ColumnRules, column_rules, eigenvalue_resolution
from .exact_density import SPACINGS, exact_density
from .frame_mean import frame_mean
from .staircase import Staircase

__all__ = ["informed_rules", "resolvent_traces", "spectral_densities"]


def spectral_densities(krylov: Krylov, traces: Tensor | None = None) -> tuple[Density, ...]:
    """F(lam) = mean_j F_j(lam),  F_j the law with the Gauss rule of q_j^T f(H) q_j,  for each H.

    The columns q_j of the start must be a random frame (stochastic Lanczos quadrature, arXiv
    2105.06595); their rules are those of `column_rules.column_rules`, in which isolated
    eigenvalues have their true weight. F_j is linear between the midpoints of its jumps, and from
    the last of them to the end of a band. The joint nodes (eigenvalues of T) are the points, an
    atom of many equal eigenvalues being one, and both ends of each gap between bands are points
    too. ``values`` are slopes of F over windows within a band (`bands.Bands`), which narrow towards
    its ends; isolated eigenvalues and gaps have none.

    Errors of the cumulative are standard errors over the columns; half the change if rules of half
    as many nodes are taken; what residuals leave open of the place of a jump, and of the weight of
    an atom; and rounding. Those of the values are standard errors over the columns; the change with
    such rules over windows twice as wide; the density of the square root of the number of known
    eigenvalues in the window; and at the ends of a band the share of the window that is to one side
    alone. In a gap the error is the density of one eigenvalue in it.

    In a complete Krylov space the density is that of `exact_density.exact_density`.

    Args:
        krylov: a run from a random frame, or a complete one.
        traces: (*batch,), tr H if known: random weights w of each column become
            w (1 + a (theta - mean)), with a such that the first moment of F is tr H / N, which
            about halves the squared random error.

    Returns:
        One density for each matrix of the batch, in order; a single one without a batch.
    """
    count = krylov.basis.shape[:-2].numel()

    def flat(part: Tensor, axes: int) -> NDArray[Any]:
        array: NDArray[Any] = part.reshape(count, *part.shape[-axes:]).cpu().numpy()
        return array

    scale = flat(eigenvalue_resolution(krylov), 1)[:, 0].tolist()
    if krylov.complete:
        return tuple(map(exact_density, flat(krylov.eigen[0], 1), scale))
    rules = informed_rules(krylov, traces)
    coarse = informed_rules(krylov, traces, max(1, rules.points.shape[-1] // krylov.width // 2))
    joint = zip(
        *(flat(part, 1) for part in (rules.points, rules.atoms, rules.doubt, rules.excess)),
        scale,
        strict=True,
    )
    fine, fewer = (
        zip(*(flat(part.expand_as(each.random), 2) for part in each.parts), strict=True)
        for each in (rules, coarse)
    )
    frame = _Frame(
        size=krylov.basis.shape[-2],
        width=krylov.width,
        precision=10 * torch.finfo(krylov.basis.dtype).eps,
    )
    free = rules.free.reshape(count).tolist()
    return tuple(
        _density(frame, _Joint.of(*nodes), _Rules(*one), _Rules(*other), left)
        for nodes, one, other, left in zip(joint, fine, fewer, free, strict=True)
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
class _Frame:
    """A random frame: (size, width), in numbers of a relative precision."""

    size: int
    width: int
    precision: float


@dataclass(frozen=True)
class _Joint:
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
    ) -> _Joint:
        """From all joint nodes, (k,)."""
        first = np.flatnonzero(np.diff(nodes, prepend=-np.inf) > scale)
        points = np.add.reduceat(nodes, first) / np.diff(first, append=len(nodes))
        return _Joint(points, np.maximum.reduceat(doubt, first), first, atoms, excess, scale)

    def bands(self, width: int) -> Bands:
        """A node of a rule is as wide as ``width`` points; a law is open by its residual, or so."""
        left, right = np.full((2, len(self.points)), np.inf)
        left[width:] = right[:-width] = self.points[width:] - self.points[:-width]
        near = np.minimum(left, right)
        reach = np.minimum(self.doubt, near)
        return Bands.of(self.points, reach, max(width, SPACINGS), width, self.scale)

    def leaked(self, weights: FloatArray, width: int) -> FloatArray:
        """(p,) mass that an atom within ``width`` points may have from them; weights are (k,)."""
        mass = np.add.reduceat(weights * self.excess, self.first)
        return np.convolve(mass, np.ones(2 * width + 1))[width : width + len(mass)]


@dataclass(frozen=True)
class _Rules:
    """Rules of the columns for one matrix, (columns, m); the k joint nodes come last."""

    places: FloatArray
    known: FloatArray
    random: FloatArray

    def laws(self, bands: Bands, joint: _Joint, *, atoms: bool = True) -> list[Staircase]:
        """The law of each column, with the atoms or without."""
        weights = self.known + self.random
        if not atoms:
            weights[:, -len(joint.atoms) :][:, joint.atoms] = 0.0
        return [
            Staircase.of(bands, places, shares, joint.scale)
            for places, shares in zip(self.places, weights, strict=True)
        ]


def _density(frame: _Frame, joint: _Joint, rules: _Rules, coarse: _Rules, free: int) -> Density:
    """The density of one matrix, of which ``free`` eigenvalues have random weights."""
    bands = joint.bands(frame.width)
    half, grid, one = max(1, frame.width // 2), bands.grid, 1 / frame.size
    bulk, fewer = (each.laws(bands, joint, atoms=False) for each in (rules, coarse))

    cumulative = frame_mean(np.stack([law.at(grid) for law in rules.laws(bands, joint)]), free)
    change = np.mean([law.at(grid) for law in bulk], 0) - np.mean(
        [law.at(grid) for law in fewer], 0
    )
    leaked = joint.leaked(rules.random[:, -len(joint.atoms) :].mean(0), frame.width)
    open_places = (_steepness(bulk, bands), leaked)
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


def _steepness(laws: list[Staircase], bands: Bands) -> FloatArray:
    """By how much the mean law F grows more over [x - r/2, x + r/2] than half over [x - r, x + r].

    A smooth law does not; one with a jump somewhere in there has half of the jump.
    """
    low, lower, upper, high = (
        np.mean([law.at(bands.points + part * bands.reach) for law in laws], axis=0)
        for part in (-1, -0.5, 0.5, 1)
    )
    steepness: FloatArray = upper - lower - (high - low) / 2
    return steepness
