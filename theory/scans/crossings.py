"""Where two outliers of one side meet along a path: crossings, and where they avoid each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

import numpy as np
from scipy.optimize import brentq, linear_sum_assignment, minimize_scalar

from ..spectrum import FloatArray, Side
from .block_path import BlockPath, SideState

__all__ = ["Crossing", "CrossingKind", "crossings"]

CrossingKind = Literal["crosses", "touches", "avoids", "splits", "merges"]

_ROUNDING = 1e-9  # relative error of a root of K, whatever the quadrature
_NEAR = 1e-3  # relative gap below which the quadrature's error of a gap is looked at
_SAME = 0.6  # neighbours with smaller squared overlaps of their eigenvectors are looked at between
_NARROWEST = 2.0**-10  # of the whole interval
_DEEP = 2.0  # an avoided crossing at least halves the gap
_SLOPES = 4.0


@dataclass(frozen=True)
class Crossing:
    """Outliers of neighbouring ranks meet, or nearly.

    Attributes:
        place: of the parameter.
        error: estimated error of ``place``.
        kind: they exchange their eigenvectors ("crosses"), meet and part again without doing so
            ("touches"), or come close and part again ("avoids"); or they are equal on one side of
            the place over a whole interval: they "split" or "merge" there.
        ranks: first and last rank that takes part, 1 for the most extreme outlier of the side.
        value: their mean.
        gap: smallest relative distance of neighbours that was found; at most ``gap_error`` unless
            they avoid each other.
        gap_error: distance that cannot be told from zero: the quadrature's error of the two values.
    """

    place: float
    error: float
    kind: CrossingKind
    ranks: tuple[int, int]
    value: float
    gap: float
    gap_error: float


def crossings(
    block: BlockPath, side: Side, places: list[float], tolerance: float = 1e-6
) -> list[Crossing]:
    """All crossings between the first and the last place, in order.

    Eigenvalues of symmetric matrices that depend on one parameter avoid crossing unless a symmetry
    keeps their eigenvectors apart. So places are added until the eigenvectors at neighbouring ones
    match (a squared overlap above 0.6, or an interval of 1/1024 of the whole). Where they match
    in another order the difference of two branches, each followed by its eigenvector, changes its
    sign: a root by Brent's method, and a crossing if the gap there is zero to within its numerical
    error. Every other minimum of a gap that is at most half of the maxima beside it is a closest
    approach. Missed are pairs of crossings within one interval after which the eigenvectors are
    what they were, and what happens at the ends themselves.

    Args:
        block: the states.
        side: which.
        places: increasing, with all changes of the number of outliers resolved.
        tolerance: of the place, relative to it (plus a thousandth relative to the interval).
    """
    search = _Search(block, side, tolerance, 1e-3 * tolerance * (places[-1] - places[0]))
    places = search.refined(places)
    exchanges = _grouped(list(search.exchanges(places)))
    found = [*exchanges]
    for run in search.runs(places):
        found += [*search.partings(run, exchanges), *search.approaches(run, exchanges)]
    return sorted(found, key=lambda crossing: crossing.place)


class _Search:
    """The search for crossings on one side of one block."""

    def __init__(self, block: BlockPath, side: Side, tolerance: float, floor: float) -> None:
        self._block, self._side = block, side
        self._tolerance, self._floor = tolerance, floor

    def at(self, place: float) -> SideState:
        return self._block.at(place, self._side)

    def gap(self, place: float, upper: int) -> float:
        """Relative distance of the outliers of ranks ``upper`` and ``upper + 1``, from 0."""
        values = self.at(place).values
        if len(values) < upper + 2:
            return np.inf
        return abs(float(values[upper] - values[upper + 1])) / _size(values[upper : upper + 2])

    def noise(self, place: float, upper: int) -> float:
        """Relative error of that distance."""
        values = self.at(place).values
        coarse = self._block.at(place, self._side, coarser=True).values
        if len(coarse) < upper + 2:
            return np.inf
        pair = slice(upper, upper + 2)
        change = float(np.abs(values[pair] - coarse[pair]).sum()) / _size(values[pair])
        return _ROUNDING + change

    def equal(self, place: float, upper: int) -> bool:
        """Whether the two cannot be told apart."""
        gap = self.gap(place, upper)
        return gap < _NEAR and gap <= self.noise(place, upper)

    def refined(self, places: list[float]) -> list[float]:
        """More places, until the eigenvectors at neighbouring ones match."""
        narrowest = _NARROWEST * (places[-1] - places[0])
        while True:
            new = [
                (a + b) / 2
                for a, b in pairwise(places)
                if b - a > narrowest and self._matched(a, b)[1] < _SAME
            ]
            if not new:
                return places
            places = sorted(places + new)

    def runs(self, places: list[float]) -> list[list[float]]:
        """Stretches over which equal ranks mean the same outliers as long as none cross."""
        if self._side != "inside":
            return [places]
        grouped = groupby(places, key=lambda place: len(self.at(place).values))
        return [list(run) for _, run in grouped]

    def _matched(self, a: float, b: float) -> tuple[np.ndarray, float]:
        """For each outlier at a its rank at b, and the smallest squared overlap of the matches.

        Overlaps with outliers that are equal to the match count for it. New outliers come out of
        the bulk, so that those at both places are the most extreme ones; in a gap they may come
        from either end, and nothing is compared across a change of their number.
        """
        left, right = self.at(a), self.at(b)
        n = min(len(left.values), len(right.values))
        if n < 2 or left.vectors.shape[1] != right.vectors.shape[1]:
            return np.arange(n), 1.0
        if self._side == "inside" and len(left.values) != len(right.values):
            return np.arange(0), 1.0
        overlaps = (left.vectors[:n] @ right.vectors[:n].T) ** 2
        ranks = linear_sum_assignment(-overlaps)[1]
        matches = right.values[ranks]
        together = np.abs(matches[:, None] - right.values[:n]) <= _NEAR * np.abs(matches)[:, None]
        return ranks, float((overlaps * together).sum(1).min())

    def exchanges(self, places: list[float]) -> Iterator[Crossing]:
        """True crossings: neighbouring places whose eigenvectors match in another order."""
        for a, b in pairwise(places):
            ranks = self._matched(a, b)[0]
            for i in range(len(ranks)):
                for j in range(i + 1, len(ranks)):
                    if ranks[i] > ranks[j]:
                        found = self._exchange(a, b, (i, j), (int(ranks[i]), int(ranks[j])))
                        if found is not None:
                            yield found

    def _exchange(
        self, a: float, b: float, before: tuple[int, int], after: tuple[int, int]
    ) -> Crossing | None:
        left, right = self.at(a), self.at(b)
        references = [
            np.stack([left.vectors[rank], right.vectors[later]])
            for rank, later in zip(before, after, strict=True)
        ]

        def ranks(place: float) -> list[int]:
            vectors = self.at(place).vectors
            return [int(((vectors @ pair.T) ** 2).sum(1).argmax()) for pair in references]

        def difference(place: float) -> float:
            values = self.at(place).values
            first, second = ranks(place)
            return float(values[first] - values[second])

        ends = [difference(place) for place in (a, b)]
        clear = not (self._tied(a, before) or self._tied(b, (after[1], after[0])))
        if ends[0] * ends[1] >= 0 or not clear:
            return None
        place = float(brentq(difference, a, b, xtol=self._floor / 4, rtol=self._tolerance / 8))
        width = self._tolerance / 2 * abs(place) + self._floor / 2
        first, second = sorted(ranks(place))
        if first == second:
            return None
        values = self.at(place).values
        size = _size(values[[first, second]])
        gap = abs(float(values[first] - values[second])) / size
        noise = max(self.noise(place, upper) for upper in range(first, second))
        slope = sum(map(abs, ends)) / (b - a) / size
        if gap > noise + _SLOPES * slope * width:
            return None
        return Crossing(
            place=place,
            error=width + noise / slope,
            kind="crosses",
            ranks=(first + 1, second + 1),
            value=float(values[[first, second]].mean()),
            gap=gap,
            gap_error=noise,
        )

    def _tied(self, place: float, ranks: tuple[int, int]) -> bool:
        return all(self.equal(place, upper) for upper in range(ranks[0], ranks[1]))

    def partings(self, places: list[float], known: list[Crossing]) -> Iterator[Crossing]:
        """Where two outliers that are equal over at least one interval split, or the reverse."""
        most = max(len(self.at(place).values) for place in places)
        for upper in range(most - 1):
            equal = [self.equal(place, upper) for place in places]
            there = [np.isfinite(self.gap(place, upper)) for place in places]
            for i in range(len(places) - 1):
                if equal[i] == equal[i + 1] or not (there[i] and there[i + 1]):
                    continue
                inner, outer = (i, i + 1) if equal[i] else (i + 1, i)
                behind = 2 * inner - outer
                again = _among(known, places[i], places[i + 1], upper)
                if 0 <= behind < len(places) and equal[behind] and not again:
                    yield self._parting(places[inner], places[outer], upper)

    def _parting(self, inner: float, outer: float, upper: int) -> Crossing:
        """A gap grows from its noise at least as fast as a parabola: 4 times it is twice as far."""
        noise = self.noise(inner, upper)
        low, high = sorted((inner, outer))

        def reached(level: float) -> float:
            level = min(level, 0.999 * self.gap(outer, upper))
            if self.gap(inner, upper) >= level:
                return inner
            return float(
                brentq(
                    lambda s: self.gap(s, upper) - level,
                    low,
                    high,
                    xtol=self._floor / 4,
                    rtol=self._tolerance / 8,
                )
            )

        place, further = reached(2 * noise), reached(8 * noise)
        return Crossing(
            place=place,
            error=abs(further - place) + self._tolerance / 2 * abs(place) + self._floor / 2,
            kind="splits" if inner < outer else "merges",
            ranks=(upper + 1, upper + 2),
            value=float(self.at(place).values[upper : upper + 2].mean()),
            gap=self.gap(place, upper),
            gap_error=noise,
        )

    def approaches(self, places: list[float], known: list[Crossing]) -> Iterator[Crossing]:
        """Minima of gaps, but those at crossings that are known."""
        most = max(len(self.at(place).values) for place in places)
        for upper in range(most - 1):
            gaps = np.array([self.gap(place, upper) for place in places])
            for i in range(1, len(places) - 1):
                a, b = places[i - 1], places[i + 1]
                least = gaps[i] <= gaps[i - 1] and gaps[i] < gaps[i + 1]
                inside = bool(np.isfinite(gaps[i - 1 : i + 2]).all())
                if least and inside and not _among(known, a, b, upper):
                    sides = _rise(gaps[i::-1]), _rise(gaps[i:])
                    found = self._approach(a, b, upper)
                    prominent = min(sides) >= _DEEP * found.gap
                    if prominent and min(sides) > _SLOPES * found.gap_error:
                        yield found

    def _approach(self, a: float, b: float, upper: int) -> Crossing:
        tried: dict[float, float] = {}

        def squared(place: float) -> float:
            tried[place] = self.gap(place, upper)
            return min(tried[place], 1e9) ** 2  # smooth even where the gap itself has a corner

        xatol = self._tolerance / 2 * max(abs(a), abs(b)) + self._floor / 2
        minimize_scalar(squared, bounds=(a, b), method="bounded", options={"xatol": xatol})
        place = float(min(tried, key=lambda s: tried[s]))
        gap, noise = tried[place], self.noise(place, upper)
        # The minimum is flat: every place whose gap is as good within the error may be it.
        error = max(abs(s - place) for s, g in tried.items() if g**2 <= gap**2 + noise**2)
        return Crossing(
            place=place,
            error=error + xatol,
            kind="touches" if gap <= noise else "avoids",
            ranks=(upper + 1, upper + 2),
            value=float(self.at(place).values[upper : upper + 2].mean()),
            gap=gap,
            gap_error=noise,
        )


def _among(known: list[Crossing], a: float, b: float, upper: int) -> bool:
    """Whether the outliers of ranks ``upper`` and ``upper + 1``, from 0, cross between a and b."""
    return any(a <= c.place <= b and c.ranks[0] <= upper + 1 < c.ranks[1] for c in known)


def _size(values: FloatArray) -> float:
    return max(float(np.abs(values).mean()), 1e-300)


def _rise(gaps: FloatArray) -> float:
    """Largest gap before one below the first, going along."""
    below = np.flatnonzero(~np.isfinite(gaps) | (gaps < gaps[0]))
    return float(gaps[: below[0] if len(below) else None].max())


def _grouped(found: list[Crossing]) -> list[Crossing]:
    """One crossing for those at the same place: an outlier that crosses a degenerate pair."""
    groups: list[Crossing] = []
    for crossing in sorted(found, key=lambda crossing: crossing.place):
        last = groups[-1] if groups else None
        if (
            last is not None
            and crossing.place - last.place <= crossing.error + last.error
            and crossing.ranks[0] <= last.ranks[1]
            and last.ranks[0] <= crossing.ranks[1]
        ):
            best = min(last, crossing, key=lambda c: c.error)
            groups[-1] = Crossing(
                best.place,
                max(last.error, crossing.error),
                "crosses",
                (min(last.ranks[0], crossing.ranks[0]), max(last.ranks[1], crossing.ranks[1])),
                best.value,
                max(last.gap, crossing.gap),
                max(last.gap_error, crossing.gap_error),
            )
        else:
            groups.append(crossing)
    return groups
