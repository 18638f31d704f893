"""The resolvent right of the bulk: edges, and the matrix whose zeros are the outliers.

Equations (1) and (2) of docs/theory.md in P = T^(-1) = phi snr S^(-1), with M = (P + D)^(-1) and
A = D (I + T D)^(-1) = D M P:

    lam snr I = E[A] - P / phi,        K(lam) = E[A (x) z z^T] - lam I.

Right of the bulk P rises from minus infinity as lam falls, with P and P + D negative definite for
every D that can occur, and the spectral radius of X -> phi E[D M X M D] is below 1: it reaches 1 at
a square-root edge (arXiv:cond-mat/9507042 for one direction). The left side is the right side of
the mirrored law.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from scipy.optimize import brentq

from .curvature_law import CurvatureLaw
from .matrix_equation import Evaluation, MatrixEquation, symmetric_inverse
from .spectrum import EdgeKind, FloatArray

__all__ = ["Exterior", "MatrixExterior", "NoSolutionError", "ScalarExterior", "exterior"]

_FAR = 64.0  # where the march starts, in units of the largest |D|
_END = 1e-11  # relative step at which the march stops
_ZERO = 1e-10  # |P| this small in units of the largest |D|: the bulk ends at zero
_CLOSE = 1.1  # a radius up to which the branch may be followed beyond a square-root edge
_NEWTON_STEPS = 20
_CONTINUATIONS = 60
_TOLERANCE = 1e-11
_ROUNDING = 1e-14
_SHIFT = 1e-7
_RADIUS_TOLERANCE = 1e-12


class NoSolutionError(ArithmeticError):
    """The equation for the resolvent could not be solved; says where and why."""


class Exterior(ABC):
    """The half-line right of the bulk, in the parameter tr P, which falls as lam grows.

    Attributes:
        edge: asymptotic right edge of the bulk; inf if there is none.
        kind: "square-root"; "thin" where P + D stops being definite first; "hard" where P does, at
            lam = 0; "infinite" where D has no upper bound.
        start: parameter at the edge.
    """

    def __init__(self, law: CurvatureLaw) -> None:
        self.law = law
        self.start, self.kind = self._march()
        if self.kind == "infinite":
            self.edge = math.inf
        else:
            self.edge = 0.0 if self.kind == "hard" else self.position(self.start)

    @abstractmethod
    def radius(self, parameter: float) -> float | None:
        """Spectral radius of X -> phi E[D M X M D]; None where P or P + D is not definite."""

    @abstractmethod
    def position(self, parameter: float) -> float:
        """The point lam of a parameter."""

    @abstractmethod
    def outlier_matrix(self, parameter: float) -> FloatArray:
        """K(lam), (m r, m r), the block's directions outermost."""

    @abstractmethod
    def outlier_slope(self, parameter: float) -> FloatArray:
        """K'(lam), (m r, m r), at most -I."""

    @abstractmethod
    def edge_noise(self) -> float:
        """Standard deviation of one sample's pull on a square-root edge.

        The edge is stationary in P, so that a change of the law of D moves it by the change of
        <X, E[A]> / snr, X the left null vector of the derivative of F with tr X = 1: the edge of n
        samples fluctuates by this number / sqrt(n).
        """

    def _march(self) -> tuple[float, EdgeKind]:
        """Go in from infinity until the radius reaches 1 or definiteness is lost."""
        law = self.law
        if law.supremum == math.inf:
            return -math.inf, "infinite"
        if law.supremum == law.infimum == 0:
            raise NoSolutionError("the curvature factors vanish: every eigenvalue is 0")
        largest = max(
            float(np.abs(law.factors).max(initial=0.0)), abs(law.supremum), law.rows * 1e-300
        )
        parameter = -_FAR * largest * (1 + law.aspect_ratio) * law.rows
        if self.radius(parameter) is None:
            raise NoSolutionError(
                f"no resolvent at lam = {-parameter / (law.aspect_ratio * law.snr):.6g}, "
                "far outside the bulk"
            )
        step = -parameter / 2
        while step > -_END * parameter and -parameter > _ZERO * largest:
            radius = self.radius(parameter + step)
            if radius is None or radius > _CLOSE:
                step /= 4
            elif radius < 1:
                parameter += step
                step = min(2 * step, -parameter / 2)
            else:
                tolerance = _RADIUS_TOLERANCE * abs(parameter)
                edge = brentq(self._log_radius, parameter, parameter + step, xtol=tolerance)
                return float(edge), "square-root"
        return parameter, "hard" if law.supremum <= 0 else "thin"

    def _log_radius(self, parameter: float) -> float:
        radius = self.radius(parameter)
        if radius is None:
            raise NoSolutionError(f"definiteness lost at tr P = {parameter:.6g} before the edge")
        return math.log(max(radius, 1e-300))


