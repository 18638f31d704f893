"""Jacobi coefficients of the measured spectral law, from a Krylov space already built."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ...theory.recurrence import PointMasses, lanczos
from ...theory.spectrum import FloatArray, Jacobi
from .block_lanczos import Krylov
from .column_rules import eigenvalue_resolution
from .density import informed_rules
from .frame_mean import frame_mean

__all__ = ["exact_jacobi", "law_jacobi"]


def law_jacobi(krylov: Krylov, count: int, traces: Tensor | None = None) -> tuple[Jacobi, ...]:
    """Coefficients of the law F = mean_j F_j that `density.spectral_densities` draws, for each H.

    They are Lanczos's coefficients from a start with equal parts of all eigenvectors: an isolated
    eigenvalue that the space has found weighs exactly 1/N. The mean of the coefficients of each
    start (`LanczosCoefficients`) is another thing: starts have random parts of an outlier, notice
    it at different steps, and the mean is smeared there.

    Standard errors are over the columns, to first order in their laws F_j,

        d log beta_k = (1/2) int (p_(k+1)^2 - p_k^2) dF,
        d alpha_k = int (beta_k p_k p_(k+1) - beta_(k-1) p_(k-1) p_k) dF.

    and no less than what known eigenvalues may be off; those that differ by rounding alone are one
    point of the law. In a complete space the coefficients are exact and errors are 0.

    Args:
        krylov: a run from a random frame, or a complete one.
        count: coefficients on the diagonal; fewer if the space has fewer steps, or the law fewer
            points.
        traces: (*batch,), tr H if known, as for the density.

    Returns:
        One for each matrix of the batch, in order; a single one without a batch.
    """
    rules = informed_rules(krylov, traces)
    weights = rules.known + rules.random
    nodes = rules.nodes.expand_as(weights)
    if not krylov.complete:
        count = min(count, krylov.eigen[0].shape[-1] // krylov.width)
    flat = [array.reshape(-1, *array.shape[-2:]).cpu().numpy() for array in (nodes, weights)]
    free = rules.free.reshape(-1).cpu().numpy()
    scale = eigenvalue_resolution(krylov).reshape(-1).cpu().numpy()
    rounding = rules.rounding.reshape(-1).cpu().numpy()
    return tuple(
        _jacobi(theta, shares, count, int(left), float(same), float(moved))
        for theta, shares, left, same, moved in zip(*flat, free, scale, rounding, strict=True)
    )


def exact_jacobi(nodes: FloatArray, weights: FloatArray, count: int, scale: float) -> Jacobi:
    """Coefficients of a law that is known, without errors.

    Args:
        nodes: (m,) its points; those closer than ``scale`` are one.
        weights: (m,) theirs, summing to 1.
        count: coefficients on the diagonal; fewer if the law has fewer points.
        scale: what rounding makes of a point.
    """
    return _jacobi(nodes[None], weights[None], count, 0, scale, 0.0)


def _jacobi(
    nodes: FloatArray, weights: FloatArray, count: int, free: int, scale: float, rounding: float
) -> Jacobi:
    """From rules (columns, m); ``free`` eigenvalues have random weights."""
    points, table = _table(nodes, weights, scale)
    mean = table.mean(0)
    alpha, beta, basis = lanczos(PointMasses(points, mean / mean.sum()), count + 1)
    # Where the law has no more points there is no p_k either, and beta_(k-1) is zero.
    steps = np.append(beta, 0.0)
    following = np.concatenate([basis[1:], np.zeros_like(basis[:1])])
    change = table / mean - 1
    products = steps * (change @ (basis * following).T)
    squares = change @ (basis * basis).T
    diagonal = np.diff(products, axis=1, prepend=0.0)
    off_diagonal = beta * np.diff(squares, axis=1) / 2
    count = min(count, len(alpha))
    return Jacobi(
        alpha[:count],
        beta[: count - 1],
        np.maximum(frame_mean(diagonal[:, :count], free).error, rounding),
        np.maximum(frame_mean(off_diagonal[:, : count - 1], free).error, rounding),
    )


def _table(nodes: FloatArray, weights: FloatArray, scale: float) -> tuple[FloatArray, FloatArray]:
    """All nodes with weight, (k,), and the weight that each column has there, (columns, k).

    Nodes closer than ``scale`` to their neighbours are one, at their mean.
    """
    present = weights > 0
    order = np.argsort(nodes[present])
    ascending = nodes[present][order]
    first = np.flatnonzero(np.diff(ascending, prepend=-np.inf) > scale)
    count = np.diff(first, append=len(ascending))
    table = np.zeros((len(weights), len(first)))
    columns = np.nonzero(present)[0][order]
    np.add.at(table, (columns, np.repeat(np.arange(len(first)), count)), weights[present][order])
    return np.add.reduceat(ascending, first) / count, table
