"""Deterministic equivalents at one ridge and at two.

With g = 1 / (s + kappa2), primes at lam' and <v> = sum m v g g':

    T = (kappa2/kappa1) sum a s g,     U = (kappa1/lam) sum m s' g
    E = kk [ sum a s' g g' + A <s'> / (N (1-gamma2)) + c (sum a s g g' + A <s> / (N (1-gamma2))) ]
    kk = kappa2 kappa2',   A = sum a s^2 g g',   gamma2 = <s^2> / N
    gamma1 = [ <s^2> + kk <s>^2 / (N (1-gamma2)) ] / P
    c      = [ <s s'> + kk <s'><s> / (N (1-gamma2)) ] / (P (1-gamma1))
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from ..spectrum import FloatArray
from .problem import LinearProblem
from .renormalisation import ComplexArray

__all__ = ["OnePoint", "TwoPoint", "two_point"]

# Nearer pairs of nodes, relative to the closest eigenvalue, take the divided difference from
# derivatives (its remainder is of sixth order), since the plain quotient would cancel.
_NEAR = 5e-3
_POWERS = (1, 2, 3, 5)
_CHUNK = 1 << 18  # modes times nodes at once


class OnePoint:
    """Sums over the modes at nodes kappa2 (n,), and their derivatives.

    Args:
        problem: a linear regression.
        kappa: (n,) kappa2, not on the spectrum.
    """

    #             A        a s       a s'    <s^2>   <s>   <s s'>  <s'>
    _NAMES = ("target2", "target1", "tested", "two", "one", "cross", "test")

    def __init__(self, problem: LinearProblem, kappa: ComplexArray | FloatArray) -> None:
        positive = problem.spectrum > 0
        s, m, a, tested = (
            values[positive]
            for values in (
                problem.spectrum,
                problem.multiplicity,
                problem.target,
                problem.test_spectrum,
            )
        )
        self.kappa = kappa = np.asarray(kappa, dtype=np.complex128)
        self.frozen = float((problem.target * problem.test_spectrum)[~positive].sum())
        stacked = np.stack(
            [a * s * s, a * s, a * tested, m * s * s, m * s, m * s * tested, m * tested]
        )
        self._sums = np.zeros((len(_POWERS), len(stacked), len(kappa)), complex)
        self.nearest = np.full(len(kappa), np.inf)
        chunk = max(1, _CHUNK // max(1, len(kappa)))
        for first in range(0, len(s), chunk):
            part = slice(first, first + chunk)
            g = 1 / (s[part, None] + kappa)
            self.nearest = np.minimum(self.nearest, 1 / np.abs(g).max(0))
            square = g * g
            cube = square * g
            for order, power in enumerate((g, square, cube, square * cube)):
                # Real by complex, as real by two reals.
                self._sums[order] += (stacked[:, part] @ power.view(np.float64)).view(np.complex128)

    def sum(self, name: str, power: int = 1) -> ComplexArray:
        """sum of v g^power over the modes, (n,)."""
        found: ComplexArray = self._sums[_POWERS.index(power), self._NAMES.index(name)]
        return found

    def conjugate(self) -> OnePoint:
        """The same at the conjugate nodes."""
        mirrored = copy(self)
        mirrored.kappa, mirrored._sums = self.kappa.conj(), self._sums.conj()
        mirrored.__dict__.pop("_separations", None)
        return mirrored

    def pairs(self, name: str, other: OnePoint) -> ComplexArray:
        """sum of v g g',  (n, n')."""
        at, delta, near = self._separation(other)
        one, two, three, five = self._sums[:, self._NAMES.index(name)]
        one_, two_, three_, five_ = other._sums[:, self._NAMES.index(name)]
        found: ComplexArray = (one[:, None] - one_) / np.where(near, 1, delta)
        # The trapezoid rule of Euler and Maclaurin for the mean of -d/dkappa sum v g = sum v g^2.
        (i, j), gap = at, delta[at]
        found[at] = (two[i] + two_[j]) / 2
        found[at] += gap / 6 * (three_[j] - three[i]) - gap**3 / 30 * (five_[j] - five[i])
        return found

    def _separation(self, other: OnePoint) -> tuple[Any, ComplexArray, Any]:
        if other not in self._separations:
            delta = other.kappa - self.kappa[:, None]
            reach = np.minimum(self.nearest[:, None], other.nearest)
            near = np.abs(delta) < _NEAR * reach
            self._separations[other] = (np.nonzero(near), delta, near)
        return self._separations[other]

    @cached_property
    def _separations(self) -> dict[OnePoint, tuple[Any, ComplexArray, Any]]:
        return {}


class TwoPoint:
    """E and c from the sums over pairs that ``pairs`` names; ``kk`` = kappa2 kappa2'."""

    def __init__(
        self, problem: LinearProblem, kk: Any, pairs: Callable[[str], Any], direct: Any = None
    ) -> None:
        two, one, test = pairs("two"), pairs("one"), pairs("test")
        cross, target1, target2 = pairs("cross"), pairs("target1"), pairs("target2")
        if direct is None:
            direct = kk * pairs("tested")
        # Complex numbers divided by infinity would not be 0.
        per_sample, per_feature = 1 / problem.samples, 1 / problem.features
        self.gamma2 = two * per_feature
        wide = per_feature / (1 - self.gamma2)
        self.gamma1 = (two + kk * one * one * wide) * per_sample
        self.noise = (cross + kk * test * one * wide) * per_sample / (1 - self.gamma1)
        self.error = direct + kk * (
            target2 * test * wide + self.noise * (target1 + target2 * one * wide)
        )


def two_point(problem: LinearProblem, left: OnePoint, right: OnePoint) -> ComplexArray:
    """E(lam, lam') at all pairs of nodes, (n, n')."""
    kk = left.kappa[:, None] * right.kappa
    direct = None
    if problem.target_overlap is not None:
        at_left, at_right = (problem.spectrum + one.kappa[:, None] for one in (left, right))
        shares_left = left.kappa[:, None] / at_left
        shares_right = right.kappa[:, None] / at_right
        direct = (shares_left @ problem.target_overlap) @ shares_right.T
    found = TwoPoint(problem, kk, lambda name: left.pairs(name, right), direct)
    # Directions in which the inputs have no variance are never learnt.
    frozen = left.frozen if problem.target_overlap is None else 0.0
    result: ComplexArray = found.error + frozen
    return result
