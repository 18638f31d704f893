"""Phase diagrams: how many outliers theory predicts over two parameters, and the lines between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from ...models.arguments import require_arguments
from ..bulk.law import CurvatureLaw
from ..mixture.effective_spectrum import EffectiveSpectrum
from ..mixture.factors import Matrix
from ..sign_changes import entry, positives
from ..spectrum import SIDES, FloatArray, Side
from ..transitions import Boundary
from .block_path import block_law, side_excess, varied

__all__ = [
    "PhaseDiagram",
    "Plane",
    "counted",
    "excess_plane",
    "phase_diagram",
    "snr_aspect_ratio_plane",
]

Plane = Callable[[float, float], FloatArray]

_COARSEST = 8  # cells of the grid along a side of the largest leaf
_BEYOND = 0.5
_LAWS = 4


@dataclass(frozen=True)
class PhaseDiagram:
    """Counts of outliers over two parameters.

    Attributes:
        x: (nx,) first parameter, increasing.
        y: (ny,) second parameter, increasing.
        counts: (ny, nx) number of outliers.
        boundaries: the lines where it changes.
        evaluations: how often the indicator was evaluated, for the counts and for the lines; the
            coarser one not counted.
        grid_evaluations: for the counts alone, of which there are nx ny.
    """

    x: FloatArray
    y: FloatArray
    counts: NDArray[np.int64]
    boundaries: tuple[Boundary, ...]
    evaluations: int
    grid_evaluations: int


def phase_diagram(
    plane: Plane,
    x: FloatArray,
    y: FloatArray,
    *,
    coarser: Plane | None = None,
    tolerance: float = 1e-3,
) -> PhaseDiagram:
    """Counts on a grid, found on few of its points, and the lines between them.

    The grid is covered by rectangles of at most 8 x 8 cells, which are divided in four as long as
    their corners, or other known points on their sides, differ in their counts, or an entry of the
    indicator comes closer to zero at a corner than half of the range of its values at the four.
    So a phase is found, however small, if inside a rectangle no entry goes beyond the range of its
    corners by more than half of it. On each edge of the smallest cells whose ends differ the
    boundary is a root by Brent's method, and neighbouring roots are joined.

    Args:
        plane: (x, y) -> entries in falling order, positive ones counted: `excess_plane`,
            `snr_aspect_ratio_plane`, or `counted`. Asked in the order of x wherever possible.
        x: (nx,) increasing, nx >= 2; any spacing.
        y: (ny,) likewise.
        coarser: the same on a coarser quadrature, for the errors of the lines.
        tolerance: of a boundary's points, relative to the length of the cell's edge.

    Raises:
        ValueError: if a grid has fewer than two values or does not increase.
    """
    require_arguments(phase_diagram, locals())
    for name, values in (("x", x), ("y", y)):
        if values.ndim != 1 or len(values) < 2 or not (np.diff(values) > 0).all():
            raise ValueError(f"{name}: expected at least two increasing numbers, got {values}")
    grid = _Grid(plane, x, y)
    counts = grid.fill()
    grid_evaluations = grid.evaluations
    boundaries = tuple(grid.boundaries(counts, coarser, tolerance))
    return PhaseDiagram(x, y, counts, boundaries, grid.evaluations, grid_evaluations)


def excess_plane(
    theory: Callable[[float, float], EffectiveSpectrum],
    matrix: Matrix,
    rows: tuple[int, ...],
    side: Side = "top",
    coarser: bool = False,
    with_parameters: bool = False,
) -> Plane:
    """Edge excess of one block over any two parameters.

    Args:
        theory: the theory at two parameters, for example the length of x and its alignment.
        matrix: "hessian" or "information".
        rows: directions in the block.
        side: of the bulk, or "inside" for all gaps together (one direction).
        coarser: whether to take the next coarser quadrature.
        with_parameters: whether the head's parameters v belong to the block.

    Raises:
        ValueError: if there is no such side.
    """
    require_arguments(excess_plane, locals())
    _require_side(side)

    def excess(x: float, y: float) -> FloatArray:
        return side_excess(block_law(theory(x, y), matrix, rows, coarser, with_parameters), side)

    return excess


def snr_aspect_ratio_plane(
    theory: EffectiveSpectrum,
    matrix: Matrix,
    rows: tuple[int, ...],
    side: Side = "top",
    coarser: bool = False,
    with_parameters: bool = False,
) -> Plane:
    """Edge excess of one block over (snr, phi), arguments as for `excess_plane`.

    phi costs little: the law of D does not know it, and is kept for the last few values of snr.
    """
    _require_side(side)

    @lru_cache(maxsize=_LAWS)
    def law(snr: float) -> CurvatureLaw:
        return block_law(varied(theory, snr=snr), matrix, rows, coarser, with_parameters)

    def excess(snr: float, aspect_ratio: float) -> FloatArray:
        return side_excess(replace(law(snr), aspect_ratio=aspect_ratio), side)

    return excess


def _require_side(side: str) -> None:
    if side not in SIDES:
        raise ValueError(f"side: expected one of {', '.join(SIDES)}, got {side!r}")


def counted(count: Callable[[float, float], int], most: int) -> Plane:
    """An indicator of counts alone, up to ``most``: its boundaries are found by bisection."""
    ranks = np.arange(most)

    def steps(x: float, y: float) -> FloatArray:
        return np.where(ranks < count(x, y), 1.0, -1.0)

    return steps


@dataclass(frozen=True)
class _Rectangle:
    """Grid points from (left, bottom) to (right, top), both included."""

    left: int
    right: int
    bottom: int
    top: int

    @property
    def corners(self) -> tuple[tuple[int, int], ...]:
        return tuple((i, j) for i in (self.left, self.right) for j in (self.bottom, self.top))

    @property
    def smallest(self) -> bool:
        return self.right - self.left == self.top - self.bottom == 1

    def parts(self) -> Iterator[_Rectangle]:
        """Its quarters; halves where one side is a single cell."""
        for left, right in _halves(self.left, self.right):
            for bottom, top in _halves(self.bottom, self.top):
                yield _Rectangle(left, right, bottom, top)


def _halves(low: int, high: int) -> list[tuple[int, int]]:
    middle = (low + high) // 2
    return [(low, high)] if middle == low else [(low, middle), (middle, high)]


# An edge of a cell: its grid point of smaller indices, and whether it goes along x.
_CellEdge = tuple[int, int, bool]


class _Grid:
    """The indicator's values, the rectangles, and the roots on edges."""

    def __init__(self, plane: Plane, x: FloatArray, y: FloatArray) -> None:
        self._plane, self._x, self._y = plane, x, y
        self._values: dict[tuple[float, float], FloatArray] = {}
        self._known = np.full((len(y), len(x)), -1, dtype=np.int64)
        self._leaves: list[_Rectangle] = []

    @property
    def evaluations(self) -> int:
        return len(self._values)

    def value(self, x: float, y: float) -> FloatArray:
        if (x, y) not in self._values:
            self._values[x, y] = self._plane(x, y)
        return self._values[x, y]

    def at(self, i: int, j: int) -> FloatArray:
        value = self.value(float(self._x[i]), float(self._y[j]))
        self._known[j, i] = positives(value)
        return value

    def fill(self) -> NDArray[np.int64]:
        """Counts at all points of the grid, (ny, nx)."""
        waiting = [
            _Rectangle(left, min(left + _COARSEST, len(self._x) - 1), bottom, top)
            for left in range(0, len(self._x) - 1, _COARSEST)
            for bottom in range(0, len(self._y) - 1, _COARSEST)
            for top in [min(bottom + _COARSEST, len(self._y) - 1)]
        ]
        while waiting:
            for i, j in sorted({corner for one in waiting for corner in one.corners}):
                self.at(i, j)
            # What is now known may contradict leaves of earlier rounds.
            self._leaves += waiting
            divided = [leaf for leaf in self._leaves if self._divides(leaf)]
            self._leaves = [leaf for leaf in self._leaves if leaf not in set(divided)]
            waiting = [part for leaf in divided for part in leaf.parts()]
        counts = self._known.copy()
        for leaf in self._leaves:
            inside = counts[leaf.bottom : leaf.top + 1, leaf.left : leaf.right + 1]
            inside[inside < 0] = self._known[leaf.bottom, leaf.left]
        return counts

    def _divides(self, leaf: _Rectangle) -> bool:
        if leaf.smallest:
            return False
        known = self._known[leaf.bottom : leaf.top + 1, leaf.left : leaf.right + 1]
        if len(np.unique(known[known >= 0])) > 1:
            return True
        values = [self.at(i, j) for i, j in leaf.corners]
        size = max(len(value) for value in values)
        entries = np.array([[entry(value, rank) for rank in range(size)] for value in values])
        closest, extent = np.abs(entries).min(0), np.ptp(entries, axis=0)
        return bool((closest < _BEYOND * extent).any())

    def boundaries(
        self, counts: NDArray[np.int64], coarser: Plane | None, tolerance: float
    ) -> Iterator[Boundary]:
        """Lines of every count, joined."""
        cells = [
            (leaf.left, leaf.bottom)
            for leaf in self._leaves
            if leaf.smallest and len({counts[j, i] for i, j in leaf.corners}) > 1
        ]
        edges = sorted({edge for cell in cells for edge in _edges(*cell)})
        roots = _Roots(self, self._x, self._y, counts, coarser, tolerance)
        places = {edge: roots.on(edge) for edge in edges}
        for count in range(int(counts.min()) + 1, int(counts.max()) + 1):
            segments = [
                segment
                for cell in cells
                for segment in self._segments(cell, counts >= count, count)
            ]
            for line in _chains(segments):
                found = [places[edge][count] for edge in line]
                points = np.array([(x, y) for x, y, _ in found])
                yield Boundary(count, points, np.array([error for *_, error in found]))

    def _segments(
        self, cell: tuple[int, int], above: NDArray[np.bool_], count: int
    ) -> list[tuple[_CellEdge, _CellEdge]]:
        """Pairs of edges of one cell that the boundary joins."""
        i, j = cell
        bottom, left, top, right = _edges(i, j)
        cut = [edge for edge in (bottom, left, top, right) if _differs(above, edge)]
        if len(cut) == 2:
            return [(cut[0], cut[1])]
        if not cut:
            return []
        centre = self.value(
            float(self._x[i] + self._x[i + 1]) / 2, float(self._y[j] + self._y[j + 1]) / 2
        )
        if (entry(centre, count - 1) > 0) == above[j, i]:
            return [(bottom, right), (left, top)]
        return [(bottom, left), (right, top)]


