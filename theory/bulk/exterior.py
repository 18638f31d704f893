"""The half-line above the bulk: where it ends, and in what kind of edge.

Right of the bulk P = phi snr S^(-1) rises from minus infinity as lam falls, with P + D negative
definite for every D that can occur and the radius of `Resolvent.radius` below 1. The march inwards
ends in the bulk's edge. The bottom side is the top side of the mirrored law.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq

from ..spectrum import EdgeKind, FloatArray
from .law import MANY_BINS, CurvatureLaw
from .resolvent import MatrixResolvent, NoSolutionError, Resolvent, ScalarResolvent

__all__ = ["Exterior", "NoSolutionError", "edge_between", "exterior"]

_END = 1e-11  # relative step at which the march stops
_ZERO = 1e-10  # |P| this small in units of the largest |D|: the bulk ends at zero
_AT_ZERO = 1e-14  # an edge this close to zero, in typical eigenvalues, is there (n = d, D = 1)
_CLOSE = 1.1  # a radius beyond which the march has gone too far to be trusted
_RADIUS_TOLERANCE = 1e-12
_MOST = 0.95  # of the way to where P + D loses its sign, by first order
_BESIDE = 0.01  # relative distance from the edge of a nearby law at which the march begins


class Exterior:
    """The half-line above the bulk, in the parameter tr P, which falls as lam grows.

    Args:
        law: the law of D.
        model: the same of a nearby law, from whose edge the search begins.

    Attributes:
        resolvent: P along the half-line.
        edge: asymptotic upper edge of the bulk; inf if there is none.
        kind: "square-root"; "thin" where P + D stops being definite first; "hard" where P does, at
            lam = 0; "infinite" where D has no upper bound.
        start: parameter at the edge.
        end: parameter at infinity.

    Raises:
        NoSolutionError: if the factors vanish, or no resolvent is found far outside.
    """

    def __init__(self, law: CurvatureLaw, model: Exterior | None = None) -> None:
        self.law = law
        self.resolvent = _resolvent(law)
        self.start, self.kind = self._march(model)
        self.edge: float
        self.end = -math.inf
        if self.kind == "infinite":
            self.edge = math.inf
            return
        self.edge = 0.0 if self.kind == "hard" else self.resolvent.position(self.start)
        if abs(self.edge) < _AT_ZERO * law.scale:
            self.edge, self.kind = 0.0, "hard"

    def position(self, parameter: float) -> float:
        """The point lam of a parameter."""
        return self.resolvent.position(parameter)

    def outlier_matrix(self, parameter: float) -> FloatArray:
        """K(lam)."""
        return self.resolvent.outlier_matrix(parameter)

    def edge_noise(self) -> float:
        """Standard deviation of one sample's pull on the edge, see `Resolvent.edge_noise`."""
        return self.resolvent.edge_noise(self.start)

    def _march(self, model: Exterior | None) -> tuple[float, EdgeKind]:
        """Go in from infinity until the radius reaches 1 or definiteness is lost."""
        law = self.law
        if law.supremum == math.inf:
            return -math.inf, "infinite"
        if law.supremum == law.infimum == 0:
            raise NoSolutionError("the curvature factors vanish: every eigenvalue is 0")
        largest = max(
            float(np.abs(law.factors).max(initial=0.0)), abs(law.supremum), law.rows * 1e-300
        )
        if law.is_rank_deficient and law.supremum == 0:
            return -_ZERO * largest, "hard"
        parameter, radius, step = self._beside(model) or self._far_out(largest)
        while step > _END * max(abs(parameter), _ZERO * largest):
            if law.supremum >= 0 and -parameter < _ZERO * largest:
                break
            further = self.resolvent.radius(parameter + step)
            if further is None or further > _CLOSE:
                step /= 4
            elif further >= 1:
                edge = edge_between(self.resolvent, parameter, parameter + step)
                return edge, "square-root"
            else:
                # Where the radius would be 1 if its logarithm went on like this, and a bit more.
                slope = (math.log(further) - math.log(radius)) / step
                parameter, radius = parameter + step, further
                reach = -math.log(further) / slope if slope > 0 else math.inf
                step = min(1.1 * reach + 1e-9 * step, 4 * step, self._room(parameter, largest))
        return parameter, "hard" if law.supremum <= 0 else "thin"

    def _beside(self, model: Exterior | None) -> tuple[float, float, float] | None:
        """A parameter just outside the edge of a nearby law, its radius and a first step."""
        if model is None or model.kind not in ("square-root", "thin"):
            return None
        if isinstance(self.resolvent, MatrixResolvent):
            assert isinstance(model.resolvent, MatrixResolvent)
            self.resolvent.follow(model.resolvent)
        step = _BESIDE * abs(model.start)
        radius = self.resolvent.radius(model.start - step)
        return None if radius is None or radius >= 1 else (model.start - step, radius, step)

    def _far_out(self, largest: float) -> tuple[float, float, float]:
        """A parameter far outside the bulk, its radius and a first step."""
        law = self.law
        # For m = 1 the radius is below 1/4 here: phi D^2 / (|P| - |D|)^2.
        parameter = -2 * largest * (1 + math.sqrt(law.aspect_ratio)) * law.rows
        while (radius := self.resolvent.radius(parameter)) is None or radius >= 1:
            parameter *= 2
            if parameter < -1e9 * largest * law.rows * (1 + law.aspect_ratio):
                raise NoSolutionError(
                    f"no resolvent at lam = {-parameter / (law.aspect_ratio * law.snr):.6g}, "
                    "far outside the bulk"
                )
        return parameter, radius, -parameter / 4

    def _room(self, parameter: float, largest: float) -> float:
        """The longest step: a part of the way to the pole, or on across zero if D cannot be 0."""
        law, room = self.law, self.resolvent.room(parameter)
        if law.rows > 1:
            return max(min(_MOST * room, -parameter / 2), _ZERO * _END * largest)
        if law.supremum < 0:
            return max(abs(parameter) / 2, -law.supremum / 4)
        return max(room / 2, _ZERO * _END * largest)


def edge_between(resolvent: Resolvent, inside: float, outside: float) -> float:
    """The parameter at which the radius is 1.

    Args:
        resolvent: P along the real axis.
        inside: a parameter with a radius below 1.
        outside: one with a radius of at least 1.

    Raises:
        NoSolutionError: if the resolvent is lost in between.
    """

    def log_radius(parameter: float) -> float:
        radius = resolvent.radius(parameter)
        if radius is None:
            raise NoSolutionError(f"definiteness lost at tr P = {parameter:.6g} before the edge")
        return math.log(max(radius, 1e-300))

    tolerance = _RADIUS_TOLERANCE * max(abs(inside), abs(outside))
    return float(brentq(log_radius, inside, outside, xtol=tolerance))


def _resolvent(law: CurvatureLaw) -> Resolvent:
    """The resolvent above the bulk."""
    if law.rows > 1:
        return MatrixResolvent(law)
    # P + D < 0; and where D can vanish P < 0, since the resolvent has a pole at P = 0.
    return ScalarResolvent(law.compressed(MANY_BINS), -math.inf, -law.supremum)


def exterior(law: CurvatureLaw, model: Exterior | None = None) -> Exterior:
    """The top side of a law's spectrum, found from that of a nearby law if there is one."""
    return Exterior(law, model)
