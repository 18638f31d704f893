"""The effective spectrum: bulk, edges, outliers and overlaps from the summary statistics alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..models.heads import Head
from .bulk_profile import Profile
from .curvature_law import CurvatureLaw, FactorLaw
from .detection import (
    counted_detection_edge,
    square_root_detection_edge,
    thin_detection_edge,
)
from .exterior import exterior
from .jacobi import Jacobi, bulk_masses, recurrence
from .law_spectrum import LawSpectrum, mirrored
from .moments import Moments, law_moments
from .outlier_noise import outlier_noise
from .outliers import Outlier, count_outliers, find_outliers
from .quadrature import MixtureLaw, project, quadrature
from .spectrum import (
    Bulk,
    Density,
    Edge,
    EdgeKind,
    Eigenpair,
    FloatArray,
    Gap,
    Matrix,
    Spectrum,
)
from .statistics import Statistics

__all__ = ["EffectiveSpectrum", "LocatedOutlier"]

_POINTS = 160
_TOLERANCE = 1e-4
_SHARPER = 1e-2  # tolerance of an outlier away from the edges, in that of the edges
_SOBOL_SHARPER = 0.1  # the same with Sobol points, whose error falls slowly
_SMALL = 0.01  # edges and outliers below this share of the largest edge are as good as that
_NEAR = 0.05  # an outlier this close to an edge, relatively, is as inaccurate as the edge
_FIRST_LEVEL = {1: 2}  # of the quadrature, by the number of directions
_LATER_LEVEL = 3
_COUNTING_LEVELS = (0, 2)  # for one direction, and for several
_AT_ZERO = 1e-6  # a finite-size edge this close to zero, in typical eigenvalues, is in the atom
_MOST_NODES = 60_000  # of the finest rule for one direction; m^(3/4) times fewer for m
_MANY_NODES, _SCOUT = 4_000, 4  # a law of several directions on more is preceded by a coarser one
_MOMENT_LEVELS = (0, 1)
_CELL_NODES, _COEFFICIENTS_A_NODE = (4, 6), 8  # of a cell of the law; more for more coefficients
_NO_LENGTH = 1e-6  # relative length below which a direction is taken for zero


@dataclass(frozen=True)
class LocatedOutlier:
    """An outlier with the law that it is one of.

    Attributes:
        outlier: place, overlap and direction.
        again: its place on the coarser rule.
        law: the law of D.
        cut: which tail of D was left out: 1 the upper, -1 the lower, 0 none.
    """

    outlier: Outlier
    again: float
    law: CurvatureLaw
    cut: int = 0


@dataclass(frozen=True)
class _Solved:
    """The spectrum of one block's law on a fine and on a coarser quadrature."""

    fine: LawSpectrum
    coarse: LawSpectrum


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
        self.projection = project(statistics, head)
        self._laws: dict[int, FactorLaw] = {}
        self._solved: dict[tuple[Matrix, tuple[int, ...], bool], _Solved] = {}

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
        solved = self._solve(matrix, rows, with_parameters)
        fine, coarse = solved.fine, solved.coarse
        null = self._null_share(fine, rows)
        # First, since the gaps that the edges depend on are seen on the same way through the bulk.
        profile = (
            fine.inside.profile(density_points, coarse.law.compressed())
            if density_points > 0
            else None
        )
        lower, upper = self._edge(solved, -1), self._edge(solved, 1)
        return Spectrum(
            matrix=matrix,
            block=name,
            size=self._size(rows, with_parameters),
            top=self._eigenpairs(self._beyond(solved, upper, 1)),
            bottom=self._eigenpairs(self._beyond(solved, lower, -1)),
            bulk=Bulk(
                lower=lower,
                upper=upper,
                atom=null + (1 - null) * fine.inside.atom,
                gaps=self._gaps(solved),
            ),
            density=None if profile is None else _density(profile, null),
            inside=self._eigenpairs(self._between(solved)),
        )

    def located(
        self, matrix: Matrix, rows: tuple[int, ...], with_parameters: bool = False
    ) -> tuple[LocatedOutlier, ...]:
        """The outliers of `spectrum` with their laws: those above, inside and below the bulk."""
        solved = self._solve(matrix, rows, with_parameters)
        return (
            *self._beyond(solved, self._edge(solved, 1), 1),
            *self._between(solved),
            *self._beyond(solved, self._edge(solved, -1), -1),
        )

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
        fine = self._solve(matrix, rows, with_parameters).fine
        outliers = [*spectrum.top, *spectrum.inside, *spectrum.bottom[::-1]]
        values = [outlier.value for outlier in outliers]
        null = self._null_share(fine, rows)
        bulk = size - len(values)

        def share_above(lam: float) -> float:
            """Of the eigenvalues in the bulk, those of a projected-out direction included."""
            return (1 - null) * fine.inside.share_above(lam) + null * (lam < 0)

        # Rank of each outlier: those before it, and the bulk above it.
        places = [i + 1 + round(bulk * share_above(lam)) for i, lam in enumerate(values)]
        found = []
        for rank in ranks:
            if rank in places:
                found.append(values[places.index(rank)])
                continue
            share = (rank - sum(place < rank for place in places) - 0.5) / bulk
            found.append(self._bulk_quantile(fine, share, null))
        return np.array(found) + 0.0  # no negative zeros

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
        if count < 1:
            raise ValueError(f"count: expected at least 1, got {count}")
        self._require_rows(rows)
        laws = [self._factor_law(level).law(matrix, rows) for level in _MOMENT_LEVELS]
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
        if count < 1:
            raise ValueError(f"count: expected at least 1, got {count}")
        if outliers and self.dimension is None:
            raise ValueError("dimension: expected a number for the masses of outliers, got none")
        solved = self._solve(matrix, rows, False)

        def coefficients(one: LawSpectrum, nodes: int) -> tuple[FloatArray, FloatArray]:
            null = self._null_share(one, rows)
            isolated = [o.value for o in (*one.above, *one.between, *one.below)] * outliers
            share = len(isolated) / max(self._size(rows, False), 1)
            bulk = bulk_masses(one, nodes).joined([0.0], null)
            return recurrence(bulk.joined(isolated, share), count)

        few, many = (nodes + count // _COEFFICIENTS_A_NODE for nodes in _CELL_NODES)
        alpha, beta = coefficients(solved.fine, many)
        rough, again = (
            np.concatenate(coefficients(one, few)) for one in (solved.fine, solved.coarse)
        )
        errors = np.abs(np.concatenate([alpha, beta]) - rough) + np.abs(rough - again)
        return Jacobi(alpha, beta, errors[:count], errors[count:])

    def counts(self, matrix: Matrix, rows: tuple[int, ...]) -> tuple[int, int]:
        """Numbers of outliers above and below the bulk in the limit, without their places."""
        self._require_rows(rows)
        law = self._law(_COUNTING_LEVELS[len(rows) > 1], matrix, rows, False)
        return count_outliers(exterior(law)), count_outliers(exterior(law.mirrored))

    def loss(self) -> tuple[float, float]:
        """E[ell] and its quadrature error."""
        values = [self._factor_law(level).loss() for level in (0, 1)]
        return values[0], abs(values[0] - values[1])

    def law(
        self, matrix: Matrix, rows: tuple[int, ...], with_parameters: bool = False
    ) -> CurvatureLaw:
        """The law of D of one block, on the quadrature that its spectrum needs."""
        return self._solve(matrix, rows, with_parameters).fine.law

    def _require_rows(self, rows: tuple[int, ...]) -> None:
        trained = self.head.directions - self.head.teachers
        if not rows or len(set(rows)) != len(rows) or not all(0 <= row < trained for row in rows):
            raise ValueError(
                f"rows: expected distinct trained directions among 0 to {trained - 1}, got {rows}"
            )

    def _size(self, rows: tuple[int, ...], with_parameters: bool) -> int:
        if self.dimension is None:
            return 0
        return len(rows) * self.dimension + with_parameters * self.head.parameters

    @staticmethod
    def _null_share(solved: LawSpectrum, rows: tuple[int, ...]) -> float:
        """The share of eigenvalues along projected-out directions."""
        return 1 - solved.law.rows / len(rows)

    def _solve(self, matrix: Matrix, rows: tuple[int, ...], with_parameters: bool) -> _Solved:
        """Refine the quadrature until edges and outliers are as accurate as asked."""
        key = (matrix, rows, with_parameters)
        if key in self._solved:
            return self._solved[key]
        self._require_rows(rows)
        level = _FIRST_LEVEL.get(len(rows), _LATER_LEVEL)
        most = _MOST_NODES / len(rows) ** 0.75
        scout = None
        if len(rows) > 1 and len(self._factor_law(level).nodes.weights) > _MANY_NODES:
            scout = LawSpectrum(self._law(level + _SCOUT, *key))
        coarse = LawSpectrum(self._law(level, *key), model=scout)
        while True:
            level -= 1
            fine = LawSpectrum(self._law(level, *key), model=coarse)
            nodes = len(self._factor_law(level).nodes.weights)
            is_tensor = self._factor_law(level).nodes.is_tensor
            settled = self._is_settled(fine, coarse, _SHARPER if is_tensor else _SOBOL_SHARPER)
            if settled or nodes > most / 2 or nodes == len(coarse.law.weights):
                break
            coarse = fine
        coarse.finer = fine
        self._solved[key] = _Solved(fine, coarse)
        return self._solved[key]

    def _is_settled(self, fine: LawSpectrum, coarse: LawSpectrum, sharper: float) -> bool:
        """Whether edges and outliers agree to the tolerance, relative to themselves.

        Those close to zero are taken relative to a share of the largest edge.
        """
        width = max(
            (abs(side.edge) for side in (fine.right, fine.left) if math.isfinite(side.edge)),
            default=0.0,
        )
        sides = (
            (fine.right, coarse.right, fine.right_outliers, coarse.right_outliers),
            (fine.left, coarse.left, fine.left_outliers, coarse.left_outliers),
        )
        for one, other, found, check in sides:
            if one.kind != other.kind:
                return False
            change = abs(one.edge - other.edge) if math.isfinite(one.edge) else 0.0
            if change > self.tolerance * max(abs(one.edge), _SMALL * width):
                return False
            if len(found) != len(check):
                return False
            for outlier, again in zip(found, check, strict=True):
                near = abs(outlier.value) - one.edge < _NEAR * abs(outlier.value)
                allowed = self.tolerance * (1.0 if near else sharper)
                if abs(outlier.value - again.value) > allowed * max(
                    abs(outlier.value), _SMALL * width
                ):
                    return False
        return True

    def _factor_law(self, level: int) -> FactorLaw:
        if level not in self._laws:
            nodes = quadrature(self.projection, self.mixture, level)
            self._laws[level] = FactorLaw(self.head, self.statistics, nodes, self.aspect_ratio)
        return self._laws[level]

    def _law(
        self, level: int, matrix: Matrix, rows: tuple[int, ...], with_parameters: bool
    ) -> CurvatureLaw:
        return self._factor_law(level).law(matrix, rows, with_parameters)

    def _beyond(self, solved: _Solved, edge: Edge, sign: int) -> list[LocatedOutlier]:
        """The outliers of one side, those of the limit first."""
        limiting, check = (
            (one.above if sign > 0 else one.below) for one in (solved.fine, solved.coarse)
        )
        found = [
            LocatedOutlier(
                outlier, check[i].value if i < len(check) else edge.value, solved.fine.law
            )
            for i, outlier in enumerate(limiting)
        ]
        if self.dimension is None or edge.kind not in ("thin", "infinite"):
            return found
        cut, again = (self._isolated(one, sign) for one in (solved.fine, solved.coarse))
        law = solved.fine.law.without_tail(self._samples, sign)
        found += [
            LocatedOutlier(outlier, again[i].value if i < len(again) else edge.detection, law, sign)
            for i, outlier in enumerate(cut)
            if i >= len(limiting) and sign * (outlier.value - edge.detection) > 0
        ]
        return found

    @staticmethod
    def _between(solved: _Solved) -> list[LocatedOutlier]:
        """The outliers in gaps."""
        return [
            LocatedOutlier(outlier, _nearest(outlier.value, solved.coarse.between), solved.fine.law)
            for outlier in solved.fine.between
        ]

    @property
    def _samples(self) -> int:
        """Number n of points of the probe sample."""
        assert self.dimension is not None
        return round(self.aspect_ratio * self.dimension)

    def _isolated(self, solved: LawSpectrum, sign: int) -> list[Outlier]:
        """The outliers of one side that n samples show, though the limit may swallow them."""
        law = solved.law.without_tail(self._samples, sign)
        if sign > 0:
            return find_outliers(exterior(law))
        return [mirrored(outlier) for outlier in find_outliers(exterior(law.mirrored))]

    def _eigenpairs(self, located: Sequence[LocatedOutlier]) -> tuple[Eigenpair, ...]:
        return tuple(self._eigenpair(one) for one in located)

    def _eigenpair(self, located: LocatedOutlier) -> Eigenpair:
        outlier = located.outlier
        w, parameters = outlier.direction, located.law.parameters
        inner = w[len(w) - parameters :]
        return Eigenpair(
            value=outlier.value,
            error=abs(outlier.value - located.again),
            overlap=outlier.overlap,
            alignment=outlier.overlap * self._alignment(w[: len(w) - parameters]),
            parameter_overlap=outlier.overlap * float(inner @ inner),
            sampling_error=math.nan
            if self.dimension is None
            else outlier_noise(located.law, outlier) / math.sqrt(self._samples),
        )

    def _alignment(self, w: FloatArray) -> FloatArray:
        """Squared cosine of the eigenvector's part in the span with each direction, (C+k,)."""
        coordinates = self.projection.coordinates
        lengths = np.sqrt(np.maximum(np.diag(self.statistics.gram), 0.0))
        present = lengths > _NO_LENGTH * lengths.max(initial=0.0)
        unit = coordinates * (present / np.where(present, lengths, 1.0))
        squares: FloatArray = ((w.reshape(-1, len(coordinates)) @ unit) ** 2).sum(0)
        return squares

    def _edge(self, solved: _Solved, sign: int) -> Edge:
        """One end of the bulk."""
        fine, coarse = solved.fine, solved.coarse
        (value, kind), (again, _) = (
            (one.upper if sign > 0 else one.lower) for one in (fine, coarse)
        )
        error = abs(value - again) if math.isfinite(value) else math.nan
        if self.dimension is None:
            return Edge(value, kind, math.nan, math.nan, error)
        size = fine.law.rows * self.dimension
        atom = self._atom_beyond(fine, value, sign)

        def quantile(share: float) -> float:
            """The point with a share of the eigenvalues between it and this end of the bulk."""
            return fine.inside.quantile(atom + share if sign > 0 else 1 - atom - share)

        half = quantile(0.5 / size)
        if fine.inside.atom > 0 and sign * value > 0 and sign * half < _AT_ZERO * fine.law.scale:
            # Less than half an eigenvalue lies beyond the atom: it ends at zero for any sample.
            return Edge(value, kind, 0.0, 0.0, error)
        detection = self._detection_edge(fine, sign, value, kind, half, quantile)
        return Edge(value, kind, half, detection, error)

    @staticmethod
    def _atom_beyond(fine: LawSpectrum, edge: float, sign: int) -> float:
        """The atom at zero, if it lies beyond this end of the bulk."""
        return fine.inside.atom if math.isfinite(edge) and sign * edge <= 0 else 0.0

    def _detection_edge(
        self,
        fine: LawSpectrum,
        sign: int,
        edge: float,
        kind: EdgeKind,
        half: float,
        quantile: Callable[[float], float],
    ) -> float:
        assert self.dimension is not None
        side = fine.right if sign > 0 else fine.left
        if kind == "hard":
            return edge
        if kind == "square-root":
            if sign * side.edge != edge:  # the band's edge faces an atom at zero
                return square_root_detection_edge(edge, half, 0.0)
            noise = side.edge_noise() / math.sqrt(self._samples)
            return square_root_detection_edge(edge, half, noise)
        if fine.law.rows == 1:
            return sign * thin_detection_edge(side.law.compressed(), self.dimension)
        return counted_detection_edge(quantile, fine.law.rows * self.dimension)

    def _gaps(self, solved: _Solved) -> tuple[Gap, ...]:
        """Gaps between the bands."""
        found = []
        for gap in solved.fine.gaps:
            middle = (gap[0][0] + gap[1][0]) / 2
            again = [other for other in solved.coarse.gaps if other[0][0] < middle < other[1][0]]
            ends = []
            for end, (value, kind) in enumerate(gap):
                error = abs(value - again[0][end][0]) if again else math.inf
                ends.append(Edge(value, kind, math.nan, math.nan, error))
            found.append(Gap(ends[0], ends[1]))
        return tuple(found)

    def _bulk_quantile(self, fine: LawSpectrum, share: float, null: float) -> float:
        """The point of the bulk with a share above it, where a share ``null`` is exactly zero."""
        positive = (1 - null) * fine.inside.share_above(0.0)
        zero = (1 - null) * fine.inside.atom + null
        if positive <= share < positive + zero:
            return 0.0
        return fine.inside.quantile((share - null * (share >= positive)) / (1 - null))


def _nearest(value: float, outliers: list[Outlier]) -> float:
    """The value of the outlier that is nearest; inf if there is none."""
    return min(
        (one.value for one in outliers), key=lambda other: abs(other - value), default=math.inf
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
