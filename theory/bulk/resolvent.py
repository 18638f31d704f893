"""The resolvent on the real axis, outside the bulk.

Equation (1) of docs/theory.md in P = T^(-1) = phi snr S^(-1), with M = (P + D)^(-1):

    lam snr I = E[D M P] - P / phi.

On every interval outside the bulk P is real, P + D has the same signs for every D that can occur,
and the spectral radius of X -> phi E[D M X M D] is below 1; it reaches 1 at a square-root edge
(arXiv:cond-mat/9507042 for one direction). There dP/dlam is negative definite, so that tr P is a
parameter of the interval that falls as lam grows; it stays smooth across a square-root edge.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ..spectrum import FloatArray
from .law import CurvatureLaw
from .matrix_equation import Evaluation, MatrixEquation, symmetric_inverse
from .outlier_matrix import OutlierMatrix

__all__ = ["MatrixResolvent", "NoSolutionError", "Resolvent", "ScalarResolvent"]

_CLOSE = 1.1  # a radius up to which the branch may be followed beyond a square-root edge
_NEWTON_STEPS = 20
_CONTINUATIONS = 60
_TOLERANCE = 1e-11
_ROUNDING = 1e-14
_DEGENERATE = 1e-6  # relative singular value of the linearised equation that is rounding error
_SHIFT = 1e-7


class NoSolutionError(ArithmeticError):
    """The equation for the resolvent could not be solved; says where and why."""


class Resolvent(ABC):
    """P along the real axis, as a function of the parameter tr P."""

    law: CurvatureLaw

    @abstractmethod
    def radius(self, parameter: float) -> float | None:
        """Spectral radius of X -> phi E[D M X M D]; None where the signs of P + D are wrong."""

    @abstractmethod
    def room(self, parameter: float) -> float:
        """How far the parameter can rise before some P + D is singular, to first order."""

    @abstractmethod
    def position(self, parameter: float) -> float:
        """The point lam of a parameter."""

    @abstractmethod
    def solution(self, parameter: float) -> FloatArray:
        """P (m, m) at a parameter."""

    @abstractmethod
    def outlier_matrix(self, parameter: float) -> FloatArray:
        """K(lam), (m r + q, m r + q), the block's directions outermost."""

    @abstractmethod
    def outlier_rate(self, parameter: float, w: FloatArray) -> float:
        """w^T K'(lam) w <= -|w|^2 of a vector w (m r + q,), see `OutlierMatrix.rate`."""

    @abstractmethod
    def edge_noise(self, parameter: float) -> float:
        """Standard deviation of one sample's pull on a square-root edge at a parameter.

        The edge is stationary in P, so that a change of the law of D moves it by the change of
        <X, E[A]> / snr, X the left null vector of the derivative of F with tr X = 1: the edge of n
        samples fluctuates by this number / sqrt(n).
        """


class ScalarResolvent(Resolvent):
    """m = 1: lam(P) = ( E[D P / (P + D)] - P / phi ) / snr is explicit.

    Args:
        law: the law of D.
        low: infimum of the allowed P.
        high: supremum; P + D must not vanish in between for any D that can occur.
    """

    def __init__(self, law: CurvatureLaw, low: float, high: float) -> None:
        self.law, self.low, self.high = law, low, high
        self._d, self._w = law.scalar_factors, law.weights
        self._k = OutlierMatrix(law)

    def radius(self, parameter: float) -> float | None:
        """Its value is phi E[(D / (P + D))^2], convex in P."""
        if not self.low < parameter < self.high:
            return None
        x = self._d / (parameter + self._d)
        return float(self.law.aspect_ratio * (self._w @ (x * x)))

    def room(self, parameter: float) -> float:
        """The distance to the supremum of the allowed P."""
        return self.high - parameter

    def position(self, parameter: float) -> float:
        """The point lam(P)."""
        mean = float(self._w @ (self._d / (parameter + self._d)))
        return parameter * (mean - 1 / self.law.aspect_ratio) / self.law.snr

    def solution(self, parameter: float) -> FloatArray:
        """P (1, 1)."""
        return np.array([[parameter]])

    def outlier_matrix(self, parameter: float) -> FloatArray:
        """K(lam), (r + q, r + q)."""
        p = np.array([[parameter]])
        return self._k.value(p, self.position(parameter), self._inverses(parameter))

    def outlier_rate(self, parameter: float, w: FloatArray) -> float:
        """w^T K'(lam) w."""
        x = (self._d / (parameter + self._d)) ** 2
        speed = (float(self._w @ x) - 1 / self.law.aspect_ratio) / self.law.snr
        p, dp = np.array([[parameter]]), np.array([[1 / speed]])
        return self._k.rate(w, p, dp, self._inverses(parameter))

    def edge_noise(self, parameter: float) -> float:
        """Its value is the standard deviation of A, over snr."""
        a = parameter * self._d / (parameter + self._d)
        return _deviation(a, self._w) / self.law.snr

    def _inverses(self, parameter: float) -> FloatArray:
        inverses: FloatArray = (1 / (parameter + self._d))[None]
        return inverses


