"""The effective spectrum: bulk, edges, outliers and overlaps from the summary statistics alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...models.arguments import require_arguments, require_least
from ...models.heads import Head
from ..bulk.bulk_profile import Profile
from ..bulk.exterior import exterior
from ..bulk.law import CurvatureLaw
from ..bulk.moments import Moments, law_moments
from ..bulk.outliers import count_outliers
from ..spectrum import Bulk, Density, Eigenpair, FloatArray, Spectrum
from .bulk_edges import bulk_edge, bulk_gaps
from .factors import Matrix
from .jacobi import Jacobi, block_jacobi
from .located_outliers import LocatedOutlier, located_between, located_beyond, outlier_eigenpair
from .ordered_eigenvalues import ordered_eigenvalues
from .quadrature import MixtureLaw
from .refinement import Refinement
from .statistics import Statistics

__all__ = ["EffectiveSpectrum"]

_POINTS = 160
_TOLERANCE = 1e-4
_COUNTING_LEVELS = (0, 2)  # of the quadrature, for one direction, and for several
_LEVELS = (0, 1)  # of the quadrature for moments and loss; the difference is the error


class EffectiveSpectrum:
    """Spectra of a head on a Gaussian mixture at one value of the statistics.

    Everything that blocks and matrices share (nodes, factors D) is computed once. The quadrature
    is refined until edges and outliers hardly change; each number carries its last change as its
    error.

    Args:
        head: the head.
        statistics: G = (x, mu)^T (x, mu) and v.
        law: weights, labels and snr of the mixture.
        aspect_ratio: phi = n/d of the probe sample.
        dimension: d; sets the finite-size and detection edges. None for the limit alone.
        tolerance: relative change of an edge at which the refinement of the quadrature ends; for
            outliers away from the edges it is 100 times smaller. Beyond three effective dimensions,
            where Sobol points take the place of tensor grids, it is 10 times smaller, and the
            largest rule is often met first; the errors say what was reached.

    Raises:
        ValueError: if the Gram matrix does not have C + k rows, or a number is not positive.

    Source: docs/theory.md; arXiv 2502.15655 for the diagonal blocks of softmax regression.
    """

    def __init__(
        self,
        head: Head,
        statistics: Statistics,
        law: MixtureLaw,
        aspect_ratio: float,
        dimension: int | None = None,
        tolerance: float = _TOLERANCE,
    ) -> None:
        require_arguments(EffectiveSpectrum.__init__, locals())
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
        for name, value in (("aspect_ratio", aspect_ratio), ("tolerance", tolerance)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: expected a positive number, got {value}")
        if dimension is not None and dimension < 1:
            raise ValueError(f"dimension: expected at least 1, got {dimension}")
        self.head, self.statistics, self.mixture = head, statistics, law
        self.aspect_ratio, self.dimension, self.tolerance = aspect_ratio, dimension, tolerance
        self._refinement = Refinement(head, statistics, law, aspect_ratio, tolerance)
        self.projection = self._refinement.projection

    def spectrum(
        self,
        matrix: Matrix,
        rows: tuple[int, ...],
        name: str,
        density_points: int = _POINTS,
        with_parameters: bool = False,
    ) -> Spectrum:
        """Predicted spectrum of one block of directions, with or without the parameters v.

        At a thin edge the limiting bulk swallows outliers by a tail that no sample of n points
        shows. There the law is taken without the part of the tail that n samples leave half empty,
        and its outliers beyond the detection edge are kept beside those of the limit.

        Args:
            matrix: "hessian" or "information".
            rows: directions in the block.
            name: the block's name in the result.
            density_points: number of points of the density, 0 for none.
            with_parameters: whether v belongs to the block; its q eigenvalues are outliers at most,
                they leave the bulk as it is.

        Raises:
            ValueError: if a row is out of range or not trained.
            NoSolutionError: if the equations could not be solved; says where and why.
        """
        solved = self._refinement.solve(matrix, rows, with_parameters)
        fine, coarse, null = solved.fine, solved.coarse, solved.null
        # First, since the gaps that the edges depend on are seen on the same way through the bulk.
        profile = (
            fine.interior.profile(density_points, coarse.law.marginal)
            if density_points > 0
            else None
        )
        lower, upper = (bulk_edge(solved, sign, self.dimension) for sign in (-1, 1))
        return Spectrum(
            matrix=matrix,
            block=name,
            size=self._size(rows, with_parameters),
            top=self._eigenpairs(located_beyond(solved, upper, 1, self.dimension)),
            bottom=self._eigenpairs(located_beyond(solved, lower, -1, self.dimension)),
            bulk=Bulk(
                lower=lower,
                upper=upper,
                atom=null + (1 - null) * fine.interior.atom,
                gaps=bulk_gaps(solved),
            ),
            density=None if profile is None else _density(profile, null),
            inside=self._eigenpairs(located_between(solved)),
        )

    def located(
        self, matrix: Matrix, rows: tuple[int, ...], with_parameters: bool = False
    ) -> tuple[LocatedOutlier, ...]:
        """The outliers of `spectrum` with their laws: those above, inside and below the bulk."""
        solved = self._refinement.solve(matrix, rows, with_parameters)

        def beyond(sign: int) -> list[LocatedOutlier]:
            edge = bulk_edge(solved, sign, self.dimension)
            return located_beyond(solved, edge, sign, self.dimension)

        return (*beyond(1), *located_between(solved), *beyond(-1))

    def eigenvalues(
        self,
        matrix: Matrix,
        rows: tuple[int, ...],
        ranks: Sequence[int],
        with_parameters: bool = False,
    ) -> FloatArray:
        """Predicted eigenvalues of given ranks at dimension d, in the order asked, (len(ranks),).

        The eigenvalue of rank j is an outlier, or the point of the bulk above which
        N(lam) + (outliers above lam) = j - 1/2.

        Args:
            matrix: "hessian" or "information".
            rows: directions in the block.
            ranks: 1 for the largest, up to the size of the block.
            with_parameters: whether v belongs to the block.

        Raises:
            ValueError: if there is no dimension, or a rank is out of range.
        """
        if self.dimension is None:
            raise ValueError("dimension: expected a number for eigenvalues by rank, got none")
        size = self._size(rows, with_parameters)
        for rank in ranks:
            if not 1 <= rank <= size:
                raise ValueError(f"ranks: expected 1 to {size}, got {rank}")
        spectrum = self.spectrum(matrix, rows, "", 0, with_parameters)
        outliers = (*spectrum.top, *spectrum.inside, *spectrum.bottom[::-1])
        solved = self._refinement.solve(matrix, rows, with_parameters)
        return ordered_eigenvalues(solved, [one.value for one in outliers], size, ranks)

    def moments(self, matrix: Matrix, rows: tuple[int, ...], count: int) -> Moments:
        """lim tr H^k / N for k = 1, ..., count: moments of the bulk, null directions included.

        The finitely many outliers do not count among N eigenvalues.

        Args:
            matrix: "hessian" or "information".
            rows: directions in the block.
            count: the largest order.

        Raises:
            ValueError: if ``count`` is not positive, or a row is out of range.

        Source: docs/theory.md, "Moments and Jacobi coefficients".
        """
        require_least("count", count, 1)
        laws = [self._refinement.law(level, matrix, rows) for level in _LEVELS]
        values, again = (law.rows / len(rows) * law_moments(law, count) for law in laws)
        return Moments(values, np.abs(values - again))

    def jacobi(
        self, matrix: Matrix, rows: tuple[int, ...], count: int, outliers: bool = False
    ) -> Jacobi:
        """Three-term recurrence coefficients of the bulk law with its atom.

        They are the limit of Lanczos's coefficients from a random start vector, step by step.

        Args:
            matrix: "hessian" or "information".
            rows: directions in the block.
            count: number of coefficients on the diagonal.
            outliers: whether each outlier is there too, with the mass 1/N that a random start
                vector gives it on average; from about log(N) steps on Lanczos notices.

        Raises:
            ValueError: if ``count`` is not positive, a row is out of range, or outliers are asked
                for without a dimension.
            NoSolutionError: if the equations could not be solved; says where and why.

        Source: docs/theory.md, "Moments and Jacobi coefficients".
        """
        require_least("count", count, 1)
        if outliers and self.dimension is None:
            raise ValueError("dimension: expected a number for the masses of outliers, got none")
        solved = self._refinement.solve(matrix, rows, False)
        return block_jacobi(solved, count, self._size(rows, False) if outliers else None)

    def counts(self, matrix: Matrix, rows: tuple[int, ...]) -> tuple[int, int]:
        """Numbers of outliers above and below the bulk in the limit, without their places."""
        law = self._refinement.law(_COUNTING_LEVELS[len(rows) > 1], matrix, rows)
        return count_outliers(exterior(law)), count_outliers(exterior(law.mirrored))

    def loss(self) -> tuple[float, float]:
        """E[ell] and its quadrature error."""
        values = [self._refinement.factors(level).loss() for level in _LEVELS]
        return values[0], abs(values[0] - values[1])

    def law(
        self, matrix: Matrix, rows: tuple[int, ...], with_parameters: bool = False
    ) -> CurvatureLaw:
        """The law of D of one block, on the quadrature that its spectrum needs."""
        return self._refinement.solve(matrix, rows, with_parameters).fine.law

    def _size(self, rows: tuple[int, ...], with_parameters: bool) -> int:
        if self.dimension is None:
            return 0
        return len(rows) * self.dimension + with_parameters * self.head.parameters

    def _eigenpairs(self, located: Sequence[LocatedOutlier]) -> tuple[Eigenpair, ...]:
        return tuple(
            outlier_eigenpair(one, self.statistics, self.projection, self.dimension)
            for one in located
        )


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
