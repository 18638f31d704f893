"""How much an outlier moves from one probe sample to the next.

To first order lam moves by overlap * w^T (K_n - K) w. With b = M_h: L^T w the pull of a sample on
the rest of the space, u = M b, Gamma = E[u u^T] and Y = (dF)^(-T) Gamma, dF the linearised equation
(1), two independent parts of K_n fluctuate at the order n^(-1/2):

* the sample's own (D, z): a mean over samples of  psi = w^T L M~ L^T w - <Y, A>,  whose second part
  is the change of P with the empirical law of D;
* the noise orthogonal to the span, through pairs of different samples: a bilinear form in
  independent Gaussian vectors, of variance  -2 <Y, P Gamma P>.

    n Var(lam) = overlap^2 ( Var psi - 2 <Y, P Gamma P> ).

Derived in docs/theory.md, section on the fluctuations of outliers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..spectrum import FloatArray
from .law import CurvatureLaw
from .matrix_equation import MatrixEquation, packing
from .outliers import Outlier

__all__ = ["Pull", "outlier_noise", "pull"]


@dataclass(frozen=True)
class Pull:
    """What the samples, or a change of their law, do to an outlier through P.

    Attributes:
        inverses: M = (P + D)^(-1) at the nodes, (N, m, m).
        constant: the part of b = M_h: L^T w that v brings, not D and z, at the nodes, (N, m).
        moment: Gamma = E[u u^T], u = M b, (m, m): w^T K w changes by <Gamma, dP> with P.
        response: Y = (dF)^(-T) Gamma, (m, m): a change dF of F at this P, the point lam being kept,
            changes w^T K w by -<Y, dF>.
    """

    inverses: FloatArray
    constant: FloatArray
    moment: FloatArray
    response: FloatArray


def pull(law: CurvatureLaw, outlier: Outlier) -> Pull:
    """The pull on one of the outliers of a law whose nodes are not merged.

    Raises:
        ValueError: if the nodes of the law have been merged.
    """
    if law.means is None:
        raise ValueError("law: expected the means of z at the nodes, got a compressed law")
    m, r, weights = law.rows, law.span, law.weights
    at = MatrixEquation(law).evaluate(outlier.p)
    inverses = np.moveaxis(at.inverses[packing(m)[1]], -1, 0)
    w = outlier.direction[: m * r].reshape(m, r)
    constant = np.zeros((len(weights), m))
    if law.joint is not None:
        constant = law.joint.cross @ outlier.direction[m * r :]
    turned = inverses @ law.factors
    u = (turned @ (law.means @ w.T)[:, :, None] + inverses @ constant[:, :, None])[:, :, 0]
    moment = (u * weights[:, None]).T @ u
    free = w[:, r - law.free :]
    spread = turned @ (free @ free.T / law.snr) * weights[:, None, None]
    moment += np.tensordot(spread, turned, ((0, 2), (0, 2)))
    response = np.linalg.solve(at.derivative.T, moment.reshape(-1)).reshape(m, m)
    return Pull(inverses, constant, moment, (response + response.T) / 2)


def outlier_noise(law: CurvatureLaw, outlier: Outlier) -> float:
    """sqrt(n) times the standard deviation of an outlier over probe samples of n points.

    Args:
        law: the law of D, its nodes not merged.
        outlier: one of its outliers. Of a degenerate group the mean moves like this; its members
            spread.

    Raises:
        ValueError: if the nodes of the law have been merged.
    """
    moved = pull(law, outlier)
    assert law.means is not None
    m, r, weights, p, y = law.rows, law.span, law.weights, outlier.p, moved.response
    a = p - p @ moved.inverses @ p
    w = outlier.direction[: m * r].reshape(m, r)
    # w^T L M~ L^T w is a quadratic form of w z, and of v.
    form, shift = np.zeros(len(weights)), np.zeros((len(weights), m))
    if law.joint is not None:
        inner = outlier.direction[m * r :]
        solved = np.einsum("nab,nb->na", moved.inverses, moved.constant)
        form = np.einsum("i,nij,j->n", inner, law.joint.inner, inner)
        form -= np.einsum("na,na->n", moved.constant, solved)
        shift = solved @ p
    # Mean and variance of psi given the node, where the free coordinates of z are Gaussian.
    known, unknown = law.means @ w.T, w[:, r - law.free :] @ w[:, r - law.free :].T / law.snr
    half = (a @ known[:, :, None])[:, :, 0] + shift
    spread = a @ unknown
    psi = form + ((half + shift) * known).sum(1)
    psi += (a * (unknown - y)).sum((1, 2))
    given = 4 * ((half @ unknown) * half).sum(1)
    given += 2 * (spread * np.swapaxes(spread, 1, 2)).sum((1, 2))
    mean = float(weights @ psi)
    own = float(weights @ ((psi - mean) ** 2 + given))
    pairs = -2 * float(np.sum(y * (p @ moved.moment @ p)))
    return outlier.overlap * math.sqrt(max(own + pairs, 0.0))
