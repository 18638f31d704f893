"""The drift's derivative and the noise of a step: what fluctuations around the path obey."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...models.heads import Head, curvature_factors, gradient_factors, joint_curvature_factors
from ..spectrum import FloatArray
from .drift import Drift
from .quadrature import Projection, project, quadrature
from .statistics import Statistics

__all__ = ["LinearNoise", "linear_noise"]

_WIDTH = 3e-3  # standard deviation of h, in units of h, given to directions with less
_STEIN = 0.1  # relative difference of the sides of Stein's lemma that quadrature does not explain
_ASYMMETRY = 1e-9  # largest third moment of a rule that counts as symmetric
_PLANE_LEVEL, _LEVEL = 3, 2  # of the quadrature, up to two dimensions and beyond


@dataclass(frozen=True)
class LinearNoise:
    """Linearisation of SGD around a state u of the dynamics.

    A fluctuation w of the state and its covariance Sigma follow

        dw/dt = J w,    dSigma/dt = J Sigma + Sigma J^T + Q/d.

    Attributes:
        jacobian: J = dF/du, (p, p). The columns of a v that is not trained are zero: it does not
            fluctuate.
        noise: Q = (c/B) Cov(increment of one sample), (p, p) positive semidefinite.
        smooth: whether E[g s] = E[dg/dh], as Stein's lemma has it. If not, g has jumps that
            automatic differentiation does not see (relu), and J lacks their part.
    """

    jacobian: FloatArray
    noise: FloatArray
    smooth: bool


def linear_noise(drift: Drift, state: FloatArray, factor: float = 1.0) -> LinearNoise:
    """J and Q at a state.

    For h ~ N(m, S) in each component and any function f of h,

        d E[f]/dm = E[f s],    d E[f]/dS = E[f (s s^T - S^-1)] / 2,    s = S^-1 (h - m),

    and by Stein's lemma F depends on (m, S, v) through E[g], E[dg/dh], E[g g^T] and E[d ell/dv].
    Directions in which h has a standard deviation below 3e-3 are widened to it, so that S^-1
    exists: at x = 0, or for repeated directions, J is that of a head smoothed on this scale.

    Args:
        drift: the drift.
        state: u, (p,).
        factor: of the schedule.

    Source: docs/theory.md, "Fluctuations".
    """
    statistics = drift.unpack(state)
    rule = _Rule(drift, statistics)
    jacobian, noise = np.zeros((2, len(state), len(state)))
    moving = slice(len(drift.rows) + rule.parameters)
    jacobian[moving, moving] = factor * _jacobian(drift, statistics, rule, factor)
    scale = factor**2 * drift.rate / drift.sgd.batch_size
    noise[moving, moving] = scale * _covariance(drift, rule, factor)
    return LinearNoise(jacobian, noise, rule.is_smooth())


def _widened(drift: Drift, statistics: Statistics) -> Projection:
    """The projection, with every direction that h can have at least `_WIDTH` wide."""
    c = drift.head.directions
    contrast = np.eye(c) - (1.0 / c if drift.head.shift_invariant else 0.0)
    floor = _WIDTH**2 * drift.law.snr
    values, vectors = np.linalg.eigh(contrast @ statistics.gram[:c, :c] @ contrast)
    missing = np.clip(floor - values, 0, floor)
    gram = statistics.gram.copy()
    gram[:c, :c] += contrast @ (vectors * missing) @ vectors.T @ contrast
    return project(replace(statistics, gram=gram), drift.head)


def _hermite(standard: FloatArray, weights: FloatArray) -> FloatArray:
    """Weights (N, 1 + r + r^2) of the coefficients of 1, z and z z^T - 1 at nodes z (N, r)."""
    n, r = standard.shape
    second = standard[:, :, None] * standard[:, None, :] - np.eye(r)
    polynomials = np.hstack([np.ones((n, 1)), standard, second.reshape(n, -1)])
    result: FloatArray = polynomials * (weights / weights.sum())[:, None]
    return result


class _Rule:
    """Expectations over h ~ N(m, S) in each component, with their derivatives in m and S.

    Attributes:
        parameters: q, or 0 if v is not trained: then it is left out of what follows.
        weights: (N,) of the nodes.
        gradient: d ell/d(h, v) at the nodes, (N, C+q).
        curvature: its derivative in (h, v), (N, C+q, C+q).
        pulls: E[Y . direction | node], (N, C+k).
        gradient_moments: `expectation` of the gradient.
        curvature_moments: `expectation` of the curvature.
        residual: (C+k, s); residual residual^T is the covariance of those products given the node.
    """

    def __init__(self, drift: Drift, statistics: Statistics) -> None:
        law, c = drift.law, drift.head.directions
        p = _widened(drift, statistics)
        nodes = quadrature(p, law, _PLANE_LEVEL if p.active <= 2 else _LEVEL)
        components, weights = nodes.components, nodes.weights
        means = p.coordinates[: p.active, c:].T[components]
        standard = (nodes.active - means) * law.snr**0.5
        if np.abs(weights @ standard**3).max(initial=0.0) > _ASYMMETRY:
            # Odd moments, which ought to vanish, would be multiplied by powers of S^-1.
            standard = np.vstack([standard, -standard])
            components, weights = np.tile(components, 2), np.tile(weights / 2, 2)
            means = np.tile(means, (2, 1))
        active = means + standard * law.snr**-0.5
        self.weights = weights
        inside = [np.flatnonzero(components == b) for b in range(len(law.weights))]
        self._hermite = [(at, _hermite(standard[at], weights[at])) for at in inside]
        rest = p.coordinates[p.active :]
        self.pulls = active @ p.coordinates[: p.active] + rest[:, c:].T[components] @ rest
        self.residual = rest.T * law.snr**-0.5
        self._to_score = np.linalg.pinv(p.to_preactivations) * law.snr**0.5
        self.parameters = drift.head.parameters if drift.sgd.second_layer_rate > 0 else 0
        self.gradient, self.curvature = _derivatives(
            drift.head,
            active @ p.to_preactivations,
            statistics.parameters,
            law.labels[components],
            joint=self.parameters > 0,
        )
        self.gradient_moments = self.expectation(self.gradient)
        self.curvature_moments = self.expectation(self.curvature)

    def expectation(self, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """E[f | component] (k, ...), its derivatives in m (k, ..., C) and in S (k, ..., C, C).

        Args:
            values: f at the nodes, (N, ...).
        """
        shape, flat = values.shape[1:], values.reshape(len(values), -1)
        r = self._to_score.shape[1]
        moments = np.stack([flat[at].T @ hermite for at, hermite in self._hermite])
        first = moments[..., 1 : 1 + r] @ self._to_score.T
        second = moments[..., 1 + r :].reshape(*moments.shape[:2], r, r)
        second = self._to_score @ second @ self._to_score.T / 2
        k, c = len(moments), len(self._to_score)
        return (
            moments[..., 0].reshape(k, *shape),
            first.reshape(k, *shape, c),
            second.reshape(k, *shape, c, c),
        )

    def is_smooth(self) -> bool:
        """Whether both sides of Stein's lemma agree."""
        c = len(self._to_score)
        by_score = self.gradient_moments[1][:, :c]
        by_curvature = self.curvature_moments[0][:, :c, :c]
        difference = np.abs(by_score - by_curvature).max(initial=0.0)
        scale = max(np.abs(by_score).max(initial=0.0), np.abs(by_curvature).max(initial=0.0))
        return bool(difference <= _STEIN * scale)