class ScalarExterior(Exterior):
    """m = 1: lam(P) = ( E[D P / (P + D)] - P / phi ) / snr is explicit."""

    def __init__(self, law: CurvatureLaw) -> None:
        self._d, self._w = law.scalar_factors, law.weights
        super().__init__(law)

    def radius(self, parameter: float) -> float | None:
        """Its value is phi E[(D / (P + D))^2]."""
        if parameter >= min(0.0, -self.law.supremum):
            return None
        x = self._d / (parameter + self._d)
        return float(self.law.aspect_ratio * (self._w @ (x * x)))

    def position(self, parameter: float) -> float:
        """The point lam(P)."""
        mean = float(self._w @ (self._d / (parameter + self._d)))
        return parameter * (mean - 1 / self.law.aspect_ratio) / self.law.snr

    def outlier_matrix(self, parameter: float) -> FloatArray:
        """K(lam), (r, r)."""
        a = parameter * self._d / (parameter + self._d)
        return self._spread(a) - self.position(parameter) * np.eye(self.law.span)

    def outlier_slope(self, parameter: float) -> FloatArray:
        """K'(lam), (r, r)."""
        x = (self._d / (parameter + self._d)) ** 2
        speed = (float(self._w @ x) - 1 / self.law.aspect_ratio) / self.law.snr
        return self._spread(x) / speed - np.eye(self.law.span)

    def edge_noise(self) -> float:
        """Its value is the standard deviation of A, over snr."""
        a = self.start * self._d / (self.start + self._d)
        return _deviation(a, self._w) / self.law.snr

    def _spread(self, a: FloatArray) -> FloatArray:
        r = self.law.span
        moments: FloatArray = ((self._w * a) @ self.law.flat_moments).reshape(r, r)
        return moments