@dataclass(frozen=True)
class _Solution:
    """P (m, m), lam, their derivatives in tr P, and the equation at P."""

    p: FloatArray
    lam: float
    dp: FloatArray
    dlam: float
    at: Evaluation


class MatrixResolvent(Resolvent):
    """m >= 2: P and lam at a given tr P by Newton's method, smooth across a square-root edge.

    Args:
        law: the law of D.
        seed: P (m, m) near a solution, from which the interval is followed, and its lam; far to
            the right of the bulk if None.
    """

    def __init__(self, law: CurvatureLaw, seed: tuple[FloatArray, float] | None = None) -> None:
        self.law = law
        self._equation = MatrixEquation(law)
        self._k = OutlierMatrix(law)
        self._known: dict[float, _Solution] = {}
        self._upper = np.triu_indices(law.rows)
        self._extremes = law.extremes[:, self._upper[0], self._upper[1]].T
        self._negligible = _ROUNDING * float(np.abs(law.factors).max())  # P of this size is 0
        self._seed = seed
        # Right of the bulk P + D is negative definite, and so is P wherever D can be 0.
        self._negative = law.rows
        if seed is not None:
            self._negative = int((self._pivots(seed[0]) < 0).sum(0)[0])
        self._all_negative = seed is None and law.supremum >= 0
        self._hints: dict[float, _Solution] = {}

    def follow(self, model: MatrixResolvent) -> None:
        """Begin Newton's method at the solutions of a nearby law."""
        self._hints = model._known

    def radius(self, parameter: float) -> float | None:
        """The largest eigenvalue of X -> phi E[D M X M D]."""
        solution = self._solve(parameter)
        if solution is None:
            return None
        matrix = self.law.aspect_ratio * solution.at.derivative + np.eye(self.law.rows**2)
        radius = float(np.linalg.eigvals(matrix).real.max())
        if radius < _CLOSE:
            self._known[parameter] = solution
        return radius

    def room(self, parameter: float) -> float:
        """Right of the bulk: P + D and P change at the rate dP, and are to stay negative."""
        solution = self._at(parameter)
        shifted = solution.p + self.law.extremes
        if self._all_negative:
            shifted = np.concatenate([shifted, solution.p[None]])
        try:
            rates = np.linalg.eigvals(np.linalg.solve(-shifted, solution.dp)).real
        except np.linalg.LinAlgError:  # P is a rounding error beside some D: a step will tell
            return math.inf
        fastest = float(rates.max())
        return 1 / fastest if fastest > 0 else math.inf

    def position(self, parameter: float) -> float:
        """The point lam of tr P."""
        return self._at(parameter).lam

    def solution(self, parameter: float) -> FloatArray:
        """P (m, m) at a parameter."""
        return self._at(parameter).p

    def outlier_matrix(self, parameter: float) -> FloatArray:
        """K(lam), (m r + q, m r + q), the block's directions outermost."""
        solution = self._at(parameter)
        return self._k.value(solution.p, solution.lam, solution.at.inverses)

    def outlier_rate(self, parameter: float, w: FloatArray) -> float:
        """w^T K'(lam) w."""
        solution = self._at(parameter)
        dp = solution.dp / solution.dlam
        return self._k.rate(w, solution.p, dp, solution.at.inverses)

    def edge_noise(self, parameter: float) -> float:
        """Its value is the standard deviation of <X, A>, over snr."""
        solution = self._at(parameter)
        p, m = solution.p, self.law.rows
        # One step of inverse iteration from I, which the null vector is never orthogonal to.
        shifted = solution.at.derivative.T + _SHIFT * np.eye(m * m)
        x = np.linalg.solve(shifted, np.eye(m).reshape(-1)).reshape(m, m)
        x /= np.trace(x)
        # A = P - P M P, so only M varies; off the diagonal an upper triangle counts twice.
        pull = p @ (x + x.T) @ p / 2
        twice = np.where(self._upper[0] == self._upper[1], 1.0, 2.0)
        a = (pull[self._upper] * twice) @ solution.at.inverses
        return _deviation(a, self.law.weights) / self.law.snr

    def _at(self, parameter: float) -> _Solution:
        target = parameter
        for _ in range(_CONTINUATIONS):
            solution = self._solve(target)
            if solution is None:
                target = (target + self._nearest(target)) / 2
            else:
                self._known[target] = solution
                if target == parameter:
                    return solution
                target = parameter
        raise NoSolutionError(f"no resolvent at tr P = {parameter:.6g} outside the bulk")

    def _nearest(self, parameter: float) -> float:
        return min(self._known, key=lambda known: abs(known - parameter))

    def _solve(self, parameter: float) -> _Solution | None:
        """P, lam and the equation at tr P, continued from the nearest known solution."""
        if parameter in self._known:
            return self._known[parameter]
        m = self.law.rows
        if self._known or self._hints:
            some = self._known or self._hints
            nearest = min(some, key=lambda known: abs(known - parameter))
            known = some[nearest]
            p = known.p + (parameter - nearest) * known.dp
            lam = known.lam + (parameter - nearest) * known.dlam
        elif self._seed is not None:
            p, lam = self._seed
        else:
            p = parameter / m * np.eye(m)
            lam = -parameter / (m * self.law.aspect_ratio * self.law.snr)
        with np.errstate(all="ignore"):
            return self._newton(parameter, p, lam)

    def _newton(self, parameter: float, p: FloatArray, lam: float) -> _Solution | None:
        m, snr = self.law.rows, self.law.snr
        identity = np.eye(m)
        bordered = np.zeros((m * m + 1, m * m + 1))
        bordered[:-1, -1] = -snr * identity.reshape(-1)
        bordered[-1, :-1] = identity.reshape(-1)
        right = np.zeros((m * m + 1, 2))
        right[-1, 1] = 1  # its solution is the derivative in tr P
        for _ in range(_NEWTON_STEPS):
            at = self._equation.evaluate(p)
            if not self._has_signs(at.pivots):  # too far from the guess: a smaller step is cheaper
                return None
            bordered[:-1, :-1] = at.derivative
            right[:-1, 0] = (at.value - snr * lam * identity).reshape(-1)
            right[-1, 0] = np.trace(p) - parameter
            if not (np.isfinite(right).all() and np.isfinite(bordered).all()):
                return None
            size = max(float(np.abs(p).max()), self._negligible)
            settled = np.abs(right[:, 0]).max() < _ROUNDING * size
            step = _solve_bordered(bordered, right)
            if step is None:
                return None
            if settled or np.abs(step[:-1, 0]).max() < _TOLERANCE * size:
                lam -= 0.0 if settled else float(step[-1, 0])
                dp = step[:-1, 1].reshape(m, m)
                found = _Solution(p, lam, (dp + dp.T) / 2, float(step[-1, 1]), at)
                return found if self._is_allowed(p) else None
            change = step[:-1, 0].reshape(m, m)
            p = p - (change + change.T) / 2
            lam -= float(step[-1, 0])
        return None

    def _has_signs(self, pivots: FloatArray) -> bool:
        return bool(((pivots < 0).sum(0) == self._negative).all())

    def _is_allowed(self, p: FloatArray) -> bool:
        """Whether P + D has its signs at the extremes of D, and P its own."""
        if self._all_negative and np.linalg.eigvalsh(p)[-1] >= 0:
            return False
        return self._has_signs(self._pivots(p))

    def _pivots(self, p: FloatArray) -> FloatArray:
        """Pivots (m, L) of P + D at the extremes of D; 0 where P is lost beside a large one."""
        with np.errstate(all="ignore"):
            pivots: FloatArray = symmetric_inverse(p[self._upper][:, None] + self._extremes)[1]
        return pivots


def _solve_bordered(matrix: FloatArray, right: FloatArray) -> FloatArray | None:
    """The solution of the smallest norm, without what rounding errors alone would tell.

    Where several directions reach their edge together the matrix is nearly singular across them,
    and nothing moves P that way but noise. A third right side finds out.
    """
    probe = np.cos(np.arange(1.0, len(matrix) + 1))
    try:
        solved = np.linalg.solve(matrix, np.column_stack([right, probe]))
        size = float(np.abs(matrix).max() * np.abs(solved[:, -1]).max())
    except np.linalg.LinAlgError:
        size = math.inf
    if math.isnan(size):
        return None
    if size * _DEGENERATE > 1:
        return np.linalg.lstsq(matrix, right, rcond=_DEGENERATE)[0].astype(np.float64)
    return solved[:, :-1].astype(np.float64)


def _deviation(values: FloatArray, weights: FloatArray) -> float:
    """Standard deviation of values (N,) under a law with weights (N,)."""
    mean = float(weights @ values)
    return math.sqrt(max(float(weights @ (values - mean) ** 2), 0.0))