def _derivatives(
    head: Head, h: FloatArray, v: FloatArray, labels: np.ndarray, joint: bool
) -> tuple[FloatArray, FloatArray]:
    """First derivative of ell in h or, if joint, in (h, v), (N, P), and second, (N, P, P)."""
    gradient, by_parameters = gradient_factors(head, h, v, labels)
    if joint:
        gradient = np.hstack([gradient, by_parameters])
    return gradient, (joint_curvature_factors if joint else curvature_factors)(head, h, v, labels)


def _jacobian(drift: Drift, statistics: Statistics, rule: _Rule, factor: float) -> FloatArray:
    """Derivative of F(u)/factor: one variation of (G, v) for each entry of u, on the last axis."""
    sgd, a, c = drift.sgd, drift.trained, drift.head.directions
    gram, weights, snr = statistics.gram, drift.law.weights, drift.law.snr
    entries, q = len(drift.rows), rule.parameters
    moved = np.arange(entries)
    dgram = np.zeros((len(gram), len(gram), entries + q))
    dgram[drift.rows, drift.columns, moved] = dgram[drift.columns, drift.rows, moved] = 1.0
    dmean = dgram[:c, c:]  # (C, k, p)
    dcovariance = dgram[:c, :c] / snr

    g, mixed = rule.gradient[:, :a], rule.curvature[:, :a, c:]
    gradient = rule.gradient_moments[0]
    curvature, curvature_m, curvature_s = rule.curvature_moments
    _, products_m, products_s = rule.expectation(g[:, :, None] * g[:, None, :])
    product_v = np.einsum("nav,nb->abv", mixed, rule.weights[:, None] * g)

    dgradient = np.einsum("bge,ebp->bgp", curvature[:, :, :c], dmean)
    dgradient += np.tensordot(curvature_m[:, :, :c], dcovariance, 2) / 2
    dgradient[:, :, entries:] += curvature[:, :, c:]
    dhessian = np.einsum("baef,fbp->baep", curvature_m[:, :a, :c], dmean)
    dhessian += np.tensordot(curvature_s[:, :a, :c], dcovariance, 2)
    dhessian[..., entries:] += curvature_m[:, :a, c:].swapaxes(2, 3)
    dproducts = np.einsum("baef,fbp->aep", weights[:, None, None, None] * products_m, dmean)
    dproducts += np.tensordot(np.tensordot(weights, products_s, 1), dcovariance, 2)
    dproducts[..., entries:] += product_v + product_v.swapaxes(0, 1)

    # E[g_a r.Y | b] = E[g_a | b] r.mu_b + sum_e E[D_ae | b] (x_e.r)/snr for every direction r
    hessian = np.tensordot(weights, curvature[:, :a, :c], 1)
    dpull = np.tensordot(dgradient[:, :a], weights * gram[:, c:], (0, 1)).swapaxes(1, 2)
    dpull += np.einsum("ba,rbp->arp", weights[:, None] * gradient[:, :a], dgram[:, c:])
    dpull += np.tensordot(np.tensordot(weights, dhessian, 1), gram[:c], (1, 0)).swapaxes(1, 2) / snr
    dpull += np.tensordot(hessian, dgram[:c], 1) / snr
    dflow = np.zeros_like(dgram)
    dflow[:a] = -dpull - sgd.ridge * dgram[:a]
    dflow += dflow.swapaxes(0, 1)
    dflow[:a, :a] += factor * drift.rate / (sgd.batch_size * snr) * dproducts
    dv = -sgd.second_layer_rate * np.tensordot(weights, dgradient[:, c:], 1)
    dv[:, entries:] -= sgd.second_layer_rate * sgd.ridge * np.eye(q)
    return np.concatenate([dflow[drift.rows, drift.columns], dv])


