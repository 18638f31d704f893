"""What finding a predicted number by simulation would cost.

The mean over R draws of size d has the relative error  bias / d + spread / (d R)^(1/2),  and takes
R seconds(d). Bias and spread are measured on many small draws, seconds on one larger, and continued
by the exponent of each method, of which the cheapest counts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from spectrain.models.heads import Head, curvature_factors, gradient_factors
from spectrain.theory.mixture.dynamics import SGD
from spectrain.theory.mixture.factors import Matrix
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics
from spectrain.theory.spectrum import FloatArray

from .timing import once

__all__ = ["Problem", "SampledPath", "SampledSpectrum", "Scaling", "Simulation", "scaling"]


@dataclass(frozen=True)
class Problem:
    """A head on a mixture at one value of the statistics."""

    head: Head
    statistics: Statistics
    law: MixtureLaw
    aspect_ratio: float

    def directions(self, dimension: int) -> tuple[FloatArray, FloatArray]:
        """Vectors x (C, d) and mu (k, d) with the Gram matrix."""
        values, vectors = np.linalg.eigh(self.statistics.gram)
        rows = np.zeros((len(values), dimension))
        rows[:, : len(values)] = vectors * np.sqrt(np.maximum(values, 0))
        return rows[: self.head.directions], rows[self.head.directions :]


@dataclass(frozen=True)
class Method:
    """A way to find all numbers that the timed job predicts on one draw.

    Attributes:
        name: in words.
        exponent: its seconds grow like d to this power.
        run: it.
    """

    name: str
    exponent: float
    run: Callable[[], object]


class Simulation(ABC):
    """One number, found on a sample.

    Attributes:
        times: how many such draws the timed job stands for.
    """

    times: int = 1

    @abstractmethod
    def number(self, dimension: int, seed: int) -> float:
        """The number on one draw."""

    @abstractmethod
    def methods(self, dimension: int) -> list[Method]:
        """Ways to find all numbers on one draw."""


class SampledSpectrum(Simulation):
    """The largest outlier; in full the whole spectrum or its extreme pairs."""

    def __init__(
        self, problem: Problem, matrix: Matrix, rows: tuple[int, ...], whole: bool, times: int = 1
    ) -> None:
        self._problem, self._matrix, self._rows = problem, matrix, rows
        self._whole, self.times = whole, times

    def number(self, dimension: int, seed: int) -> float:
        """The largest eigenvalue."""
        return float(np.linalg.eigvalsh(self._dense(*self._draw(dimension, seed)))[-1])

    def methods(self, dimension: int) -> list[Method]:
        """Dense, or from products alone if the whole spectrum is not wanted."""

        def dense() -> None:
            np.linalg.eigh(self._dense(*self._draw(dimension, 0)))

        def krylov() -> None:
            self._extreme(*self._draw(dimension, 0))

        found = [Method("dense eigendecomposition", 3.0, dense)]
        return found if self._whole else [*found, Method("Krylov space", 2.0, krylov)]

    def _draw(self, dimension: int, seed: int) -> tuple[FloatArray, FloatArray]:
        """Inputs Y (n, d) and factors D (n, m, m) of a sample."""
        problem, rng = self._problem, np.random.default_rng(seed)
        x, mu = problem.directions(dimension)
        n = round(problem.aspect_ratio * dimension)
        component = rng.choice(len(mu), size=n, p=problem.law.weights)
        y = mu[component] + rng.standard_normal((n, dimension)) * problem.law.snr**-0.5
        arguments = (
            torch.from_numpy(y @ x.T),
            torch.from_numpy(problem.statistics.parameters),
            torch.from_numpy(problem.law.labels[component]),
        )
        if self._matrix == "hessian":
            every = curvature_factors(problem.head, *arguments).numpy()
        else:
            gradient = gradient_factors(problem.head, *arguments)[0].numpy()
            every = gradient[:, :, None] * gradient[:, None, :]
        return y, every[:, self._rows][:, :, self._rows]

    @staticmethod
    def _dense(y: FloatArray, d: FloatArray) -> FloatArray:
        m = range(d.shape[1])
        return np.block([[(y.T * d[:, a, b]) @ y / len(y) for b in m] for a in m])

    @staticmethod
    def _extreme(y: FloatArray, d: FloatArray) -> None:
        """The eight largest and the eight smallest eigenpairs."""
        m, size = d.shape[1], d.shape[1] * y.shape[1]

        def product(vector: FloatArray) -> FloatArray:
            projected = vector.reshape(m, -1) @ y.T
            return (np.einsum("nab,bn->an", d, projected) @ y / len(y)).reshape(-1)

        start = np.random.default_rng(0).standard_normal(size)
        operator = LinearOperator((size, size), matvec=product, dtype=float)
        for end in ("LA", "SA"):
            eigsh(operator, k=8, which=end, tol=1e-4, v0=start)


class SampledPath(Simulation):
    """An inner product x_0 . mu_0 after training for a time; in full the path."""

    def __init__(self, problem: Problem, sgd: SGD, time: float) -> None:
        self._problem, self._sgd, self._time = problem, sgd, time

    def number(self, dimension: int, seed: int) -> float:
        """The inner product at the end of one run."""
        problem, rng = self._problem, np.random.default_rng(seed)
        x, mu = problem.directions(dimension)
        rate = self._sgd.scaled_learning_rate / dimension
        steps = round(self._time / rate)
        component = rng.choice(len(mu), size=steps, p=problem.law.weights)
        labels = torch.from_numpy(problem.law.labels[component])
        v = torch.from_numpy(problem.statistics.parameters)
        for step in range(steps):
            y = mu[component[step]] + rng.standard_normal(dimension) * problem.law.snr**-0.5
            h = torch.from_numpy((x @ y)[None])
            g = gradient_factors(problem.head, h, v, labels[step : step + 1])[0].numpy()
            x = x - rate * (g.T * y + self._sgd.ridge * x)
        return float(x[0] @ mu[0])

    def methods(self, dimension: int) -> list[Method]:
        """One run."""
        return [Method("SGD, one sample a step", 2.0, lambda: self.number(dimension, 0))]


@dataclass(frozen=True)
class Scaling:
    """How error and cost of a simulation depend on its size.

    Attributes:
        spread: relative standard deviation over draws, times d^(1/2).
        bias: relative distance of the mean from the limit, times d; not below its standard error.
        resolved: whether the bias is larger than twice its standard error.
        seconds: measured for one draw at ``dimension`` by each of ``methods``.
        dimension: see ``seconds``.
        methods: of which the cheapest is taken at each d.
    """

    spread: float
    bias: float
    resolved: bool
    seconds: tuple[float, ...]
    dimension: int
    methods: tuple[Method, ...]

    def in_the_limit(self, error: float) -> tuple[float, float, float]:
        """Smallest d and draws with half of a relative error each from bias and spread, seconds."""
        dimension = max(2 * self.bias / error, 10.0)
        draws = max((2 * self.spread / error) ** 2 / dimension, 1.0)
        return dimension, draws, draws * self._seconds(dimension)

    def at(self, dimension: int) -> tuple[float, float]:
        """Draws at d whose mean is as close to the expectation as the limit is, and seconds."""
        draws = max(self.spread**2 * dimension / self.bias**2, 1.0)
        return draws, draws * self._seconds(dimension)

    def _seconds(self, dimension: float) -> float:
        growth = dimension / self.dimension
        return min(
            seconds * growth**method.exponent
            for seconds, method in zip(self.seconds, self.methods, strict=True)
        )


def scaling(
    simulation: Simulation, predicted: float, small: int, draws: int, large: int
) -> Scaling:
    """Measure bias and spread at a small size, seconds at a larger one."""
    numbers = np.array([simulation.number(small, seed) for seed in range(draws)]) / predicted
    deviation = float(numbers.std(ddof=1))
    methods = tuple(simulation.methods(large))
    bias, uncertainty = abs(float(numbers.mean()) - 1), deviation / draws**0.5
    return Scaling(
        spread=deviation * small**0.5,
        bias=max(bias, uncertainty) * small,
        resolved=bias > 2 * uncertainty,
        seconds=tuple(simulation.times * once(method.run) for method in methods),
        dimension=large,
        methods=methods,
    )