def _edges(i: int, j: int) -> tuple[_CellEdge, _CellEdge, _CellEdge, _CellEdge]:
    """Bottom, left, top and right edge of the cell with its lower left corner at (i, j)."""
    return (i, j, True), (i, j, False), (i, j + 1, True), (i + 1, j, False)


def _differs(above: NDArray[np.bool_], edge: _CellEdge) -> bool:
    i, j, along_x = edge
    return bool(above[j, i] != (above[j, i + 1] if along_x else above[j + 1, i]))


@dataclass(frozen=True)
class _Roots:
    """Boundary points on edges of cells."""

    grid: _Grid
    x: FloatArray
    y: FloatArray
    counts: NDArray[np.int64]
    coarser: Plane | None
    tolerance: float

    def on(self, edge: _CellEdge) -> dict[int, tuple[float, float, float]]:
        """For each count that begins or ends on the edge: x, y and the error along the edge."""
        i, j, along_x = edge
        fixed = float(self.y[j] if along_x else self.x[i])
        low, high = (
            (float(self.x[i]), float(self.x[i + 1]))
            if along_x
            else (float(self.y[j]), float(self.y[j + 1]))
        )

        def point(s: float) -> tuple[float, float]:
            return (s, fixed) if along_x else (fixed, s)

        ends = self.counts[j, i], self.counts[j, i + 1] if along_x else self.counts[j + 1, i]
        found: dict[int, tuple[float, float, float]] = {}
        place = (low + high) / 2
        for count in range(int(min(ends)) + 1, int(max(ends)) + 1):

            def height(s: float, rank: int = count - 1) -> float:
                return entry(self.grid.value(*point(s)), rank)

            rise = height(high) - height(low)
            if not (found and abs(height(place)) < self.tolerance * abs(rise)):
                width = self.tolerance * (high - low)
                place = float(brentq(height, low, high, xtol=width / 2, rtol=1e-15))
            error = self.tolerance * (high - low)
            if self.coarser is not None:
                moved = entry(self.coarser(*point(place)), count - 1) - height(place)
                error += abs(moved / rise) * (high - low)
            found[count] = (*point(place), error)
        return found


def _chains(segments: list[tuple[_CellEdge, _CellEdge]]) -> Iterator[list[_CellEdge]]:
    """Segments joined to lines; a closed line ends where it begins."""
    neighbours: dict[_CellEdge, list[_CellEdge]] = {}
    for first, second in segments:
        neighbours.setdefault(first, []).append(second)
        neighbours.setdefault(second, []).append(first)
    ends = [edge for edge, others in neighbours.items() if len(others) == 1]
    left = dict.fromkeys([*ends, *neighbours])  # open lines first
    while left:
        line = [next(iter(left))]
        del left[line[0]]
        while following := [edge for edge in neighbours[line[-1]] if edge in left]:
            line.append(following[0])
            del left[following[0]]
        if len(line) > 2 and line[0] in neighbours[line[-1]]:
            line.append(line[0])
        yield line
