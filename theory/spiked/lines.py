"""Where the landscape and the algorithms change, over the noise of matrix and tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from scipy.optimize import brentq

from ...models.arguments import require_arguments
from .complexity import largest_complexity
from .covariance import Covariance

__all__ = ["Lines", "Threshold", "lines", "threshold"]

_NOISE = {"unit": "1, a value of Delta_2"}


@dataclass(frozen=True)
class Lines:
    """Values of Delta_2 at one Delta_p, below each of which a thing holds; None if there is none.

    Attributes:
        trivialisation: no minimum is orthogonal to the signal.
        gradient_flow: it finds the signal from a random start (arXiv 1907.08226).
        maximum_likelihood_amp: that approximate message passing does.
        bayes_amp: the Bayes-optimal one does.
    """

    trivialisation: float | None = field(metadata=_NOISE)
    gradient_flow: float | None = field(metadata=_NOISE)
    maximum_likelihood_amp: float | None = field(metadata=_NOISE)
    bayes_amp: float | None = field(metadata=_NOISE)


@dataclass(frozen=True)
class Threshold:
    """The states that a descent without signal approaches as t^(-2/3).

    Attributes:
        multiplier: 2 sigma, at which the bulk of the Hessian touches zero.
        energy: at which marginal states dominate, by one step of replica symmetry breaking: exact
            with a tensor or a matrix alone, approximate with both (descent ends about 1e-3 above).
    """

    multiplier: float = field(metadata={"unit": "energy per squared coordinate"})
    energy: float = field(metadata={"unit": "energy per coordinate"})


def lines(tensor_noise: float | None, order: int = 3) -> Lines:
    """The four lines; without a tensor all of them are the transition of the spiked matrix, 1.

        trivialisation:  sup over mu >= 2 sigma of Sigma(m = 0, mu) = 0
        gradient flow:   Q''(0) = sigma,       2 D / (D + (D^2 + 4 (p - 1) D)^(1/2)),  D = Delta_p
        maximum-likelihood AMP:  Q''(0) = Q'(1)^(1/2),  2 D / (D + (D^2 + 4 D)^(1/2))
        Bayes-optimal AMP:  Q''(0) = 1

    Args:
        tensor_noise: Delta_p; None without a tensor.
        order: p.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    require_arguments(lines, locals())
    Covariance(1.0, tensor_noise, order)  # refuses what is none
    if tensor_noise is None:
        return Lines(1.0, 1.0, 1.0, 1.0)

    def excess(log_noise: float) -> float:
        return largest_complexity(Covariance(math.exp(log_noise), tensor_noise, order), 0.0)

    flow = _line(tensor_noise, order - 1)
    # Minima at m = 0 are unstable where the flow's outlier is out, and for less noise rarer still.
    upper, step = math.log(flow), 0.5
    lower = upper - step
    while excess(lower) > 0:
        upper, lower, step = lower, lower - step, 2 * step
    trivial = math.exp(brentq(excess, lower, upper, xtol=1e-13)) if excess(upper) > 0 else flow
    return Lines(trivial, flow, _line(tensor_noise, 1), 1.0)


def threshold(covariance: Covariance) -> Threshold:
    """mu = 2 sigma,  e = -(Q'(1) chi + y Q(1)),  chi = 1/sigma,  y = 1/(chi Q'(1)) - chi.

    Args:
        covariance: Q.
    """
    chi, slope = 1 / covariance.sigma, covariance.slope(1.0)
    y = 1 / (chi * slope) - chi
    return Threshold(2 * covariance.sigma, -(slope * chi + y * covariance.value(1.0)))


def _line(noise: float, factor: int) -> float:
    """Delta with 1/Delta = (1/Delta + factor/noise)^(1/2)."""
    return 2 * noise / (noise + math.sqrt(noise**2 + 4 * factor * noise))
