"""The Hessian H = F^T X^T X F / P of a linear regression, which training does not change.

With x(u) = -lam(kappa2 = -u), outside the bulk are the images x of

    { u :  dlam/dkappa2 > 0  and  dkappa1/dkappa2 > 0 },

one interval at most between two neighbouring eigenvalues of Sigma. A further eigenvalue s of Sigma
in that set, a spike, makes the outlier x(s), whose eigenvector's squared overlap with the spike's
is (kappa1/lam) dlam/dkappa2. A spike outside that set makes none.

Source: arXiv 2502.05074; docs/linear.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from ..bulk.detection import square_root_detection_edge
from ..spectrum import Bulk, Density, Edge, Eigenpair, FloatArray, Gap, Spectrum
from .hessian_density import HessianDensity
from .number_range import TINY, require_range
from .power_law import merged
from .problem import LinearProblem
from .renormalisation import Renormalisation, sign_change

__all__ = ["HessianLaw"]

_EPSILON = float(np.finfo(np.float64).eps)
_BINS = 1000  # of the spectrum inside the bulk, if it is larger
_HARD = 1e-9  # a lower edge nearer to zero, in units of the upper one, is at zero


class HessianLaw:
    """Bulk, gaps, density and outliers of the matrix H of v <- v - eta (H v - ...).

    It is the Hessian of half the mean square; that of torch's nn.MSELoss is 2 H, the one of a
    problem whose ``spectrum`` is doubled.

    Args:
        problem: its covariance is the bulk's, every eigenvalue of it with its multiplicity.
        spikes: further eigenvalues of the covariance, one each.
        parameters: number of the matrix's eigenvalues, at least its rank; that of the weights of
            inputs or features if None. A kernel has one weight a sample.

    Raises:
        ValueError: if there are fewer parameters than the rank, a spike is not a positive number,
            or samples and features are both infinite: then H is the covariance itself.
    """

    def __init__(
        self,
        problem: LinearProblem,
        spikes: Sequence[float] = (),
        parameters: int | None = None,
    ) -> None:
        if math.isinf(problem.samples) and math.isinf(problem.features):
            raise ValueError(
                "samples, features: expected a number of one at least, got two that are infinite"
            )
        for spike in spikes:
            if not (math.isfinite(spike) and spike > 0):
                raise ValueError(f"spikes: expected positive numbers, got {spike}")
        require_range("spikes", spikes, TINY)
        self.spikes = tuple(spikes)
        self.law = Renormalisation.of(problem)
        self.rank = min(
            problem.samples, problem.features, self.law.rank_of_covariance + len(spikes)
        )
        # Spikes are inputs: they are parameters too where the inputs are the features.
        more = 0 if math.isfinite(problem.features) else len(spikes)
        self.size = problem.parameters + more if parameters is None else float(parameters)
        if self.size < self.rank:
            raise ValueError(
                f"parameters: expected at least {self.rank:g}, the rank of H, got {parameters}"
            )
        # Densities and counts need no single eigenvalue: bins are accurate to 1e-5.
        binned = merged(replace(problem, target_overlap=None), _BINS)
        self.density = HessianDensity(Renormalisation.of(binned), self.size)

    def spectrum(self, block: str, points: int = 0) -> Spectrum:
        """The law as a `Spectrum`.

        Args:
            block: its name.
            points: of the density; 0 for none.
        """
        bulk, outliers = self.bulk(), self.outliers()
        top = tuple(one for one in outliers if one.value > bulk.upper.value)
        bottom = tuple(one for one in reversed(outliers) if one.value < bulk.lower.value)
        ends = {id(one) for one in (*top, *bottom)}  # two may be equal
        inside = tuple(one for one in outliers if id(one) not in ends)
        density = self._density(bulk, outliers, points) if points else None
        return Spectrum("hessian", block, round(self.size), top, bottom, bulk, density, inside)

    def outliers(self) -> list[Eigenpair]:
        """Eigenvalues that the spikes make outside the bulk, largest first."""
        found = []
        for spike in self.spikes:
            if np.any(self.law.eigenvalues == spike) or not self.law.rising(spike) > 0:
                continue
            lam, rate, rate1 = (float(value) for value in self.law.ridge(-spike))
            df = float(self.law.degrees(-spike))
            kappa1 = -spike * (1 - df * self.law.per_feature)
            # Both factors fluctuate as a spiked sample covariance does, one after the other.
            variance = 2 * spike**2 * rate1 * self.law.per_feature * (rate / rate1) ** 2
            variance += 2 * kappa1**2 * (rate / rate1) * self.law.per_sample
            cancelled = abs(df) * (self.law.per_sample + self.law.per_feature)
            found.append(
                Eigenpair(
                    value=-lam,
                    error=8 * _EPSILON * abs(lam) * (1 + cancelled),
                    overlap=kappa1 / lam * rate,
                    sampling_error=math.sqrt(variance),
                )
            )
        return sorted(found, key=lambda one: -one.value)

    def bulk(self) -> Bulk:
        """Edges and gaps; the zeros of a matrix that lacks full rank are the atom."""
        s = np.unique(self.law.eigenvalues)
        upper, lower = self._point(self.law.top[1]), self._point(self._lowest(float(s[0])))
        atom = max(0.0, 1 - self.rank / self.size)
        gaps = tuple(
            Gap(_limit(self._point(low)), _limit(self._point(high)))
            for low, high in self._parted(s)
        )
        top = self._edge(upper, above=True)
        if lower <= _HARD * upper:
            return Bulk(Edge(0.0, "hard", 0.0, 0.0, 0.0), top, atom, gaps)
        return Bulk(self._edge(lower, above=False), top, atom, gaps)

    def _point(self, u: float) -> float:
        """x(u)."""
        return float(-self.law.ridge(-u)[0])

    def _edge(self, value: float, above: bool) -> Edge:
        """An outer edge, with the places of the last eigenvalue."""
        half = self.density.quantile(0.5 if above else self.law.rank - 0.5)
        detection = square_root_detection_edge(value, half, 0.0)
        return Edge(value, "square-root", half, detection, _edge_error(value))

    def _lowest(self, smallest: float) -> float:
        """u at the lower edge of the lowest band, below the smallest eigenvalue of Sigma."""
        low = -smallest
        while self.law.rising(low) <= 0:
            low *= 2
        return sign_change(self.law.rising, low, smallest, decreasing=True)

    def _parted(self, s: FloatArray) -> Iterator[tuple[float, float]]:
        """u at both ends of each gap, increasing."""
        weight = np.zeros(len(s))
        np.add.at(
            weight,
            np.searchsorted(s, self.law.eigenvalues),
            self.law.weights * self.law.eigenvalues,
        )
        # Two neighbours alone keep sum m s^2 / (s-u)^2 above this.
        least = (np.cbrt(weight[:-1]) + np.cbrt(weight[1:])) ** 3 / np.diff(s) ** 2
        for place in np.flatnonzero(least < min(self.law.samples, self.law.features)):
            found = self._regular(float(s[place]), float(s[place + 1]))
            if found is not None:
                yield found

    def _regular(self, low: float, high: float) -> tuple[float, float] | None:
        """The interval of u between two neighbouring eigenvalues that is outside the bulk."""
        if math.isfinite(self.law.features):
            # dkappa1/dkappa2 is concave in between.
            part = _positive(lambda u: float(self.law.ridge(-u)[2]), low, high)
            if part is None:
                return None
            low, high = part

        def rate(u: float) -> float:
            """dlam/dkappa1, which rises to one maximum and falls."""
            _, whole, first = self.law.ridge(-u)
            return float(whole / first)

        return _positive(rate, low, high)

    def _density(self, bulk: Bulk, outliers: Sequence[Eigenpair], points: int) -> Density:
        """On a grid that is dense at the edges of each band."""
        bands = [(low.value, high.value) for low, high in bulk.bands]
        each = max(8, points // len(bands))
        waves = (1 - np.cos(math.pi * (np.arange(each) + 0.5) / each)) / 2
        grid = np.concatenate([low + (high - low) * waves for low, high in bands])
        found = self.density.on(grid)
        # The outliers add to a bulk of full rank; where the samples or the features limit the rank
        # they are among its eigenvalues already.
        above = np.array([[one.value > x for one in outliers] for x in grid]).sum(1)
        more = np.minimum(above, self.rank - self.law.rank)
        return replace(found, cumulative=found.cumulative - more / self.size)


def _positive(
    function: Callable[[float], float], low: float, high: float
) -> tuple[float, float] | None:
    """Where a function with one maximum inside an open interval is positive."""
    width = high - low
    margin = 1e-9 * width
    # By the share of the interval: the tolerance of the search is absolute.
    best = minimize_scalar(
        lambda share: -function(low + share * width),
        bounds=(1e-9, 1 - 1e-9),
        method="bounded",
        options={"xatol": 1e-7},
    )
    if not -best.fun > 0:
        return None
    peak = low + float(best.x) * width
    return (
        sign_change(function, low + margin, peak),
        sign_change(function, peak, high - margin, decreasing=True),
    )


def _limit(value: float) -> Edge:
    return Edge(value, "square-root", math.nan, math.nan, _edge_error(value))


def _edge_error(value: float) -> float:
    # The derivative vanishes at an edge: an error of u of sqrt(eps) would not be seen in x.
    return 16 * _EPSILON * abs(value)