class MatrixExterior(Exterior):
    """m >= 2: P and lam at a given tr P by Newton's method, smooth across a square-root edge."""

    def __init__(self, law: CurvatureLaw) -> None:
        self._equation = MatrixEquation(law)
        self._known: dict[float, tuple[FloatArray, float, Evaluation]] = {}
        upper = np.triu_indices(law.rows)
        self._extremes = law.extremes[:, upper[0], upper[1]].T
        self._upper = upper
        super().__init__(law)

    def radius(self, parameter: float) -> float | None:
        """The largest eigenvalue of X -> phi E[D M X M D]."""
        solution = self._solve(parameter)
        if solution is None:
            return None
        matrix = self.law.aspect_ratio * solution[2].derivative + np.eye(self.law.rows**2)
        radius = float(np.linalg.eigvals(matrix).real.max())
        if radius < _CLOSE:
            self._known[parameter] = solution
        return radius

    def position(self, parameter: float) -> float:
        """The point lam of tr P."""
        return self._at(parameter)[1]

    def outlier_matrix(self, parameter: float) -> FloatArray:
        """K(lam), (m r, m r), the block's directions outermost."""
        p, lam, at = self._at(parameter)
        k: FloatArray = self._equation.spread(p, at)
        return k - lam * np.eye(len(k))

    def outlier_slope(self, parameter: float) -> FloatArray:
        """K'(lam), (m r, m r)."""
        p, _, at = self._at(parameter)
        identity = np.eye(self.law.rows)
        dp = np.linalg.solve(at.derivative, self.law.snr * identity.reshape(-1))
        moved: FloatArray = self._equation.moved_spread(p, at, dp.reshape(identity.shape))
        return moved - np.eye(len(moved))

    def edge_noise(self) -> float:
        """Its value is the standard deviation of <X, A>, over snr."""
        p, _, at = self._at(self.start)
        m = self.law.rows
        # One step of inverse iteration from I, which the null vector is never orthogonal to.
        shifted = at.derivative.T + _SHIFT * np.eye(m * m)
        x = np.linalg.solve(shifted, np.eye(m).reshape(-1)).reshape(m, m)
        x /= np.trace(x)
        # A = P - P M P, so only M varies; off the diagonal an upper triangle counts twice.
        pull = p @ (x + x.T) @ p / 2
        twice = np.where(self._upper[0] == self._upper[1], 1.0, 2.0)
        a = (pull[self._upper] * twice) @ at.inverses
        return _deviation(a, self.law.weights) / self.law.snr

    def _at(self, parameter: float) -> tuple[FloatArray, float, Evaluation]:
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

    def _solve(self, parameter: float) -> tuple[FloatArray, float, Evaluation] | None:
        """P, lam and the equation at tr P, continued from the nearest known solution."""
        if parameter in self._known:
            return self._known[parameter]
        m = self.law.rows
        if self._known:
            nearest = self._nearest(parameter)
            p, lam, _ = self._known[nearest]
            p = p * (parameter / nearest)
        else:
            p = parameter / m * np.eye(m)
            lam = -parameter / (m * self.law.aspect_ratio * self.law.snr)
        with np.errstate(all="ignore"):
            return self._newton(parameter, p, lam)

    def _newton(
        self, parameter: float, p: FloatArray, lam: float
    ) -> tuple[FloatArray, float, Evaluation] | None:
        m, snr = self.law.rows, self.law.snr
        identity = np.eye(m)
        bordered = np.zeros((m * m + 1, m * m + 1))
        bordered[:-1, -1] = -snr * identity.reshape(-1)
        bordered[-1, :-1] = identity.reshape(-1)
        for _ in range(_NEWTON_STEPS):
            at = self._equation.evaluate(p)
            if not (at.pivots < 0).all():  # too far from the guess: a smaller step is cheaper
                return None
            bordered[:-1, :-1] = at.derivative
            residual = at.value - snr * lam * identity
            right = np.append(residual.reshape(-1), np.trace(p) - parameter)
            if not (np.isfinite(right).all() and np.isfinite(bordered).all()):
                return None
            size = float(np.abs(p).max())
            # Where several directions reach their edge together the step stays noisy.
            if np.abs(right).max() < _ROUNDING * size:
                return (p, lam, at) if self._definite(p) else None
            try:
                step = np.linalg.solve(bordered, right)
            except np.linalg.LinAlgError:
                return None
            if np.abs(step[:-1]).max() < _TOLERANCE * size:
                return (p, lam - float(step[-1]), at) if self._definite(p) else None
            change = step[:-1].reshape(m, m)
            p = p - (change + change.T) / 2
            lam -= float(step[-1])
        return None

    def _definite(self, p: FloatArray) -> bool:
        """Whether P, and P + D at the extremes of D, are negative definite."""
        pivots = symmetric_inverse(p[self._upper][:, None] + self._extremes)[1]
        return bool(np.linalg.eigvalsh(p)[-1] < 0 and (pivots < 0).all())


def _deviation(values: FloatArray, weights: FloatArray) -> float:
    """Standard deviation of values (N,) under a law with weights (N,)."""
    mean = float(weights @ values)
    return math.sqrt(max(float(weights @ (values - mean) ** 2), 0.0))


def exterior(law: CurvatureLaw) -> Exterior:
    """The right side of a law's spectrum."""
    return ScalarExterior(law) if law.rows == 1 else MatrixExterior(law)
