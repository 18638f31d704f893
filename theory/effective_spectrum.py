"""The effective spectrum: bulk, edges, outliers and overlaps from the summary statistics alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..models.heads import Head
from .curvature_law import CurvatureLaw, FactorLaw
from .detection import (
    counted_detection_edge,
    square_root_detection_edge,
    thin_detection_edge,
)
from .exterior import Exterior, exterior
from .interior import Profile, interior
from .outliers import Outlier, count_outliers, find_outliers
from .quadrature import MixtureLaw, project, quadrature
from .spectrum import Bulk, Density, Edge, Eigenpair, FloatArray, Matrix, Spectrum
from .statistics import Statistics

__all__ = ["EffectiveSpectrum"]

_SCALAR_POINTS = 160
_MATRIX_POINTS = 80
_MATRIX_LEVEL = 2  # of the quadrature: matrix blocks cost m^2 as much a node
_NO_LENGTH = 1e-6  # relative length below which a direction is taken for zero


class EffectiveSpectrum:
    """Spectra of a head on a Gaussian mixture at one value of the statistics.

    Everything that blocks and matrices share (nodes, factors D) is computed once. Each number
    carries the difference between two quadrature rules as its error.

    Args:
        head: the head.
        statistics: G = (x, mu)^T (x, mu) and v.
        law: weights, labels and snr of the mixture.
        aspect_ratio: phi = n/d of the probe sample.
        dimension: d; sets the finite-size and detection edges.

    Raises:
        ValueError: if the Gram matrix does not have C + k rows.

    Source: docs/theory.md; arXiv 2502.15655 for the diagonal blocks of softmax regression.
    """

    def __init__(
        self,
        head: Head,
        statistics: Statistics,
        law: MixtureLaw,
        aspect_ratio: float,
        dimension: int,
    ) -> None:
        expected = head.directions + len(law.weights)
        if len(statistics.gram) != expected:
            raise ValueError(
                f"gram: expected {expected} rows ({head.directions} directions and "
                f"{len(law.weights)} means), got {len(statistics.gram)}"
            )
        if len(statistics.parameters) != head.parameters:
            raise ValueError(
                f"parameters: expected {head.parameters}, got {len(statistics.parameters)}"
            )
        self.head, self.statistics, self.mixture = head, statistics, law
        self.aspect_ratio, self.dimension = aspect_ratio, dimension
        self.projection = project(statistics, head)
        self._laws: dict[int, FactorLaw] = {}

    def spectrum(
        self, matrix: Matrix, rows: tuple[int, ...], name: str, density: bool = True
    ) -> Spectrum:
        """Predicted spectrum of one block of directions.

        At a thin edge the limiting bulk swallows outliers by a tail that no sample of n points
        shows. There the law is taken without the part of the tail that n samples leave half empty,
        and its outliers beyond the detection edge are kept beside those of the limit.

        Args:
            matrix: "hessian" or "information".
            rows: directions in the block.
            name: the block's name in the result.
            density: whether to compute the density on a grid.
        """
        first = 0 if len(rows) == 1 else _MATRIX_LEVEL
        law = self._law(first, matrix, rows)
        coarse = self._law(first + 1, matrix, rows)
        right, left = exterior(law), exterior(law.mirrored)
        right_coarse, left_coarse = exterior(coarse), exterior(coarse.mirrored)
        inside = interior(law, -left.edge, right.edge)
        lower = self._edge(left, left_coarse, -1, lambda share: inside.quantile(1 - share))
        upper = self._edge(right, right_coarse, 1, inside.quantile)
        null = 1 - law.rows / len(rows)  # the share of a projected-out null direction
        profile = None
        if density:
            profile = inside.profile(_SCALAR_POINTS if law.rows == 1 else _MATRIX_POINTS, coarse)
        return Spectrum(
            matrix=matrix,
            block=name,
            size=len(rows) * self.dimension,
            top=self._outliers(right, right_coarse, 1, upper.detection),
            bottom=self._outliers(left, left_coarse, -1, lower.detection),
            bulk=Bulk(
                lower=lower,
                upper=upper,
                atom=null + (1 - null) * inside.atom,
            ),
            density=None if profile is None else _density(profile, null),
        )

    def counts(self, matrix: Matrix, rows: tuple[int, ...]) -> tuple[int, int]:
        """Numbers of outliers above and below the bulk, without their places."""
        law = self._law(0 if len(rows) == 1 else _MATRIX_LEVEL, matrix, rows)
        return count_outliers(exterior(law)), count_outliers(exterior(law.mirrored))

    def loss(self) -> tuple[float, float]:
        """E[ell] and its quadrature error."""
        values = [self._factor_law(level).loss() for level in (0, 1)]
        return values[0], abs(values[0] - values[1])

    def _factor_law(self, level: int) -> FactorLaw:
        if level not in self._laws:
            nodes = quadrature(self.projection, self.mixture, level)
            self._laws[level] = FactorLaw(self.head, self.statistics, nodes, self.aspect_ratio)
        return self._laws[level]

    def _law(self, level: int, matrix: Matrix, rows: tuple[int, ...]) -> CurvatureLaw:
        return self._factor_law(level).law(matrix, rows).compressed()

    @property
    def _samples(self) -> int:
        """Number n of points of the probe sample."""
        return round(self.aspect_ratio * self.dimension)

    def _outliers(
        self, side: Exterior, coarse: Exterior, sign: int, detection: float
    ) -> tuple[Eigenpair, ...]:
        limiting = count_outliers(side)
        found, check = self._isolated(side), self._isolated(coarse)
        return tuple(
            Eigenpair(
                value=sign * outlier.value,
                error=abs(outlier.value - (check[i].value if i < len(check) else coarse.edge)),
                overlap=outlier.overlap,
                alignment=outlier.overlap * self._alignment(outlier.direction),
            )
            for i, outlier in enumerate(found)
            if i < limiting or outlier.value > sign * detection
        )

    def _isolated(self, side: Exterior) -> list[Outlier]:
        """The outliers of the limit, then those that only its invisible tail has swallowed."""
        found = find_outliers(side)
        if side.kind == "thin" and side.law.rows == 1:
            found += find_outliers(exterior(side.law.cut(self._samples)))[len(found) :]
        return found

    def _alignment(self, w: FloatArray) -> FloatArray:
        """Squared cosine of the eigenvector's part in the span with each direction, (C+k,)."""
        coordinates = self.projection.coordinates
        lengths = np.sqrt(np.maximum(np.diag(self.statistics.gram), 0.0))
        present = lengths > _NO_LENGTH * lengths.max(initial=0.0)
        unit = coordinates * (present / np.where(present, lengths, 1.0))
        squares: FloatArray = ((w.reshape(-1, len(coordinates)) @ unit) ** 2).sum(0)
        return squares

    def _edge(
        self, side: Exterior, coarse: Exterior, sign: int, quantile: Callable[[float], float]
    ) -> Edge:
        """One end of the bulk; ``quantile`` is the point with a share of eigenvalues beyond it."""
        edge = sign * side.edge
        error = abs(side.edge - coarse.edge) if math.isfinite(side.edge) else math.nan
        size = side.law.rows * self.dimension
        half = quantile(0.5 / size)
        if side.kind == "square-root":
            noise = side.edge_noise() / math.sqrt(self._samples)
            detection = square_root_detection_edge(edge, half, noise)
        elif side.kind == "hard":
            detection = edge
        elif side.law.rows == 1:
            detection = sign * thin_detection_edge(side.law, self.dimension)
        else:
            detection = counted_detection_edge(quantile, size)
        return Edge(edge, side.kind, half, detection, error)


def _density(profile: Profile, null: float) -> Density:
    """The profile as a density of all eigenvalues, a share ``null`` of which is zero."""
    share = 1 - null
    return Density(
        points=profile.points,
        values=share * profile.density,
        errors=share * profile.density_errors,
        cumulative=share * profile.cumulative + np.where(profile.points > 0, null, 0.0),
        cumulative_errors=share * profile.cumulative_errors,
    )
