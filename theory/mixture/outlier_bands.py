"""How far an outlier of a single run strays from its predicted path.

The statistics u of a run fluctuate around the solution of the dynamics, and its outliers with them.
To first order an outlier lam with K(lam) w = 0 moves by

    d lam = overlap * ( d(w^T K w) - <Y, dF(P)> ),    Y = (dF/dP)^(-T) Gamma,

as the law of (D, z) changes with u at fixed lam, P and w, where w is kept as a combination of x and
mu; the second term is the change of P by equation (1), see `outlier_noise`. With the covariance of
u this is the outlier's band. The probe sample is independent of the run and adds its own variance.

Derived in docs/theory.md, sections on the fluctuations of outliers and of the dynamics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...models.heads import Head
from ..bulk.law import CurvatureLaw
from ..bulk.matrix_equation import MatrixEquation
from ..bulk.outlier_matrix import OutlierMatrix
from ..bulk.outlier_noise import pull
from ..spectrum import Bulk, Edge, Eigenpair, FloatArray, Side
from .dynamics import DynamicsPath
from .effective_spectrum import EffectiveSpectrum
from .factor_law import FactorLaw
from .factors import Matrix
from .located_outliers import LocatedOutlier
from .quadrature import MixtureLaw, project, quadrature
from .statistics import Statistics

__all__ = ["OutlierBand", "outlier_bands"]

_LEVEL = 2  # of the quadrature that responses are differences of
_FLAT = 1e-10  # a principal variance this small, relatively, is none
_SHARES = (1.0, 0.5, 0.25)  # of a standard deviation that are tried as a step
_DEGENERATE = 1e-6  # relative distance of outliers that count as one


@dataclass(frozen=True)
class OutlierBand:
    """A predicted outlier and the standard deviations of a single run's.

    Attributes:
        outlier: the prediction; its ``sampling_error`` is the part of the probe sample.
        side: where it is: above the bulk, inside a gap, or below.
        band: standard deviation that the run's statistics cause; NaN where their fluctuations are
            not known (relu), and where the outlier is closer to the edge than that, so that a run
            may have none and first order does not describe it. Of a degenerate group it is the
            band of the mean; its members spread.
    """

    outlier: Eigenpair = field(metadata={"unit": "see Eigenpair"})
    side: Side = field(metadata={"unit": "none"})
    band: float = field(metadata={"unit": "loss per squared parameter"})

    @property
    def deviation(self) -> float:
        """Standard deviation of a run's outlier on its own probe sample."""
        return math.hypot(self.band, self.outlier.sampling_error)


def outlier_bands(
    path: DynamicsPath,
    head: Head,
    law: MixtureLaw,
    aspect_ratio: float,
    dimension: int,
    matrix: Matrix,
    rows: tuple[int, ...],
    with_parameters: bool = False,
) -> tuple[tuple[OutlierBand, ...], ...]:
    """The outliers of one block along a path with their bands, one tuple a time.

    Args:
        path: from `EffectiveDynamics.path`, of the same head and law.
        head: the head.
        law: weights, labels and snr of the mixture.
        aspect_ratio: phi = n/d of the probe sample.
        dimension: d; bands are of order d^(-1/2).
        matrix: "hessian" or "information".
        rows: directions in the block.
        with_parameters: whether v belongs to the block.

    Returns:
        For each time those above the bulk, largest first, then those in gaps, largest first, then
        those below, smallest first.

    Raises:
        ValueError: if a size does not fit, or a row is out of range or not trained.
        NoSolutionError: if the equations could not be solved.
    """
    found = []
    for index in range(len(path.times)):
        statistics = Statistics(path.gram[index], path.parameters[index])
        at = EffectiveSpectrum(head, statistics, law, aspect_ratio, dimension)
        spectrum = at.spectrum(matrix, rows, "", 0, with_parameters)
        assert spectrum.bulk is not None
        block = _Block(at, at.located(matrix, rows, with_parameters), matrix, rows, with_parameters)
        bands = block.bands(path, path.covariance[index] / dimension)
        sides: list[tuple[Side, tuple[Eigenpair, ...]]] = [
            ("top", spectrum.top),
            ("inside", spectrum.inside),
            ("bottom", spectrum.bottom),
        ]
        pairs = [(side, pair) for side, members in sides for pair in members]
        found.append(
            tuple(
                OutlierBand(
                    pair,
                    side,
                    band if band < _clearance(pair.value, side, spectrum.bulk) else math.nan,
                )
                for (side, pair), band in zip(pairs, bands.tolist(), strict=True)
            )
        )
    return tuple(found)


