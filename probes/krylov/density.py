"""The spectral density by stochastic Lanczos quadrature, from a Krylov space already built."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ...theory.spectrum import Density
from .block_lanczos import Krylov
from .column_rules import ColumnRules, column_rules, eigenvalue_resolution
from .exact_density import exact_density
from .sampled_density import Frame, FrameRules, JointNodes, sampled_density

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
    frame = Frame(
        size=krylov.basis.shape[-2],
        width=krylov.width,
        precision=10 * torch.finfo(krylov.basis.dtype).eps,
    )
    free = rules.free.reshape(count).tolist()
    return tuple(
        sampled_density(frame, JointNodes.of(*nodes), FrameRules(*one), FrameRules(*other), left)
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
