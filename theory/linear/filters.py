"""What training has left of each eigenvalue's residual: q, and the second moment of it under SGD.

    flow   q_t(z) = (r + z e^(-(z+r) t)) / (z + r)
    gd     q_(t+1) = rho q_t + eta r,                           rho = 1 - eta (z + r)
    sgd    Q_(t+1) = G Q_t + eta r (rho q_t + rho' q'_t) + eta^2 r^2,
           G = rho rho' + chi nu eta^2 z z',                    q_0 = Q_0 = 1

Without weight decay, r = 0, these are q = (1 - eta z)^t and Q = G^t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..spectrum import FloatArray
from .renormalisation import ComplexArray

__all__ = ["Mean", "Noise", "SecondMoment", "flow"]


def flow(z: ComplexArray, decay: float, time: FloatArray) -> ComplexArray:
    """q_t(z) of the gradient flow, of the shape of z * time."""
    left = np.exp(-(z + decay) * time)
    return left if decay == 0 else (decay + z * left) / (z + decay)


@dataclass(frozen=True)
class Noise:
    """Fourth moments of Gaussian samples in a batch.

    Attributes:
        inverse_batch: nu = 1/B.
        gain: aP = P / (P + 2).
        coupling: chi = 2 aP - 1.
    """

    inverse_batch: float
    gain: float
    coupling: float

    @classmethod
    def of(cls, batch_size: int, samples: float) -> Noise:
        """The one of batches of ``batch_size`` from P samples."""
        gain = 1.0 if math.isinf(samples) else samples / (samples + 2)
        return cls(1 / batch_size, gain, 2 * gain - 1)

    @property
    def excess(self) -> float:
        """chi nu."""
        return self.coupling * self.inverse_batch


class Mean:
    """q at nodes, step by step.

    Args:
        z: (n,) nodes.
        decay: r.
    """

    def __init__(self, z: ComplexArray, decay: float) -> None:
        self.q = np.ones_like(z)
        self._z, self._decay = z, decay

    def advance(self, rate: float, steps: int) -> None:
        """Go on for some steps at one learning rate."""
        left = _power(1 - rate * (self._z + self._decay), steps)
        if self._decay == 0:
            self.q = self.q * left
            return
        rest = self._decay / (self._z + self._decay)
        self.q = rest + left * (self.q - rest)


class SecondMoment:
    """Q at pairs of nodes, step by step.

    Args:
        left: nodes z.
        right: nodes z', of a shape that fits.
        decay: r.
        excess: chi nu.
    """

    def __init__(
        self, left: ComplexArray, right: ComplexArray, decay: float, excess: float
    ) -> None:
        self._left, self._right, self._decay, self._excess = left, right, decay, excess
        self.second: ComplexArray = np.ones(np.broadcast(left, right).shape, complex)
        self._means = Mean(left, decay), Mean(right, decay)
        self._powers: dict[float, ComplexArray] = {}

    def factor(self, rate: float) -> ComplexArray:
        """G."""
        rho, rho_ = (1 - rate * (z + self._decay) for z in (self._left, self._right))
        product: ComplexArray = rho * rho_ + self._excess * rate**2 * self._left * self._right
        return product

    def advance(self, rate: float, steps: int) -> None:
        """Go on for some steps at one learning rate."""
        if self._decay == 0:
            if steps == 1:
                self.second = self.second * self.factor(rate)
                return
            if rate not in self._powers:
                self._powers = {rate: _logarithm(self.factor(rate))}
            self.second = self.second * np.exp(steps * self._powers[rate])
            return
        self._advance_affine(rate, steps)

    def _advance_affine(self, rate: float, steps: int) -> None:
        """The map of one step, squared again and again."""
        left, right = self._means
        drift = rate * self._decay
        rho, rho_ = (1 - rate * (z + self._decay) for z in (self._left, self._right))
        one = _Affine(
            self.factor(rate), drift * rho, drift * rho_, drift**2, rho, rho_, drift, drift
        )
        remaining = steps
        while remaining:
            if remaining & 1:
                self.second = (
                    one.second * self.second
                    + one.of_left * left.q
                    + one.of_right * right.q
                    + one.constant
                )
                left.q = one.left * left.q + one.left_constant
                right.q = one.right * right.q + one.right_constant
            remaining >>= 1
            if remaining:
                one = one.squared()


@dataclass(frozen=True)
class _Affine:
    """(Q, q, q', 1) -> (Q, q, q', 1),  upper triangular."""

    second: ComplexArray
    of_left: ComplexArray
    of_right: ComplexArray
    constant: ComplexArray | float
    left: ComplexArray
    right: ComplexArray
    left_constant: ComplexArray | float
    right_constant: ComplexArray | float

    def squared(self) -> _Affine:
        return _Affine(
            self.second**2,
            (self.second + self.left) * self.of_left,
            (self.second + self.right) * self.of_right,
            (self.second + 1) * self.constant
            + self.of_left * self.left_constant
            + self.of_right * self.right_constant,
            self.left**2,
            self.right**2,
            (self.left + 1) * self.left_constant,
            (self.right + 1) * self.right_constant,
        )


def _power(base: ComplexArray, steps: int) -> ComplexArray:
    """base^steps for a whole number of steps."""
    return base if steps == 1 else np.exp(steps * _logarithm(base))


def _logarithm(base: ComplexArray) -> ComplexArray:
    with np.errstate(divide="ignore"):
        return np.log(base)
