"""Outliers outside the bulk and in its gaps: counted by inertia, then one bracketed root each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..spectrum import FloatArray
from .exterior import Exterior
from .gaps import InnerGap
from .law import CurvatureLaw

__all__ = ["Outlier", "count_above", "count_outliers", "find_outliers"]

_AT_THE_EDGE = 1e-9  # relative: an eigenvalue of K this close to zero at an edge is no outlier
_ROOT_TOLERANCE = 1e-11
_ALIKE = 100  # how much longer the secant's step may be than that of the interpolation
_PATIENCE = 3  # slow steps before a bracket is halved
_AT_ZERO = 1e-9  # relative: a root this close to lam = 0 is the atom's
_NEWTON_STEPS, _SETTLED = 40, 1e-9


@dataclass(frozen=True)
class Outlier:
    """An isolated eigenvalue.

    Attributes:
        value: its place lam.
        overlap: |P u|^2 = 1 / (-w^T K'(lam) w), the squared norm of the eigenvector's part in
            span(x, mu), that of v included if the block holds v.
        direction: w (m r + q,), the unit vector with K(lam) w = 0: the direction of that part.
            Within a degenerate group it is one choice of many.
        parameter: tr P there.
        p: P (m, m) there.
    """

    value: float
    overlap: float
    direction: FloatArray
    parameter: float
    p: FloatArray


def _positive(side: Exterior | InnerGap, parameter: float) -> int:
    """Positive eigenvalues of K at a parameter, without those that are zero there."""
    k = side.resolvent.outlier_matrix(parameter)
    scale = max(abs(side.resolvent.position(parameter)), float(np.abs(k).max(initial=0.0)))
    return int((np.linalg.eigvalsh(k) > _AT_THE_EDGE * scale).sum())


def _is_endless(side: Exterior | InnerGap) -> bool:
    """Whether the bulk has no end on this side, or ends at zero."""
    return isinstance(side, Exterior) and side.kind in ("infinite", "hard")


def count_outliers(side: Exterior | InnerGap) -> int:
    """Number of outliers = positive eigenvalues of K at the lower end less those at the upper.

    None are told from the bulk where the bulk has no end, or ends at zero.
    """
    if _is_endless(side):
        return 0
    if math.isinf(side.end) and side.resolvent.position(side.start) >= 0:
        return _positive(side, side.start)
    return len(find_outliers(side))


def count_above(law: CurvatureLaw, weights: FloatArray, lam: float) -> int | None:
    """Number of outliers above a point above the bulk: the positive eigenvalues of K(lam).

    It takes none of the steps that find the bulk's edge and each outlier's place. None where the
    bulk is not found to end below the point.

    Args:
        law: m = 1, without v.
        weights: of its nodes, (N,), in place of its own: those with 0 are left out.
        lam: the point.
    """
    present, phi = weights > 0, law.aspect_ratio
    d, w = law.scalar_factors[present], weights[present]
    top = float(d.max())
    # lam is convex in p = -P, and here beyond the point: Newton comes down to it from above.
    p = phi * (law.snr * lam - float(w @ d))
    for _ in range(_NEWTON_STEPS):
        if p <= max(top, 0.0):
            return None
        ratios = d / (p - d)
        slope = 1 / phi - float(w @ ratios**2)
        if slope <= 0:
            return None
        step = (p / phi + p * float(w @ ratios) - law.snr * lam) / slope
        p -= step
        if abs(step) <= _SETTLED * p:
            break
    else:
        return None
    pulls, r = np.zeros_like(weights), law.span
    pulls[present] = w * p * d / (p - d)
    k = (pulls @ law.flat_moments).reshape(r, r) - lam * np.eye(r)
    return int((np.linalg.eigvalsh(k) > 0).sum())


def find_outliers(side: Exterior | InnerGap, hints: Sequence[Outlier] = ()) -> list[Outlier]:
    """The outliers of one side or gap, largest first, repeated by multiplicity.

    Args:
        side: where to look.
        hints: outliers of a nearby law, which make the search shorter.
    """
    if _is_endless(side):
        return []
    resolvent = side.resolvent
    path = _Path(side)
    first, last = _positive(side, side.start), 0
    if first == 0:
        return []
    path.evaluate(side.start)
    for hint in hints:
        if side.end < hint.parameter < side.start:
            path.evaluate(hint.parameter)
    if math.isinf(side.end):
        outer = side.start
        while path.evaluate(outer)[-1] > 0:
            outer = outer * 2 if outer < 0 else -max(outer, side.law.scale)
    else:
        last = int((path.evaluate(side.end) > 0).sum())
    found: list[Outlier] = []
    for rank in range(last + 1, first + 1):
        root = path.root(rank)
        value = resolvent.position(root)
        if abs(value) < _AT_ZERO * side.law.scale:
            continue
        w = np.linalg.eigh(resolvent.outlier_matrix(root))[1][:, -rank]
        overlap = -1 / resolvent.outlier_rate(root, w)
        found.append(Outlier(value, overlap, w, root, resolvent.solution(root)))
    return found


class _Path:
    """The eigenvalues of K along one side: they rise strictly with tr P (K' <= -I)."""

    def __init__(self, side: Exterior | InnerGap) -> None:
        self._resolvent = side.resolvent
        self._spectra: dict[float, FloatArray] = {}

    def evaluate(self, parameter: float) -> FloatArray:
        """All eigenvalues at a parameter, increasing."""
        if parameter not in self._spectra:
            values = np.linalg.eigvalsh(self._resolvent.outlier_matrix(parameter))
            self._spectra[parameter] = values.astype(np.float64)
        return self._spectra[parameter]

    def root(self, rank: int) -> float:
        """Where the eigenvalue of a rank, 1 for the largest, is zero.

        By inverse interpolation through what is known, which earlier roots have made much, within
        a bracket that is halved where it shrinks too slowly.
        """
        slow, width = 0, math.inf
        while True:
            known = sorted((parameter, float(v[-rank])) for parameter, v in self._spectra.items())
            place = next(i for i, (_, value) in enumerate(known) if value > 0)
            (low, below), (high, above) = known[place - 1 : place + 1]
            if below == 0 or high - low <= _ROOT_TOLERANCE * max(abs(low), abs(high)):
                return low if -below < above else high
            slow = slow + 1 if high - low > width / 2 else 0
            width = high - low
            guess = _inverse(known[max(place - 2, 0) : place + 2])
            # A guess close to an end tightens the bracket only there: step over the root.
            margin = _ROOT_TOLERANCE / 2 * max(abs(low), abs(high))
            for end, value in ((low, below), (high, above)):
                secant = abs(value) * (high - low) / (above - below)
                if abs(guess - end) < margin and secant < _ALIKE * margin:
                    return end
            if guess - low < margin:
                guess = low + margin
            elif high - guess < margin:
                guess = high - margin
            if slow > _PATIENCE or not low < guess < high:
                guess, slow = (low + high) / 2, 0
            self.evaluate(guess)


def _inverse(known: Sequence[tuple[float, float]]) -> float:
    """The parameter at the value 0 of the polynomial through (value, parameter): Neville."""
    values = [value for _, value in known]
    table = [parameter for parameter, _ in known]
    for order in range(1, len(known)):
        for i in range(len(known) - order):
            rise = values[i + order] - values[i]
            if rise == 0:
                return math.nan
            table[i] = (values[i + order] * table[i] - values[i] * table[i + 1]) / rise
    return table[0]
