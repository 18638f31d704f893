"""The law of the curvature factor D of one sample, jointly with the sample's place in the span."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from ..spectrum import FloatArray

__all__ = ["MANY_BINS", "CurvatureLaw", "JointCurvature", "outermost"]

MANY_BINS = 1000  # that lose nothing which an edge or an outlier would show
_BINS = 150
_RANK_ONE = 1e-9  # relative difference of tr(D)^2 and tr(D^2) that is rounding error
_EXTREME_DIRECTIONS = 64


@dataclass(frozen=True)
class JointCurvature:
    """What the finite parameters v add to the law of D.

    Attributes:
        cross: (N, m, q) M_hv at the nodes, for the directions of the block.
        inner: (N, q, q) M_vv at the nodes.
    """

    cross: FloatArray
    inner: FloatArray


@dataclass(frozen=True)
class CurvatureLaw:
    """Joint law of D (m x m) and z z^T on finitely many nodes, for one block of one matrix.

    Attributes:
        weights: (N,) positive, summing to 1.
        factors: (N, m, m) D at the nodes.
        moments: (N, r, r) E[z z^T | node].
        supremum: supremum of the largest eigenvalue of D over all samples that can occur, a
            property of the head, not of the nodes; inf if there is none.
        infimum: infimum of its smallest eigenvalue.
        extremes: (L, m, m) values of D near the boundary of those that can occur.
        aspect_ratio: phi = n / d.
        snr: inverse variance of the noise.
        parts: for m = 1, the intervals that make up the support of D, increasing and disjoint;
            empty for a single one, from infimum to supremum.
        means: (N, r) E[z | node]; None if the nodes have been merged.
        free: how many of the last coordinates of z are Gaussian given the node, with variance
            1 / snr; the others are fixed by it.
        joint: what the parameters v add, for blocks that hold them.
    """

    weights: FloatArray
    factors: FloatArray
    moments: FloatArray
    supremum: float
    infimum: float
    extremes: FloatArray
    aspect_ratio: float
    snr: float
    parts: tuple[tuple[float, float], ...] = ()
    means: FloatArray | None = None
    free: int = 0
    joint: JointCurvature | None = None

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        """The intervals that make up the support of D (m = 1)."""
        return self.parts or ((self.infimum, self.supremum),)

    @property
    def parameters(self) -> int:
        """q, the number of parameters v in the block."""
        return 0 if self.joint is None else int(self.joint.inner.shape[1])

    @property
    def rows(self) -> int:
        """m, the number of directions in the block."""
        return int(self.factors.shape[1])

    @property
    def span(self) -> int:
        """Dimension r of the span of x and mu."""
        return int(self.moments.shape[1])

    @cached_property
    def mirrored(self) -> CurvatureLaw:
        """The law of -D: its spectrum is the negative, so that left edges become right edges."""
        return replace(
            self,
            factors=-self.factors,
            supremum=-self.infimum,
            infimum=-self.supremum,
            extremes=-self.extremes,
            parts=tuple((-high, -low) for low, high in reversed(self.parts)),
            joint=self.joint
            and replace(self.joint, cross=-self.joint.cross, inner=-self.joint.inner),
        )

    @cached_property
    def scalar_factors(self) -> FloatArray:
        """D as numbers, (N,), for m = 1."""
        return np.ascontiguousarray(self.factors[:, 0, 0])

    @cached_property
    def flat_moments(self) -> FloatArray:
        """Moments as rows, (N, r*r)."""
        return self.moments.reshape(len(self.weights), -1)

    @cached_property
    def is_rank_deficient(self) -> bool:
        """Whether n matrices D of rank 1 cannot have more than m d dimensions: phi <= m, m >= 2."""
        if self.rows == 1 or self.aspect_ratio > self.rows:
            return False
        traces = np.trace(self.factors, axis1=1, axis2=2)
        squares = (self.factors**2).sum((1, 2))
        return bool(np.all(np.abs(traces**2 - squares) <= _RANK_ONE * squares))

    @cached_property
    def scale(self) -> float:
        """A typical size of the eigenvalues: E|D| / snr."""
        return float(self.weights @ np.abs(self.factors).sum((1, 2))) / self.snr

    @cached_property
    def mean(self) -> float:
        """The mean of the eigenvalues: E tr D / (m snr)."""
        traces = np.trace(self.factors, axis1=1, axis2=2)
        return float(self.weights @ traces / self.rows / self.snr)

    def samples(self, dimension: int) -> int:
        """n = phi d, the number of points of a probe sample in dimension d."""
        return round(self.aspect_ratio * dimension)

    def without_tail(self, samples: int, sign: int) -> CurvatureLaw:
        """The law without the upper (sign 1) or lower (-1) tail that n samples leave half empty."""
        return self.cut(samples) if sign > 0 else self.mirrored.cut(samples).mirrored

    def cut(self, samples: int) -> CurvatureLaw:
        """The law without the upper tail of D that n samples leave half empty.

        The supremum becomes the largest node that stays, see `kept`.
        """
        kept = self.kept(samples)
        d = self._largest
        joint = self.joint and JointCurvature(self.joint.cross[kept], self.joint.inner[kept])
        supremum = float(d[kept].max())
        return replace(
            self,
            weights=self.weights[kept] / self.weights[kept].sum(),
            factors=self.factors[kept],
            moments=self.moments[kept],
            supremum=supremum,
            extremes=outermost(self.factors[kept]),
            parts=tuple((low, min(high, supremum)) for low, high in self.parts if low <= supremum),
            means=None if self.means is None else self.means[kept],
            joint=joint,
        )

    def kept(self, samples: int) -> np.ndarray:
        """Which nodes `cut` leaves, (N,) bool.

        With L the largest eigenvalue of D, nodes go where n P(L >= node) < 1/2.
        """
        order = np.argsort(-self._largest, kind="stable")
        tail = np.empty_like(self.weights)
        tail[order] = np.cumsum(self.weights[order])
        kept: np.ndarray = tail >= 0.5 / samples
        return kept

    @cached_property
    def _largest(self) -> FloatArray:
        """The largest eigenvalue of D at the nodes, (N,)."""
        if self.rows == 1:
            return self.scalar_factors
        largest: FloatArray = np.linalg.eigvalsh(self.factors)[:, -1].astype(np.float64)
        return largest

    def compressed(self, bins: int = _BINS) -> CurvatureLaw:
        """The same law on at most two nodes a bin of D (m = 1 without v only).

        Each bin keeps its mass and the first three moments of D exactly by a two-point Gauss rule,
        and E[z z^T], E[D z z^T]; an integrand smooth over a bin keeps its value to fourth order in
        the bin's width.
        """
        if self.rows != 1 or self.joint is not None or len(self.weights) <= 2 * bins:
            return self
        if bins not in self._compressions:
            self._compressions[bins] = self._compressed(bins)
        return self._compressions[bins]

    @cached_property
    def marginal(self) -> CurvatureLaw:
        """The law of D alone on few nodes, which is all that a bulk is made of.

        (m = 1 without v; any other law is its own.)
        """
        if self.rows != 1 or self.joint is not None:
            return self
        none = np.zeros((len(self.weights), 0, 0))
        return replace(self, moments=none, means=None).compressed()

    @cached_property
    def _compressions(self) -> dict[int, CurvatureLaw]:
        """By the number of bins: edges, gaps and profile ask for the same."""
        return {}

    @cached_property
    def _order(self) -> np.ndarray:
        """Of the nodes by D (m = 1 only)."""
        return np.argsort(self.scalar_factors, kind="stable")

    def _compressed(self, bins: int) -> CurvatureLaw:
        order = self._order
        d, w = self.scalar_factors[order], self.weights[order]
        span = max(d[-1] - d[0], 1e-300)
        key = 0.5 * np.cumsum(w) + 0.5 * (d - d[0]) / span
        # The last key is 1 but for rounding errors, which are not to choose its bin.
        bin_of = np.minimum(np.floor(key * bins), bins - 1)
        starts = np.flatnonzero(np.diff(bin_of, prepend=-1.0))
        mass = np.add.reduceat(w, starts)
        mean = np.add.reduceat(w * d, starts) / mass
        centred = d - np.repeat(mean, np.diff(starts, append=len(d)))
        variance = np.add.reduceat(w * centred**2, starts) / mass
        third = np.add.reduceat(w * centred**3, starts) / mass
        # Two-point rule with nodes mean + a -+ sqrt(a^2 + variance), a = third / (2 variance).
        narrow = variance <= (1e-10 * span) ** 2
        half = np.where(narrow, 0.0, third / np.where(narrow, 1.0, 2 * variance))
        root = np.sqrt(half**2 + np.where(narrow, 1.0, variance))
        low, high = half - root, half + root
        share = np.where(narrow, 0.5, high / (high - low))  # of the lower node
        low, high = np.where(narrow, 0.0, low), np.where(narrow, 0.0, high)

        def binned(values: FloatArray) -> FloatArray:
            """Mean over each bin of values (of the sorted nodes) times the moments."""
            ends = np.append(starts, len(d))
            sums = csr_array((w * values, order, ends), shape=(len(starts), len(d)))
            means: FloatArray = (sums @ self.flat_moments) / mass[:, None]
            return means

        moment, slope = binned(np.ones_like(d)), binned(centred)
        slope /= np.where(narrow, 1.0, variance)[:, None]
        slope[narrow] = 0
        flat = np.concatenate([moment + low[:, None] * slope, moment + high[:, None] * slope])
        r = self.span
        return replace(
            self,
            weights=np.concatenate([mass * share, mass * (1 - share)]),
            factors=np.concatenate([mean + low, mean + high])[:, None, None],
            moments=flat.reshape(len(flat), r, r),
            means=None,
        )


def outermost(factors: FloatArray) -> FloatArray:
    """Those of D (N, m, m) that are extreme along one of some directions, (L, m, m)."""
    if factors.shape[1] == 1:
        ends: FloatArray = factors[[factors.argmin(), factors.argmax()]]
        return ends
    u = np.random.default_rng(2).standard_normal((_EXTREME_DIRECTIONS, factors.shape[1]))
    forms = np.einsum("pi,nij,pj->np", u, factors, u, optimize=True)
    chosen = np.unique(np.concatenate([forms.argmax(0), forms.argmin(0)]))
    extremes: FloatArray = factors[chosen]
    return extremes
