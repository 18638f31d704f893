"""Where an eigenvalue of a finite sample may be called an outlier."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["counted_detection_edge", "square_root_detection_edge"]

# Of the Tracy-Widom law (beta = 1): 99 % point, mean, and the point where N = 1/2, in its units.
_TRACY_WIDOM_QUANTILE = 2.0234
_TRACY_WIDOM_MEAN = -1.2065
_NORMAL_QUANTILE = 2.3263
_HALF_EIGENVALUE = (3 * math.pi / 4) ** (2 / 3)
_STRETCH = 1.4


def square_root_detection_edge(edge: float, finite_size_edge: float, noise: float) -> float:
    """99 % point of the largest bulk eigenvalue beyond a square-root edge e.

        e + m s + sqrt( (q - m)^2 s^2 + z^2 noise^2 )        (to the right)

    with s = (e - e_1/2) / 1.77 the unit of the Tracy-Widom law, m its mean, q and z the 99 %
    points of the Tracy-Widom and the normal law: exact for noise 0, where it is
    e + 1.14 (e - e_1/2), and for noise alone.

    Args:
        edge: e.
        finite_size_edge: e_1/2, where the counting function is one half.
        noise: standard deviation of the edge over the factors D of a sample, see
            `Exterior.edge_noise`. It is of order n^(-1/2), more than the n^(-2/3) of Tracy-Widom.
    """
    unit = (edge - finite_size_edge) / _HALF_EIGENVALUE
    spread = math.hypot(
        (_TRACY_WIDOM_QUANTILE - _TRACY_WIDOM_MEAN) * unit, _NORMAL_QUANTILE * noise
    )
    return float(edge + _TRACY_WIDOM_MEAN * unit + math.copysign(spread, unit))


def counted_detection_edge(quantile: Callable[[float], float], size: int) -> float:
    """Detection edge from the counting function alone, where samples' laws are not followed.

    The larger of two continuations of e_1/2, exact for the two kinds of bulk that end in
    independent eigenvalues or as Tracy-Widom: the point where N = 1/100, and e_1/2 +
    1.98 (e_1/2 - e_3/2). Neither knows that the law of the factors D fluctuates from sample to
    sample; the distance is stretched by 1.4 for it, as `thin_detection_edge` finds it for single
    directions (1.34 to 1.43 in eight cases out of nine).

    Args:
        quantile: the point with a given share of eigenvalues beyond it.
        size: number of eigenvalues.
    """
    half, three_halves, hundredth = (quantile(count / size) for count in (0.5, 1.5, 0.01))
    three_halves_unit = (9 * math.pi / 4) ** (2 / 3)
    ratio = (_TRACY_WIDOM_QUANTILE + _HALF_EIGENVALUE) / (three_halves_unit - _HALF_EIGENVALUE)
    steps = (hundredth - half, ratio * (half - three_halves))
    return float(half + _STRETCH * max(steps, key=abs))
