"""A block's spectrum on a quadrature that is refined until edges and outliers hardly change."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...models.heads import Head
from ..bulk.law import CurvatureLaw
from ..bulk.law_spectrum import LawSpectrum
from .factor_law import FactorLaw
from .factors import Matrix
from .quadrature import MixtureLaw, project, quadrature
from .statistics import Statistics

__all__ = ["Refined", "Refinement"]

_FIRST_LEVEL = {1: 2}  # of the quadrature, by the number of directions
_LATER_LEVEL = 3
_MOST_NODES = 60_000  # of the finest rule for one direction; m^(3/4) times fewer for m
_MANY_NODES, _SCOUT = 4_000, 4  # a law of several directions on more is preceded by a coarser one
_SHARPER = 1e-2  # tolerance of an outlier away from the edges, in that of the edges
_SOBOL_SHARPER = 0.1  # the same with Sobol points, whose error falls slowly
_SMALL = 0.01  # edges and outliers below this share of the largest edge are as good as that
_NEAR = 0.05  # an outlier this close to an edge, relatively, is as inaccurate as the edge


@dataclass(frozen=True)
class Refined:
    """The spectrum of one block's law on a fine and on a coarser quadrature.

    Attributes:
        fine: what is predicted.
        coarse: the difference from it is the error.
        directions: number of directions in the block.
    """

    fine: LawSpectrum
    coarse: LawSpectrum
    directions: int

    @property
    def null(self) -> float:
        """The share of eigenvalues along projected-out directions, which are zero."""
        return 1 - self.fine.law.rows / self.directions


class Refinement:
    """The laws and spectra of all blocks at one value of the statistics, each computed once.

    Args:
        head: the head.
        statistics: G = (x, mu)^T (x, mu) and v.
        mixture: weights, labels and snr.
        aspect_ratio: phi = n/d.
        tolerance: relative change of an edge at which the refinement ends.

    Attributes:
        projection: of the statistics.
    """

    def __init__(
        self,
        head: Head,
        statistics: Statistics,
        mixture: MixtureLaw,
        aspect_ratio: float,
        tolerance: float,
    ) -> None:
        self._head, self._statistics, self._mixture = head, statistics, mixture
        self._aspect_ratio, self._tolerance = aspect_ratio, tolerance
        self.projection = project(statistics, head)
        self._factors: dict[int, FactorLaw] = {}
        self._solved: dict[tuple[Matrix, tuple[int, ...], bool], Refined] = {}

    def factors(self, level: int) -> FactorLaw:
        """The factors D on the quadrature of one level; lower ones are finer."""
        if level not in self._factors:
            nodes = quadrature(self.projection, self._mixture, level)
            self._factors[level] = FactorLaw(
                self._head, self._statistics, nodes, self._aspect_ratio
            )
        return self._factors[level]

    def law(
        self, level: int, matrix: Matrix, rows: tuple[int, ...], with_parameters: bool = False
    ) -> CurvatureLaw:
        """The law of D of one block on the quadrature of one level.

        Raises:
            ValueError: if a row is out of range or not trained.
        """
        self._require_rows(rows)
        return self.factors(level).law(matrix, rows, with_parameters)

    def solve(self, matrix: Matrix, rows: tuple[int, ...], with_parameters: bool) -> Refined:
        """Refine until edges and outliers are as accurate as asked, or the nodes are too many.

        Raises:
            ValueError: if a row is out of range or not trained.
            NoSolutionError: if the equations could not be solved.
        """
        key = (matrix, rows, with_parameters)
        if key in self._solved:
            return self._solved[key]
        self._require_rows(rows)
        level = _FIRST_LEVEL.get(len(rows), _LATER_LEVEL)
        most = _MOST_NODES / len(rows) ** 0.75
        scout = None
        if len(rows) > 1 and len(self.factors(level).nodes.weights) > _MANY_NODES:
            scout = LawSpectrum(self.law(level + _SCOUT, *key))
        coarse = LawSpectrum(self.law(level, *key), model=scout)
        while True:
            level -= 1
            fine = LawSpectrum(self.law(level, *key), model=coarse)
            nodes = len(self.factors(level).nodes.weights)
            sharper = _SHARPER if self.factors(level).nodes.is_tensor else _SOBOL_SHARPER
            settled = _is_settled(fine, coarse, self._tolerance, sharper)
            if settled or nodes > most / 2 or nodes == len(coarse.law.weights):
                break
            coarse = fine
        coarse.finer = fine
        self._solved[key] = Refined(fine, coarse, len(rows))
        return self._solved[key]

    def _require_rows(self, rows: tuple[int, ...]) -> None:
        trained = self._head.directions - self._head.teachers
        if not rows or len(set(rows)) != len(rows) or not all(0 <= row < trained for row in rows):
            raise ValueError(
                f"rows: expected distinct trained directions among 0 to {trained - 1}, got {rows}"
            )


def _is_settled(fine: LawSpectrum, coarse: LawSpectrum, tolerance: float, sharper: float) -> bool:
    """Whether edges and outliers agree to the tolerance, relative to themselves.

    Those close to zero are taken relative to a share of the largest edge.
    """
    width = max(
        (abs(side.edge) for side in (fine.top_side, fine.bottom_side) if math.isfinite(side.edge)),
        default=0.0,
    )
    sides = (
        (fine.top_side, coarse.top_side, fine.top_side_outliers, coarse.top_side_outliers),
        (
            fine.bottom_side,
            coarse.bottom_side,
            fine.bottom_side_outliers,
            coarse.bottom_side_outliers,
        ),
    )
    for one, other, found, check in sides:
        if one.kind != other.kind:
            return False
        change = abs(one.edge - other.edge) if math.isfinite(one.edge) else 0.0
        if change > tolerance * max(abs(one.edge), _SMALL * width):
            return False
        if len(found) != len(check):
            return False
        for outlier, again in zip(found, check, strict=True):
            size = abs(outlier.value)
            allowed = tolerance * (1.0 if size - one.edge < _NEAR * size else sharper)
            if abs(outlier.value - again.value) > allowed * max(size, _SMALL * width):
                return False
    return True
