"""How many minima the energy has at an overlap, a multiplier and an energy."""

from __future__ import annotations

import math

from scipy.optimize import brentq

from ...models.arguments import require_arguments
from .covariance import Covariance

__all__ = ["complexity", "largest_complexity"]

_SAME_ENERGY = 1e-9  # relative, of a model in which the multiplier fixes the energy


def complexity(
    covariance: Covariance, overlap: float, multiplier: float, energy: float | None = None
) -> float:
    """Sigma = lim (1/N) ln E[number of minima at (m, mu) or (m, mu, e)], annealed.

        Sigma(m, mu) = 1/2 + 1/2 ln(Q''(1)/Q'(1)) + 1/2 ln(1 - m^2)
                       - Q'(m)^2 (1 - m^2) / (2 Q'(1)) + Phi(mu/sigma)
                       - (mu - Q'(m) m)^2 / (2 V) - L

    with V = Q'(1) + Q''(1), Phi the logarithmic potential of the semicircle, and L the cost of
    holding a direction of strength theta = Q''(m) (1 - m^2) above the bulk's lower edge:

        L = theta (rho - t)/2 - (rho^2 - t^2)/8 - (1/4) int_t^rho (y^2 - 4)^(1/2) dy

    in units of sigma, with t = mu, rho = theta + 1/theta, for theta > 1 and t < rho, else 0. With
    the energy the Gaussian law of mu becomes that of (e, mu). See docs/spiked.md.

    Args:
        covariance: Q.
        overlap: m, |m| < 1.
        multiplier: mu.
        energy: e; None for all energies together.

    Returns:
        Sigma; -inf where there are no minima: for mu < 2 sigma, and at energies other than -mu/p
        where a matrix or a tensor stands alone.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    require_arguments(complexity, locals())
    if not -1 < overlap < 1:
        raise ValueError(f"overlap: expected a number above -1 and below 1, got {overlap}")
    for name, number in (("multiplier", multiplier), ("energy", energy)):
        if number is not None and not math.isfinite(number):
            raise ValueError(f"{name}: expected a finite number, got {number}")
    q, m, sigma = covariance, overlap, covariance.sigma
    t = multiplier / sigma
    if t < 2:
        return -math.inf
    free, slope, first = 1 - m * m, q.slope(m), q.slope(1.0)
    volume = 0.5 + 0.5 * math.log(q.curvature(1.0) / first * free) - slope**2 * free / (2 * first)
    likely = _log_likelihood(q, m, multiplier, energy)
    return volume + _potential(t) + likely - _cost(q.curvature(m) * free / sigma, t)


def largest_complexity(covariance: Covariance, overlap: float) -> float:
    """sup over mu >= 2 sigma of Sigma(m, mu), which is concave in mu.

    Args:
        covariance: Q.
        overlap: m, |m| < 1.
    """
    q, sigma = covariance, covariance.sigma
    theta = q.curvature(overlap) * (1 - overlap**2) / sigma
    pull = q.slope(overlap) * overlap / sigma
    stiffness = sigma**2 / q.multiplier_variance

    def slope(t: float) -> float:
        root = math.sqrt(t * t - 4)
        change = (t - root) / 2 - (t - pull) * stiffness
        if theta > 1 and t < theta + 1 / theta:
            change += theta / 2 - (t + root) / 4
        return change

    far = 4 + max(pull, 0.0) + 2 / stiffness + max(theta, 1.0)
    t = 2.0 if slope(2.0) <= 0 else float(brentq(slope, 2.0, far, xtol=1e-14))
    return complexity(covariance, overlap, max(t, 2.0) * sigma * (1 + 1e-16))


def _log_likelihood(q: Covariance, m: float, multiplier: float, energy: float | None) -> float:
    """Of mu, or of energy and mu, at a fixed point: (1/N) ln of their density."""
    shift, variance = multiplier - q.slope(m) * m, q.multiplier_variance
    if energy is None:
        return -shift * shift / (2 * variance)
    lift = energy + q.value(m)
    if q.homogeneous:
        if abs(multiplier + q.degree * energy) > _SAME_ENERGY * abs(multiplier):
            return -math.inf
        return -shift * shift / (2 * variance)
    own, shared = q.value(1.0), -q.slope(1.0)
    determinant = own * variance - shared**2
    square = variance * lift * lift - 2 * shared * lift * shift + own * shift * shift
    return -square / (2 * determinant)


def _potential(t: float) -> float:
    """int ln|t - y| of the semicircle on [-2, 2], for t >= 2."""
    return t * t / 4 - 0.5 - _area(t) / 2


def _area(t: float) -> float:
    """int_2^t (y^2 - 4)^(1/2) dy."""
    root = math.sqrt(max(t * t - 4, 0.0))
    return t * root / 2 - 2 * math.log((t + root) / 2)


def _cost(theta: float, t: float) -> float:
    """L, of a lowest eigenvalue held above the place of its outlier."""
    if theta <= 1 or t >= theta + 1 / theta:
        return 0.0
    rho = theta + 1 / theta
    return theta * (rho - t) / 2 - (rho**2 - t**2) / 8 - (_area(rho) - _area(t)) / 4