def _covariance(drift: Drift, rule: _Rule, factor: float) -> FloatArray:
    """Covariance over samples of one sample's part in the increment, divided by delta."""
    sgd, a, c = drift.sgd, drift.trained, drift.head.directions
    rows, columns = drift.rows, drift.columns
    paired = columns < a
    g, g_v = rule.gradient[:, :a], rule.gradient[:, c:]

    def increments(g: FloatArray, pulls: FloatArray) -> FloatArray:
        """-(g_a Y.r), and for two trained directions -(g_a Y.x_c) - (g_c Y.x_a)."""
        result = -g[:, rows] * pulls[:, columns]
        result[:, paired] -= g[:, columns[paired]] * pulls[:, rows[paired]]
        return result

    whole = np.hstack([increments(g, rule.pulls), -sgd.second_layer_rate * g_v])
    correction = factor * drift.rate / (sgd.batch_size * drift.law.snr)
    whole[:, : len(rows)][:, paired] += correction * g[:, rows[paired]] * g[:, columns[paired]]
    whole -= rule.weights @ whole
    covariance = (whole.T * rule.weights) @ whole
    squares = (g.T * rule.weights) @ g
    for pull in rule.residual.T:
        by_entry = increments(np.eye(a), pull[None])  # linear in g
        covariance[: len(rows), : len(rows)] += by_entry.T @ squares @ by_entry
    return covariance
