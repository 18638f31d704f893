"""One contour round the spectrum and zero that serves all times.

    w = log((z + eps) / (b - z))

maps the spectrum to a real interval of half length h; z runs over the ellipse round it of half
height pi/4. The trapezoid rule errs by e^(-n mu), mu = asinh(pi / 4h), uniformly in t <= 1/eps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..spectrum import FloatArray
from .renormalisation import ComplexArray, Renormalisation

__all__ = ["Contour", "Nodes"]

_HALF_HEIGHT = math.pi / 4  # at pi/2 q stays bounded, but oscillates unresolved
_DIGITS = 30.0  # n mu: e^-30 = 1e-13
_BRANCH = 1e-9  # by which an argument may miss its interval
_NEWTON = 12  # steps before the way to the next node is halved
_HALVINGS = 40
_CLOSE = (
    1e-8  # a step so small, relative, is the last: what it leaves is of the order of its square
)


@dataclass(frozen=True)
class Contour:
    """Counter-clockwise round [0, top].

    Attributes:
        top: the largest eigenvalue it has to enclose.
        scale: eps, how close to zero it passes: 2 / (eta t_max).
        bound: b > top, where it may not pass.
        digits: n mu.
    """

    top: float
    scale: float
    bound: float
    digits: float = _DIGITS

    def _ellipse(self) -> tuple[float, float, float]:
        low = math.log(self.scale / self.bound)
        high = math.log((self.top + self.scale) / (self.bound - self.top))
        half = (high - low) / 2
        return (low + high) / 2, half, math.asinh(_HALF_HEIGHT / half)

    def _at(self, angles: FloatArray) -> tuple[ComplexArray, ComplexArray]:
        """z and dz/dangle."""
        centre, half, mu = self._ellipse()
        wide, high = half * math.cosh(mu), half * math.sinh(mu)
        w = centre + wide * np.cos(angles) + 1j * high * np.sin(angles)
        grown = np.exp(w)
        z = (self.bound * grown - self.scale) / (1 + grown)
        rate = (self.bound + self.scale) * grown / (1 + grown) ** 2
        return z, rate * (-wide * np.sin(angles) + 1j * high * np.cos(angles))

    def nodes(self) -> tuple[ComplexArray, ComplexArray, float]:
        """The half of the nodes with Im z < 0, from left to right.

        Returns:
            z (n,); weights w (n,) such that the integral of f dz / (2 pi i), f real on the real
            axis, is 2 Re sum w f(z); and the real z < 0 at which the way begins.
        """
        mu = self._ellipse()[2]
        half = math.ceil(self.digits / (2 * mu))
        angles = math.pi * (1 + (np.arange(half) + 0.5) / half)
        z, rate = self._at(angles)
        start, _ = self._at(np.array([math.pi]))
        return z, rate / (2j * half), float(start[0].real)


@dataclass(frozen=True, eq=False)
class Nodes:
    """The half of a contour's nodes with Im z < 0.

    Attributes:
        z: (n,) nodes; lam = -z.
        weights: (n,) see `Contour.nodes`.
        kappa2: (n,) the renormalised ridges there.
    """

    z: ComplexArray
    weights: ComplexArray
    kappa2: ComplexArray

    @classmethod
    def on(cls, contour: Contour, renormalisation: Renormalisation) -> Nodes:
        """Follow kappa2 from node to node, from the positive real ridge.

        Raises:
            ArithmeticError: if the way is lost.
        """
        z, weights, start = contour.nodes()
        if math.isinf(renormalisation.samples) and math.isinf(renormalisation.features):
            return cls(z, weights, -z)
        return cls(z, weights, _follow(renormalisation, -start, -z))

    def integral(self, values: ComplexArray) -> FloatArray:
        """The integral of f dz / (2 pi i) from its values at the nodes, (..., n) -> (...)."""
        return 2 * (values @ self.weights).real


def _follow(of: Renormalisation, start: float, ridges: ComplexArray) -> ComplexArray:
    """kappa2 at complex ridges, each near the one before, the first near ``start`` > 0."""
    here, kappa = complex(start), complex(of.solve(np.array([start]))[0])
    rate = complex(of.ridge(kappa)[1])
    found = np.empty(len(ridges), complex)
    for place, goal in enumerate(ridges):
        share = 1.0
        while here != goal:
            target = goal if share == 1 else here + share * (goal - here)
            landed = _newton(of, target, kappa + (target - here) / rate)
            if landed is None:
                share /= 2
                if share < 2.0**-_HALVINGS:
                    raise ArithmeticError(f"kappa2 was lost at the ridge {here:.6g}")
                continue
            (kappa, rate), here, share = landed, target, 1.0
        found[place] = kappa
    return found


def _newton(of: Renormalisation, lam: complex, kappa: complex) -> tuple[complex, complex] | None:
    """kappa2 and dlam/dkappa2, or None if another branch was found, or none."""
    for _ in range(_NEWTON):
        g = 1 / (of.eigenvalues + kappa)
        df, slope = complex(g @ of.weights), -complex((g * g) @ of.weights)
        first, second = 1 - df * of.per_sample, 1 - df * of.per_feature
        rate1 = second - kappa * slope * of.per_feature
        rate = rate1 * first - kappa * second * slope * of.per_sample
        if rate == 0:
            return None
        step = (kappa * second * first - lam) / rate
        kappa -= step
        if abs(step) < _CLOSE * abs(kappa):
            break
    else:
        return None
    between = (0.0, np.angle(kappa), np.angle(of.first(lam, kappa, df)), np.angle(lam))
    if any(low > high + _BRANCH for low, high in pairwise(between)):
        return None
    return complex(kappa), complex(rate)
