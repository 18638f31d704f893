"""Transitions along a path: where outliers leave the bulk, join it and meet one another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...models.arguments import require_arguments, require_least
from ..mixture.factors import Matrix
from ..sign_changes import SignChange, entry, scan, sign_changes
from ..spectrum import SIDES, EdgeKind, Side
from .block_path import BlockPath, Path, SideState
from .crossings import CrossingKind, crossings

__all__ = ["TransitionPoint", "transition_points"]


@dataclass(frozen=True)
class TransitionPoint:
    """A place of the parameter where the outliers of one side change.

    Attributes:
        place: value of the parameter.
        error: estimated error of ``place``: the root's bracket, and what the next coarser
            quadrature would move it by. Errors of the path itself (of a solution of the dynamics,
            say) are not in it, nor at a thin edge that of the supremum of D.
        kind: outliers "appear" out of the bulk or "disappear" into it; or two of them meet:
            see `Crossing`.
        side: of the bulk, or "inside": between two of its bands, or a band and an atom at zero.
        ranks: first and last outlier that takes part, 1 for the most extreme one, in gaps for the
            largest.
        before: number of outliers on that side (or in all gaps) just below ``place``.
        after: number just above.
        value: eigenvalue where it happens: the edge, or the mean of those that meet.
        edge_kinds: of the edge just below and above. Where they differ and one is "infinite" or
            "hard" the count jumps, because the bulk gains or loses its end.
        gap: relative distance of the two outliers that meet; NaN where they leave or join the bulk.
        gap_error: distance that cannot be told from zero; NaN likewise.
    """

    place: float
    error: float
    kind: Literal["appears", "disappears"] | CrossingKind
    side: Side
    ranks: tuple[int, int]
    before: int
    after: int
    value: float
    edge_kinds: tuple[EdgeKind, EdgeKind]
    gap: float = math.nan
    gap_error: float = math.nan


def transition_points(
    path: Path,
    matrix: Matrix,
    rows: tuple[int, ...],
    low: float,
    high: float,
    *,
    with_parameters: bool = False,
    tolerance: float = 1e-6,
    points: int = 33,
) -> tuple[TransitionPoint, ...]:
    """All transitions of one block over an interval of a parameter, in order.

    An outlier leaves the bulk where an eigenvalue of K at the edge crosses zero (docs/theory.md,
    Transitions): a root found by Brent's method and confirmed by counts on both sides. What lies
    between the places that are looked at is found under the assumptions that `scan` and
    `crossings` state.

    Args:
        path: the theory at a value of the parameter, for example
            ``lambda t: varied(theory, statistics=dynamics.at(t))`` or
            ``lambda snr: varied(theory, snr=snr)``.
        matrix: "hessian" or "information".
        rows: directions in the block; gaps are looked at for a single one.
        low: start of the interval.
        high: its end, > low.
        with_parameters: whether the head's parameters v belong to the block.
        tolerance: width of the bracket of each place, relative to it, in [1e-12, 0.1].
        points: number of places to begin with, at least 3.

    Raises:
        ValueError: if the interval is empty, or an argument is out of range.
        NoSolutionError: if the spectrum cannot be solved somewhere on the path.
    """
    require_arguments(transition_points, locals())
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"low, high: expected finite low < high, got {low}, {high}")
    if not 1e-12 <= tolerance <= 0.1:
        raise ValueError(f"tolerance: expected a number in [1e-12, 0.1], got {tolerance}")
    require_least("points", points, 3)
    block = BlockPath(path, matrix, rows, with_parameters)
    found: list[TransitionPoint] = []
    for side in SIDES:

        def excess(place: float, side: Side = side) -> np.ndarray:
            return block.at(place, side).excess

        places = scan(excess, low, high, points)
        changes = sign_changes(excess, places, tolerance)
        found += [_of_change(block, side, change) for change in changes]
        looked_at = sorted({*places, *(end for c in changes for end in (c.low, c.high))})
        for crossing in crossings(block, side, looked_at, tolerance):
            state = block.at(crossing.place, side)
            found.append(
                TransitionPoint(
                    place=crossing.place,
                    error=crossing.error,
                    kind=crossing.kind,
                    side=side,
                    ranks=crossing.ranks,
                    before=len(state.values),
                    after=len(state.values),
                    value=crossing.value,
                    edge_kinds=(state.kind, state.kind),
                    gap=crossing.gap,
                    gap_error=crossing.gap_error,
                )
            )
    return tuple(sorted(found, key=lambda point: point.place))


def _of_change(block: BlockPath, side: Side, change: SignChange) -> TransitionPoint:
    below, above = block.at(change.low, side), block.at(change.high, side)
    fewer, more = sorted((change.before, change.after))
    without, with_them = (above, below) if change.before > change.after else (below, above)
    edge = float(with_them.edges[fewer])
    first = fewer if side != "inside" else int((without.values > edge).sum())
    return TransitionPoint(
        place=change.place,
        error=max(change.high - change.place, change.place - change.low)
        + _quadrature_error(block, side, change, fewer),
        kind="appears" if change.after > change.before else "disappears",
        side=side,
        ranks=(first + 1, first + more - fewer),
        before=change.before,
        after=change.after,
        value=edge,
        edge_kinds=(below.kind, above.kind),
    )


def _quadrature_error(block: BlockPath, side: Side, change: SignChange, rank: int) -> float:
    """What the next coarser quadrature moves the place by, to first order; inf if unknown."""

    def excess(place: float, coarser: bool = False) -> float:
        state: SideState = block.at(place, side, coarser)
        return entry(state.excess, rank)

    rise = (excess(change.high) - excess(change.low)) / (change.high - change.low)
    moved = excess(change.place, coarser=True) - excess(change.place)
    return abs(moved / rise) if rise else math.inf
