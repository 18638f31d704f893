"""Where the number of positive entries of a sorted function of one variable changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq

from .spectrum import FloatArray

__all__ = ["Indicator", "SignChange", "entry", "positives", "scan", "sign_changes"]

Indicator = Callable[[float], FloatArray]

_ABSENT = -1.0
_MARGIN = 4.0
_NARROWEST = 2.0**-20  # of the whole interval
_OFF_CENTRE = 0.0618
_FLOOR = 1e-3
_SMALLEST_TOLERANCE = 1e-14


@dataclass(frozen=True)
class SignChange:
    """A place where the number of positive entries changes.

    Attributes:
        place: where the entry that changes its sign is zero, or jumps across it.
        low, high: places on both sides, closer together than the tolerance.
        before, after: numbers of positive entries there; they differ.
    """

    place: float
    low: float
    high: float
    before: int
    after: int


def positives(values: FloatArray) -> int:
    """Number of positive entries."""
    return int((values > 0).sum())


def entry(values: FloatArray, rank: int) -> float:
    """The entry of a rank, counted from 0; -1 beyond the last."""
    return float(values[rank]) if rank < len(values) else _ABSENT


def scan(indicator: Indicator, low: float, high: float, points: int) -> list[float]:
    """Places from low to high between which no pair of sign changes hides.

    An interval is halved while some entry has the same sign at its ends and comes closer to zero
    than its curvature there could bend it: |f| < 4 |f''| h^2 / 8 at one end, f'' from divided
    differences of neighbouring places. Nothing is missed if f'' stays within four times its
    estimate over an interval, nor beside a single corner, whose divided differences are large
    enough; two changes closer than a millionth of [low, high] may be missed.

    Args:
        indicator: place -> entries in falling order; memoised, since it is asked repeatedly.
        low: first place.
        high: last place.
        points: number of places to begin with, at least 3.
    """
    # Off the centre: what is special about a problem tends to happen at round numbers, and a place
    # exactly there sees two equal outliers where both its neighbours see a crossing.
    step = (high - low) / (points - 1)
    places = [low, *(low + step * (np.arange(1, points - 1) + _OFF_CENTRE)).tolist(), high]
    narrowest = _NARROWEST * (high - low)
    while True:
        bent = _bent(places, [indicator(place) for place in places])
        new = [
            (places[i] + places[i + 1]) / 2
            for i in bent
            if places[i + 1] - places[i] > narrowest
        ]  # fmt: skip
        if not new:
            return places
        places = sorted(places + new)


def _bent(places: list[float], values: list[FloatArray]) -> list[int]:
    """Intervals [places[i], places[i+1]] in which an entry may touch zero."""
    s = np.array(places)
    size = max(len(v) for v in values)
    f = np.full((len(s), size), _ABSENT)
    for row, v in zip(f, values, strict=True):
        row[: len(v)] = v
    slope = np.diff(f, axis=0) / np.diff(s)[:, None]
    second = np.abs(2 * np.diff(slope, axis=0)) / (s[2:] - s[:-2])[:, None]
    nearby = np.maximum(np.vstack([second[:1], second]), np.vstack([second, second[-1:]]))
    sagitta = nearby * np.diff(s)[:, None] ** 2 / 8
    closest = np.minimum(np.abs(f[:-1]), np.abs(f[1:]))
    same = (f[:-1] > 0) == (f[1:] > 0)
    suspicious = (same & (closest < _MARGIN * sagitta)).any(1)
    return np.flatnonzero(suspicious).tolist()


def sign_changes(
    indicator: Indicator, places: list[float], tolerance: float = 1e-6
) -> list[SignChange]:
    """All changes between neighbouring places, in order, each by Brent's method.

    Where several entries change their sign within the tolerance there is one change for them all.
    Each is confirmed: the counts at ``low`` and ``high`` differ.

    Args:
        indicator: as for `scan`.
        places: from `scan`.
        tolerance: largest high - low, relative to the place (plus a thousandth of it relative to
            the whole interval).
    """
    floor = _FLOOR * tolerance * (places[-1] - places[0])
    found: list[SignChange] = []
    for a, b in pairwise(places):
        found += _between(indicator, a, b, max(tolerance, _SMALLEST_TOLERANCE), floor)
    return found


def _between(
    indicator: Indicator, a: float, b: float, tolerance: float, floor: float
) -> list[SignChange]:
    before, after = positives(indicator(a)), positives(indicator(b))
    if before == after:
        return []
    rank = min(before, after)
    place = float(
        brentq(
            lambda s: entry(indicator(s), rank),
            a,
            b,
            xtol=floor / 4,
            rtol=max(tolerance / 8, 1e-15),
        )
    )
    half = tolerance / 2 * abs(place) + floor / 2
    while True:
        low, high = max(a, place - half), min(b, place + half)
        change = SignChange(place, low, high, positives(indicator(low)), positives(indicator(high)))
        if change.before != change.after:
            break
        half *= 2  # an entry that jumps by its own rounding errors, more often than once
    return [
        *(_between(indicator, a, low, tolerance, floor) if low > a else []),
        change,
        *(_between(indicator, high, b, tolerance, floor) if high < b else []),
    ]