def _clearance(value: float, side: Side, bulk: Bulk) -> float:
    """Distance of an outlier from the bulk's nearest edge."""
    edges: Sequence[Edge]
    if side == "top":
        edges = (bulk.upper,)
    elif side == "bottom":
        edges = (bulk.lower,)
    else:
        edges = [end for gap in bulk.gaps for end in (gap.lower, gap.upper)]
    sign = -1 if side == "bottom" else 1
    places = [
        # The limit of a thin edge may lie beyond the outliers that a sample shows.
        edge.value if side == "inside" or sign * (value - edge.value) > 0 else edge.detection
        for edge in edges
    ]
    return min(abs(value - place) for place in places)


class _Block:
    """The outliers of one block at one value of the statistics, and how they respond to it."""

    def __init__(
        self,
        at: EffectiveSpectrum,
        located: Sequence[LocatedOutlier],
        matrix: Matrix,
        rows: tuple[int, ...],
        with_parameters: bool,
    ) -> None:
        self._at, self._located = at, located
        self._matrix, self._rows, self._with_parameters = matrix, rows, with_parameters
        self._responses = [pull(one.law, one.outlier).response for one in located]
        # The part of w in the span, as a combination of x and mu: (m, C+k).
        inverse = np.linalg.pinv(at.projection.coordinates)
        self._combinations = [
            one.outlier.direction[: one.law.rows * one.law.span].reshape(one.law.rows, -1)
            @ inverse.T
            for one in located
        ]

    def bands(self, path: DynamicsPath, covariance: FloatArray) -> FloatArray:
        """Standard deviation of each outlier for a covariance (p, p) of the state."""
        if not np.isfinite(covariance).all():
            return np.full(len(self._located), np.nan)
        values, vectors = np.linalg.eigh(covariance)
        kept = values > _FLAT * max(float(values.max(initial=0.0)), 0.0)
        axes = (vectors[:, kept] * np.sqrt(values[kept])).T
        if not self._located or not len(axes):
            return np.zeros(len(self._located))
        slopes = np.stack([self._slope(path, axis) for axis in axes], axis=1)
        places = [one.outlier.value for one in self._located]
        groups = [[abs(a - b) <= _DEGENERATE * abs(a) for b in places] for a in places]
        mean = np.array(groups) / np.sum(groups, axis=1)[:, None]
        result: FloatArray = np.linalg.norm(mean @ slopes, axis=1)
        return result

    def _slope(self, path: DynamicsPath, axis: FloatArray) -> FloatArray:
        """Change of each outlier along an axis of the state, (n,): central where it can be."""
        forward, ahead = self._move(path, axis)
        backward, behind = self._move(path, -axis)
        if forward + backward == 0:
            return np.full(len(self._located), np.nan)
        change: FloatArray = (self._measures(ahead) - self._measures(behind)) / (forward + backward)
        return change

    def _move(self, path: DynamicsPath, axis: FloatArray) -> tuple[float, Statistics]:
        """The largest step that leaves the Gram matrix possible, and where it leads."""
        entries, start = len(path.rows), self._at.statistics
        for share in _SHARES:
            gram = start.gram.copy()
            gram[path.rows, path.columns] += share * axis[:entries]
            gram[path.columns, path.rows] = gram[path.rows, path.columns]
            try:
                return share, Statistics(gram, start.parameters + share * axis[entries:])
            except ValueError:
                continue
        return 0.0, start

    def _measures(self, statistics: Statistics) -> FloatArray:
        """overlap (w^T K w - <Y, F>) of each outlier for the law at other statistics, (n,)."""
        at, mixture = self._at, self._at.mixture
        projection = project(statistics, at.head)
        nodes = quadrature(projection, mixture, _LEVEL)
        whole = FactorLaw(at.head, statistics, nodes, at.aspect_ratio).law(
            self._matrix, self._rows, self._with_parameters
        )
        laws: dict[int, CurvatureLaw] = {0: whole}
        assert at.dimension is not None
        samples = whole.samples(at.dimension)
        measures = []
        for one, combination, response in zip(
            self._located, self._combinations, self._responses, strict=True
        ):
            if whole.rows != one.law.rows:  # directions coincide in one place only
                measures.append(math.nan)
                continue
            if one.cut not in laws:
                laws[one.cut] = whole.without_tail(samples, one.cut)
            law, outlier = laws[one.cut], one.outlier
            equation = MatrixEquation(law).evaluate(outlier.p)
            k = OutlierMatrix(law).value(outlier.p, outlier.value, equation.inverses)
            outer = (combination @ projection.coordinates.T).reshape(-1)
            w = np.concatenate([outer, outlier.direction[one.law.rows * one.law.span :]])
            measures.append(outlier.overlap * float(w @ k @ w - np.sum(response * equation.value)))
        return np.array(measures)
