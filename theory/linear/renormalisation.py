"""The ridge as the modes see it: renormalised once by the samples, once by the features.

    lam = kappa1 (1 - df / P),   kappa1 = kappa2 (1 - df / N),   df = sum_k m_k s_k / (s_k + kappa2)

kappa1 / lam and kappa2 / kappa1 are the S-transforms of the sample's Wishart matrix and of F F^T.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spectrum import FloatArray
from .problem import LinearProblem

__all__ = ["ComplexArray", "Renormalisation", "sign_change"]

ComplexArray = NDArray[np.complex128]

_STEPS = 200  # of Newton's method and of bisections, which take far fewer


@dataclass(frozen=True, eq=False)
class Renormalisation:
    """lam as a function of kappa2, and back on the real axis.

    Attributes:
        eigenvalues: (K,) positive s_k.
        multiplicity: (K,) m_k.
        samples: P.
        features: N.
    """

    eigenvalues: FloatArray
    multiplicity: FloatArray
    samples: float
    features: float

    @classmethod
    def of(cls, problem: LinearProblem) -> Renormalisation:
        """The one of a problem; eigenvalues that are zero play no part."""
        positive = problem.spectrum > 0
        return cls(
            problem.spectrum[positive],
            problem.multiplicity[positive],
            problem.samples,
            problem.features,
        )

    @cached_property
    def weights(self) -> FloatArray:
        """(K,) m_k s_k."""
        return self.multiplicity * self.eigenvalues

    @cached_property
    def per_sample(self) -> float:
        """1/P; a complex number divided by infinity would not be 0."""
        return 1 / self.samples

    @cached_property
    def per_feature(self) -> float:
        """1/N."""
        return 1 / self.features

    def degrees(self, kappa: Any) -> Any:
        """df,  of the shape of ``kappa``."""
        kappa = np.asarray(kappa)
        return (1 / (self.eigenvalues + kappa[..., None])) @ self.weights

    def ridge(self, kappa: Any) -> tuple[Any, Any, Any]:
        """lam, dlam/dkappa2 and dkappa1/dkappa2,  each of the shape of ``kappa``."""
        kappa = np.asarray(kappa)
        g = 1 / (self.eigenvalues + kappa[..., None])
        df = g @ self.weights
        slope = -(g * g) @ self.weights
        first, second = 1 - df * self.per_sample, 1 - df * self.per_feature
        rate1 = second - kappa * slope * self.per_feature
        rate = rate1 * first - kappa * second * slope * self.per_sample
        return kappa * second * first, rate, rate1

    def first(self, lam: Any, kappa: Any, df: Any) -> Any:
        """kappa1,  by whichever of its two equations does not cancel as lam goes to 0."""
        if self.features < self.samples:
            return lam / (1 - df * self.per_sample)
        return kappa * (1 - df * self.per_feature)

    @cached_property
    def rank_of_covariance(self) -> float:
        """Number of positive eigenvalues of Sigma."""
        return float(self.multiplicity.sum())

    @property
    def rank(self) -> float:
        """Number of positive eigenvalues of the empirical matrix: min(N, P, those of Sigma)."""
        return min(self.samples, self.features, self.rank_of_covariance)

    def solve(self, ridges: FloatArray) -> FloatArray:
        """kappa2 at ridges lam >= 0, (L,); at 0 its limit from above.

        lam is convex and increasing in kappa2 to the right of the last zero of lam / kappa2, so
        that Newton's method from above never overshoots.
        """
        kappa = ridges + float(self.weights.sum()) * (self.per_sample + self.per_feature)
        for _ in range(_STEPS):
            value, rate, _ = self.ridge(kappa)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = np.where(value > ridges, (value - ridges) / rate, 0.0)
            # Rounding alone can carry the last step to where lam is not positive.
            kappa = np.where(step < kappa, kappa - step, kappa / 2)
            if (step <= 1e-16 * kappa).all():
                break
        unlimited = self.rank_of_covariance <= min(self.samples, self.features)
        return np.where((ridges == 0) & unlimited, 0.0, kappa)

    def rising(self, u: float) -> float:
        """Positive where both dlam/dkappa2 and dkappa1/dkappa2 are, at kappa2 = -u."""
        _, rate, rate1 = self.ridge(-u)
        return float(min(rate, rate1))

    @cached_property
    def top(self) -> tuple[float, float]:
        """The largest point of the law of the empirical matrix, and u = -kappa2 there.

        It is the minimum over u > max s of  u (1 + d/N) (1 + d/P),  d = sum m s / (u - s).
        """
        largest = float(self.eigenvalues.max())
        if math.isinf(self.samples) and math.isinf(self.features):
            return largest, largest
        gap = largest
        while self.rising(largest + gap) <= 0:
            gap *= 2
        upper = largest + gap
        while self.rising(largest + gap) > 0 and gap > 1e-15 * largest:
            gap /= 4
        u = sign_change(self.rising, largest + gap, upper)
        return float(-self.ridge(-u)[0]), u

    def beyond(self, point: float) -> float:
        """u > max s at which -lam is a point above the whole law."""
        low = self.top[1]
        high = max(low, point)
        while -self.ridge(-high)[0] < point:
            high *= 2
        return sign_change(lambda u: float(-self.ridge(-u)[0]) - point, low, high)


def sign_change(
    function: Callable[[float], float], low: float, high: float, decreasing: bool = False
) -> float:
    """Bisection: negative at ``low`` and positive at ``high``, or the other way round."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if (function(middle) > 0) == decreasing:
            low = middle
        else:
            high = middle
    return (low + high) / 2
