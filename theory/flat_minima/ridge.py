"""The ridge classifier of two Gaussian clusters, and how its errors grow as it is perturbed.

    x = y mu + xi,  |mu| = 1,  xi ~ N(0, D I_N),  y = 1 with probability rho, -1 otherwise, n = a N
    w, b = argmin sum_i (y_i - w.x_i - b)^2 + N lam |w|^2      (without a bias: b = 0)

With c = 2 rho - 1 and kappa = 1 - c^2 (c = 0, kappa = 1 without a bias), m = w.mu, q = |w|^2, and
u = 1 / (1 + V) the share of a residual that is left when its sample is trained on:

    a D u^2 + (lam + D - a D) u = lam,      L = lam / u = D / (1 - u) - a D
    m = a kappa / (L + a (kappa + D)),      b = c (1 - m)
    k = a D / (a D + L)^2,                  q = (m^2 + k kappa (1 - m)^2) / (1 - k D)
    margins h ~ N(m + y b, D q) of new samples,   1 - u (1 - h) of those trained on

(docs/flat-minima.md; balanced, in other variables: arXiv 2006.06560.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr

from ...models.arguments import require_arguments, require_fields
from ..spectrum import FloatArray

__all__ = ["Clusters", "RidgeSolution", "Solution", "bayes_error", "ridge_solution"]


@dataclass(frozen=True)
class Clusters:
    """The law of the data.

    Attributes:
        noise: D, variance of each coordinate about its cluster's mean.
        fraction: rho of the first cluster, for a classifier with a bias; None for two clusters
            alike and none.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    noise: float
    fraction: float | None = None

    def __post_init__(self) -> None:
        require_fields(self)
        _require_positive("noise", self.noise)
        if self.fraction is not None and not 0 < self.fraction < 1:
            raise ValueError(
                f"fraction: expected a number between 0 and 1, or None, got {self.fraction}"
            )

    @property
    def imbalance(self) -> float:
        """c = E y; 0 without a bias."""
        return 0.0 if self.fraction is None else 2 * self.fraction - 1

    @property
    def shares(self) -> tuple[tuple[float, float], ...]:
        """(probability, y) of each cluster; one for both where they are alike."""
        if self.fraction is None:
            return ((1.0, 1.0),)
        return (self.fraction, 1.0), (1 - self.fraction, -1.0)


@dataclass(frozen=True)
class Solution:
    """What new samples see of a linear classifier sign(w.x + b).

    Attributes:
        clusters: the law of the data.
        overlap: m = w.mu, signed.
        norm: q = |w|^2.
        bias: b.
    """

    clusters: Clusters
    overlap: float = field(metadata={"unit": "1"})
    norm: float = field(metadata={"unit": "squared parameter"})
    bias: float = field(default=0.0, metadata={"unit": "1"})

    def test_error(self, perturbation: FloatArray | float = 0.0) -> FloatArray:
        """P(margin < 0) of a new sample after w <- w + s |w| g / N^(1/2), in the shape of s."""
        return self._error(1.0, perturbation)

    def test_loss(self, perturbation: FloatArray | float = 0.0) -> FloatArray:
        """E (1 - margin)^2 of a new sample likewise."""
        return self._loss(1.0, perturbation)

    def _error(self, kept: float, perturbation: FloatArray | float) -> FloatArray:
        """Of margins 1 - u (1 - h), u = ``kept``."""
        s = np.asarray(perturbation, dtype=np.float64)
        deviation = np.sqrt(self.clusters.noise * self.norm * (kept**2 + s**2))
        total = np.zeros_like(s)
        for probability, label in self.clusters.shares:
            mean = 1 - kept * (1 - self.overlap - label * self.bias)
            with np.errstate(divide="ignore"):
                ratio = np.divide(-mean, deviation)
            total = total + probability * ndtr(ratio)
        return total

    def _loss(self, kept: float, perturbation: FloatArray | float) -> FloatArray:
        s = np.asarray(perturbation, dtype=np.float64)
        miss = sum(
            probability * (1 - self.overlap - label * self.bias) ** 2
            for probability, label in self.clusters.shares
        )
        loss: FloatArray = kept**2 * miss + self.clusters.noise * self.norm * (kept**2 + s**2)
        return loss


@dataclass(frozen=True)
class RidgeSolution(Solution):
    """The minimiser, which has seen its training samples.

    Attributes:
        residual_share: u = 1 / (1 + V).
    """

    residual_share: float = field(default=1.0, metadata={"unit": "1"})

    def train_error(self, perturbation: FloatArray | float = 0.0) -> FloatArray:
        """P(margin < 0) of a sample trained on, after the same perturbation."""
        return self._error(self.residual_share, perturbation)

    def train_loss(self, perturbation: FloatArray | float = 0.0) -> FloatArray:
        """E (1 - margin)^2 of a sample trained on."""
        return self._loss(self.residual_share, perturbation)


def ridge_solution(clusters: Clusters, samples_per_dimension: float, ridge: float) -> RidgeSolution:
    """m, q, b and u for N to infinity.

    Args:
        clusters: the law of the data.
        samples_per_dimension: a = n/N.
        ridge: lam >= 0; 0 is the limit, which interpolates below a = 1.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    require_arguments(ridge_solution, locals())
    _require_positive("samples_per_dimension", samples_per_dimension)
    if not (math.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge: expected a number of at least 0, got {ridge}")
    if ridge == 0 and samples_per_dimension == 1:
        raise ValueError("ridge: expected a positive number at n = N, where |w| diverges, got 0")
    c = clusters.imbalance
    u, left = _residual_share(clusters.noise * samples_per_dimension, clusters.noise, ridge)
    kappa, signal = 1 - c * c, clusters.noise * samples_per_dimension
    m = samples_per_dimension * kappa / (left + samples_per_dimension * kappa + signal)
    k = signal / (signal + left) ** 2
    q = (m * m + k * kappa * (1 - m) ** 2) / (1 - k * clusters.noise)
    return RidgeSolution(clusters, m, q, c * (1 - m), u)


def _residual_share(signal: float, noise: float, ridge: float) -> tuple[float, float]:
    """u and L, for a D, D and lam: the positive root, without cancellation."""
    half = (ridge + noise - signal) / 2
    root = math.hypot(half, math.sqrt(signal) * math.sqrt(ridge))
    if half > 0:
        return ridge / (half + root), half + root
    u = (root - half) / signal
    return u, ridge / u


def bayes_error(clusters: Clusters, samples_per_dimension: float) -> float:
    """Phi(-1 / (D (1 + D / a))^(1/2)): what no estimator from n samples beats, balanced clusters.

    It is the test error of the ridge classifier for lam to infinity (arXiv 2006.06560).

    Args:
        clusters: of which both occur alike.
        samples_per_dimension: a.

    Raises:
        ValueError: if a is not positive, or the clusters are not alike.
    """
    require_arguments(bayes_error, locals())
    _require_positive("samples_per_dimension", samples_per_dimension)
    if clusters.imbalance:
        raise ValueError(f"fraction: expected 1/2 or None, got {clusters.fraction}")
    d = clusters.noise
    return float(ndtr(-1 / math.sqrt(d * (1 + d / samples_per_dimension))))


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: expected a positive number, got {value}")
