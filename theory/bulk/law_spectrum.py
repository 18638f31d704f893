"""Everything outside the continuous spectrum of one law: edges, gaps and outliers."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

from ..spectrum import EdgeKind, FloatArray
from .exterior import Exterior, exterior
from .gaps import InnerGap, matrix_gaps, scalar_gaps
from .interior import Interior, interior
from .law import MANY_BINS, CurvatureLaw
from .outliers import Outlier, find_outliers

__all__ = ["EdgePlace", "LawSpectrum", "mirrored"]

_MANY = 1_000  # nodes of a law of several directions
_ALIKE = 1e-4  # relative distance of edges

EdgePlace = tuple[float, EdgeKind]  # the place of an edge and its kind


class LawSpectrum:
    """Edges, gaps and outliers of one law of D.

    Args:
        law: the law of one block.
        model: the spectrum of a nearby law, from which this one is found faster.

    Attributes:
        law: the law.
        top_side: the half-line above the bulk.
        bottom_side: the half-line below it, seen in the mirror.
        finer: the spectrum of a nearby law on more nodes.
    """

    def __init__(self, law: CurvatureLaw, model: LawSpectrum | None = None) -> None:
        self.law, self._model = law, model
        self._few = law.compressed(MANY_BINS)
        self.top_side: Exterior = exterior(self._few, None if model is None else model.top_side)
        self.bottom_side: Exterior = exterior(
            self._few.mirrored, None if model is None else model.bottom_side
        )
        self.finer: LawSpectrum | None = None

    @cached_property
    def top_side_outliers(self) -> list[Outlier]:
        """Outliers above the bulk, largest first."""
        return find_outliers(self.top_side, self._model.top_side_outliers if self._model else ())

    @cached_property
    def bottom_side_outliers(self) -> list[Outlier]:
        """Outliers below the bulk, smallest first."""
        hints = self._model.bottom_side_outliers if self._model else ()
        return [mirrored(outlier) for outlier in find_outliers(self.bottom_side, hints)]

    @cached_property
    def interior(self) -> Interior:
        """Solver between the asymptotic edges.

        On fewer nodes where there are many: merged ones for one direction, for several those of a
        coarser law with the same edges, as far as a density can show.
        """
        model = self._model if self.law.rows > 1 and len(self.law.weights) > _MANY else None
        if model and self._resembles(model):
            return model.interior
        return interior(
            self._few.marginal,
            -self.bottom_side.edge,
            self.top_side.edge,
            None if model is None else model.interior,
        )

    def _resembles(self, other: LawSpectrum) -> bool:
        """Whether both ends of the bulk are of the same kind and at nearly the same place."""
        ends = (
            (self.top_side, other.top_side),
            (self.bottom_side, other.bottom_side),
        )
        width = max((abs(one.edge) for one, _ in ends if math.isfinite(one.edge)), default=0.0)
        return all(
            one.kind == another.kind
            and (math.isinf(one.edge) or abs(one.edge - another.edge) <= _ALIKE * width)
            for one, another in ends
        )

    @property
    def seeds(self) -> list[tuple[float, FloatArray]]:
        """Where gaps are looked for (m >= 2).

        To find them takes a walk through a bulk. Any nearby law's will do: one that has been gone
        already, or else the one on the fewest nodes.
        """
        if self.finer is not None and self.finer.is_sampled:
            return self.finer.seeds
        if self._model is not None and not self.is_sampled:
            return self._model.seeds
        return self.interior.seeds()

    @property
    def is_sampled(self) -> bool:
        """Whether the inside has been solved."""
        return "interior" in self.__dict__ and self.interior.sampled

    @cached_property
    def intervals(self) -> list[InnerGap]:
        """Intervals without density inside the bulk, increasing; an atom at zero divides one."""
        if self.law.rows == 1:
            return scalar_gaps(self._few)
        seeds = self.seeds
        return matrix_gaps(self.law, seeds, self.interior.atom > 0) if seeds else []

    @cached_property
    def lower(self) -> EdgePlace:
        """Lower edge of the lowest band and its kind."""
        if (
            self.bottom_side.kind == "hard"
            and self.intervals
            and self._at_zero(self.intervals[0].lower)
        ):
            return self.intervals[0].upper, self.intervals[0].kinds[1]
        return -self.bottom_side.edge, self.bottom_side.kind

    @cached_property
    def upper(self) -> EdgePlace:
        """Upper edge of the highest band and its kind."""
        if (
            self.top_side.kind == "hard"
            and self.intervals
            and self._at_zero(self.intervals[-1].upper)
        ):
            return self.intervals[-1].lower, self.intervals[-1].kinds[0]
        return self.top_side.edge, self.top_side.kind

    @cached_property
    def gaps(self) -> list[tuple[EdgePlace, EdgePlace]]:
        """The two ends of each gap between bands, increasing."""
        joined: list[tuple[EdgePlace, EdgePlace]] = []
        for gap in self.intervals:
            if not (self.lower[0] <= gap.lower and gap.upper <= self.upper[0]):
                continue
            low, high = (gap.lower, gap.kinds[0]), (gap.upper, gap.kinds[1])
            if joined and self._at_zero(joined[-1][1][0]) and self._at_zero(low[0]):
                joined[-1] = (joined[-1][0], high)
            else:
                joined.append((low, high))
        return joined

    @property
    def bands(self) -> list[tuple[float, float]]:
        """Lower and upper edge of each band of the bulk, increasing."""
        starts = [self.lower[0], *(high for _, (high, _) in self.gaps)]
        ends = [*(low for (low, _), _ in self.gaps), self.upper[0]]
        return list(zip(starts, ends, strict=True))

    @cached_property
    def top(self) -> list[Outlier]:
        """Outliers above all bands, largest first."""
        found = [*self.top_side_outliers]
        for gap in reversed(self.intervals):
            if gap.lower >= self.upper[0]:
                found += find_outliers(gap)
        return found

    @cached_property
    def bottom(self) -> list[Outlier]:
        """Outliers below all bands, smallest first."""
        found = [*self.bottom_side_outliers]
        for gap in self.intervals:
            if gap.upper <= self.lower[0]:
                found += find_outliers(gap)[::-1]
        return found

    @cached_property
    def inside(self) -> list[Outlier]:
        """Outliers between two bands, largest first."""
        found = []
        for gap in reversed(self.intervals):
            if self.lower[0] <= gap.lower and gap.upper <= self.upper[0]:
                found += find_outliers(gap)
        return found

    def _at_zero(self, lam: float) -> bool:
        return abs(lam) < 1e-6 * self.law.scale


def mirrored(outlier: Outlier) -> Outlier:
    """The outlier of the negative matrix."""
    return replace(outlier, value=-outlier.value, p=-outlier.p)
