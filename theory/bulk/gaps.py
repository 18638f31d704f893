"""Gaps: the intervals without density between two bands of the bulk.

In a gap P is real and the radius below 1, as outside the bulk, but P + D has both signs. One
direction's radius is convex between two parts of the support of D, so that the search there is
complete. For several directions gaps are seen as points without density inside the bulk, and each
is then followed to its ends: to square-root edges, or to thin ones where P + D becomes singular for
a D in a far tail of the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from ..spectrum import EdgeKind, FloatArray
from .exterior import edge_between
from .law import MANY_BINS, CurvatureLaw
from .resolvent import MatrixResolvent, NoSolutionError, Resolvent, ScalarResolvent

__all__ = ["InnerGap", "matrix_gaps", "scalar_gaps"]

_MARGIN = 1e-9  # of the interval between two parts of the support
_NARROW = 1e-7  # a minimum of the radius this close to 1 is the touching of two bands
_GROWTH, _STEPS = 1.6, 400
_END = 1e-10  # relative step at which an end is thin
_FAR = 1.5  # a radius beyond which a step towards an edge was too long
_AT_ZERO = 1e-9  # distance from an atom at zero, in typical eigenvalues, where a gap ends
_NEARLY = 1e3  # times that distance: the signs of P + D may be lost before it is reached
# Towards a density that diverges at zero P does too, and is lost in rounding errors: from here on,
# in typical eigenvalues, the gap has ended.
_LOST = 1e-4


class InnerGap:
    """An interval (lower, upper) of the real axis between two bands.

    Attributes:
        resolvent: P along the gap.
        start: parameter tr P at the lower end; the larger of the two.
        end: parameter at the upper end.
        lower: lower end, an edge of the bulk.
        upper: upper end.
        kinds: of the two edges.
    """

    def __init__(
        self, resolvent: Resolvent, lower: tuple[float, EdgeKind], upper: tuple[float, EdgeKind]
    ) -> None:
        (self.start, lower_kind), (self.end, upper_kind) = lower, upper
        self.kinds = (lower_kind, upper_kind)
        self.resolvent, self.law = resolvent, resolvent.law
        self.lower, self.upper = resolvent.position(self.start), resolvent.position(self.end)


def scalar_gaps(law: CurvatureLaw) -> list[InnerGap]:
    """The gaps of a law with m = 1, in increasing order."""
    found = []
    parts = law.support
    for (_, below), (above, _) in pairwise(parts):
        # P + D vanishes nowhere on the support for P between these two.
        gap = _scalar_gap(ScalarResolvent(law.compressed(MANY_BINS), -above, -below))
        if gap is not None:
            found.append(gap)
    return sorted(found, key=lambda gap: gap.lower)


def _scalar_gap(resolvent: ScalarResolvent) -> InnerGap | None:
    width = resolvent.high - resolvent.low
    low, high = resolvent.low + _MARGIN * width, resolvent.high - _MARGIN * width

    def radius(parameter: float) -> float:
        value = resolvent.radius(parameter)
        return math.inf if value is None else value

    best = minimize_scalar(
        radius, bounds=(low, high), method="bounded", options={"xatol": 1e-10 * width}
    )
    if best.fun >= 1 - _NARROW:
        return None
    ends: list[tuple[float, EdgeKind]] = []
    for end in (high, low):
        if radius(end) < 1:  # hardly any weight at the end of this part of the support
            ends.append((end, "thin"))
        else:
            ends.append((edge_between(resolvent, float(best.x), end), "square-root"))
    return InnerGap(resolvent, ends[0], ends[1])


def matrix_gaps(
    law: CurvatureLaw, seeds: Sequence[tuple[float, FloatArray]], atom: bool
) -> list[InnerGap]:
    """The gaps around points without density, in increasing order.

    Args:
        law: the law of D, m >= 2.
        seeds: points lam without density and the real P (m, m) there.
        atom: whether there is an atom at zero, at which a gap ends.

    Raises:
        NoSolutionError: if the resolvent is lost on the way to an edge.
    """
    found: list[InnerGap] = []
    for lam, p in seeds:
        if any(gap.lower < lam < gap.upper for gap in found):
            continue
        parameter = float(np.trace(p))
        resolvent = MatrixResolvent(law, (p, lam))
        radius = resolvent.radius(parameter)
        if radius is None or radius >= 1:
            continue  # so close to an edge that the density only seems to be none
        ends = [_follow(resolvent, parameter, sign, atom) for sign in (1, -1)]
        found.append(InnerGap(resolvent, ends[0], ends[1]))
    return sorted(found, key=lambda gap: gap.lower)


def _follow(
    resolvent: MatrixResolvent, parameter: float, sign: int, atom: bool
) -> tuple[float, EdgeKind]:
    """The parameter of the edge on one side, or of a point next to an atom at zero."""
    seed, size = resolvent.position(parameter), abs(parameter)
    beside = math.copysign(_AT_ZERO * resolvent.law.scale, seed)
    step = 0.01 * sign * max(size, 1e-300)
    for _ in range(_STEPS):
        radius = resolvent.radius(parameter + step)
        if radius is None or radius > _FAR:
            step /= 4
        elif radius >= 1:
            try:
                return edge_between(resolvent, parameter, parameter + step), "square-root"
            except NoSolutionError:  # beside a density that diverges P is lost in long steps
                step /= 4
        elif atom and resolvent.position(parameter + step) * seed <= 0:
            if abs(resolvent.position(parameter)) <= abs(beside):  # the last step has led there
                return parameter, "hard"
            root = brentq(lambda t: resolvent.position(t) - beside, parameter, parameter + step)
            return float(root), "hard"
        else:
            parameter += step
            step *= _GROWTH
        if abs(step) < _END * max(abs(parameter), size):
            near = atom and abs(resolvent.position(parameter)) < _NEARLY * abs(beside)
            return parameter, "hard" if near else "thin"
    reached = resolvent.position(parameter)
    if abs(reached) < _LOST * resolvent.law.scale:
        return parameter, "hard"
    raise NoSolutionError(
        f"no edge of the gap around lam = {seed:.6g} was found; it was followed to {reached:.6g}"
    )
