"""Train and test loss along time.

    train_F = -oint q^2 (T + sig2/kappa1)
    test_F  = oint oint q q' E/(z z') - (sig2/P) oint (1-q)^2 U/z

are the losses of the mean weights, and with second moments in place of q^2 the forcing of

    L_train(t) = F(t) + sum_s K(t-1-s) L_train(s),    K  = -eta^2 nu aP oint z b^t df
    L_test(t) = F'(t) + sum_s K'(t-1-s) L_train(s),   K' = -eta^2 nu aP oint z b^t U.

oint is the contour integral of dz/(2 pi i). Losses are mean squares without 1/2; the train loss
includes the label noise, the test loss does not.

Source: arXiv 2502.05074; docs/linear.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..spectrum import FloatArray
from .algorithm import Algorithm
from .contour import Contour, Nodes
from .equivalents import OnePoint, two_point
from .filters import Mean, Noise, SecondMoment, flow
from .problem import LinearProblem
from .renormalisation import ComplexArray, Renormalisation
from .volterra import Volterra

__all__ = ["Losses", "Prepared"]

_EPSILON = float(np.finfo(np.float64).eps)
# How near to the largest eigenvalue the contour may come, and the square of it to zero, relative to
# that: rates so large that they ask for less make a loss that the largest eigenvalues' growth is.
_PINCHED = 1e-6


@dataclass(frozen=True)
class Losses:
    """Losses at T times.

    Attributes:
        train: (T,) mean square on the training samples, label noise included; of the next batch if
            there is no training set.
        test: (T,) mean square under the test covariance, label noise not included.
    """

    train: FloatArray
    test: FloatArray

    def __sub__(self, other: Losses) -> Losses:
        return Losses(self.train - other.train, self.test - other.test)


class Prepared:
    """Everything about a problem and an algorithm that does not depend on the time asked for.

    Args:
        problem: a linear regression; fresh batches (one-pass) ask for infinitely many samples.
        algorithm: how it is trained.
        last: the largest time that will be asked for: steps, or the time of the flow.
        digits: of the contour; see `Contour`.
    """

    def __init__(
        self, problem: LinearProblem, algorithm: Algorithm, last: float, digits: float = 30.0
    ) -> None:
        self.problem, self.algorithm = problem, algorithm
        renormalisation = Renormalisation.of(problem)
        self.noise = (
            Noise.of(algorithm.batch_size, problem.samples)
            if algorithm.batch_size is not None
            else Noise(0.0, 1.0, 1.0)
        )
        self.contour = _contour(renormalisation.top[0], algorithm, self.noise.excess, last, digits)
        self.nodes = Nodes.on(self.contour, renormalisation)
        self.points = OnePoint(problem, self.nodes.kappa2)
        self.degrees = self.points.sum("one")
        self.kappa1 = renormalisation.first(-self.nodes.z, self.nodes.kappa2, self.degrees)

    @cached_property
    def trace(self) -> ComplexArray:
        """U, (n,)."""
        nodes = self.nodes
        trace: ComplexArray = self.kappa1 / -nodes.z * self.points.sum("test")
        return trace

    @cached_property
    def signal(self) -> ComplexArray:
        """T, (n,)."""
        nodes = self.nodes
        signal: ComplexArray = nodes.kappa2 / self.kappa1 * self.points.sum("target1")
        return signal

    @cached_property
    def pairs(self) -> tuple[ComplexArray, ComplexArray]:
        """E/(z z') with the contour's weights, between nodes, and with conjugate ones."""
        nodes = self.nodes
        scaled = nodes.weights / nodes.z
        same = two_point(self.problem, self.points, self.points)
        cross = two_point(self.problem, self.points, self.points.conjugate())
        return scaled[:, None] * same * scaled, scaled[:, None] * cross * scaled.conj()

    def _double(self, same: ComplexArray, cross: ComplexArray) -> float:
        """The double integral from second moments at pairs of nodes."""
        here, there = self.pairs
        return float(2 * (np.vdot(here.conj(), same) + np.vdot(there.conj(), cross)).real)

    def _products(self, q: ComplexArray) -> FloatArray:
        """The double integral from q (T, n)."""
        here, there = self.pairs
        result: FloatArray = 2 * ((q @ here) * q + (q @ there) * q.conj()).sum(1).real
        return result

    def mean(self, times: FloatArray) -> tuple[Losses, Losses]:
        """Losses of the mean weights at increasing times: what the signal, and the noise, add."""
        q = self._residuals(times)
        nodes = self.nodes
        squared = q * q
        signal = Losses(-nodes.integral(squared * self.signal), self._products(q))
        label = Losses(
            -self.problem.noise * nodes.integral(squared / self.kappa1),
            self._label_test((1 - q) ** 2),
        )
        return signal, label

    def mean_train(self, times: FloatArray) -> FloatArray:
        """Train loss of the mean weights at increasing times, (T,)."""
        q = self._residuals(times)
        return -self.nodes.integral(q * q * (self.signal + self.problem.noise / self.kappa1))

    def error(self, times: FloatArray) -> FloatArray:
        """Estimated numerical error of the losses of the mean weights, (T,).

        Rounding of every node's part, and what the rule misses at time 0, where both losses are
        known.
        """
        problem, nodes = self.problem, self.nodes
        signal, label = self.mean(np.zeros(1))
        known = problem.signal + problem.noise, problem.initial_test
        found = signal.train + label.train, signal.test + label.test
        missed = max(float(np.abs(a - b).max()) for a, b in zip(found, known, strict=True))
        q = np.abs(self._residuals(times))
        learnt = np.abs(1 - self._residuals(times)) ** 2
        pairs = sum(np.abs(part) for part in self.pairs)
        parts = 2 * np.einsum("ti,ij,tj->t", q, pairs, q, optimize=True)
        trace = 2 * learnt @ np.abs(nodes.weights * self.trace / nodes.z)
        parts += problem.noise / problem.samples * trace
        forcing = self.signal + problem.noise / self.kappa1
        parts += 2 * q**2 @ np.abs(nodes.weights * forcing)
        rule = 2 * math.exp(-self.contour.digits) * parts[0]
        result: FloatArray = 4 * _EPSILON * parts + missed + rule
        return result

    def _label_test(self, learnt: ComplexArray) -> FloatArray:
        """-(sig2/P) oint (1-q)^2 U / z."""
        nodes, problem = self.nodes, self.problem
        if math.isinf(problem.samples) or problem.noise == 0:
            return np.zeros(learnt.shape[:-1])
        return -problem.noise / problem.samples * nodes.integral(learnt * self.trace / nodes.z)

    def _residuals(self, times: FloatArray) -> ComplexArray:
        """q at the nodes, (T, n)."""
        z, algorithm = self.nodes.z, self.algorithm
        if algorithm.name == "flow":
            return flow(z, algorithm.weight_decay, times[:, None])
        mean, here = Mean(z, algorithm.weight_decay), 0
        found = []
        for time in times:
            for rate, steps in algorithm.rates(here, int(time)):
                mean.advance(rate, steps)
            here = int(time)
            found.append(mean.q)
        return np.array(found)

    def stochastic(self, times: FloatArray) -> Losses:
        """Losses under SGD with replacement or on fresh samples, at increasing steps."""
        nodes, problem, noise = self.nodes, self.problem, self.noise
        z, decay = nodes.z, self.algorithm.weight_decay
        forcing = -nodes.weights * (self.signal + problem.noise / self.kappa1)
        kernel = -noise.inverse_batch * noise.gain * nodes.weights * z * self.degrees
        volterra = Volterra(z, forcing, kernel, decay, noise.excess)
        mean = Mean(z, decay)
        single = SecondMoment(z, z, decay, noise.excess)
        same = SecondMoment(z[:, None], z, decay, noise.excess)
        cross = SecondMoment(z[:, None], z.conj(), decay, noise.excess)
        ratio = self.trace / self.degrees
        train, test, here = [], [], 0
        for time in times:
            for rate, steps in self.algorithm.rates(here, int(time)):
                for part in (volterra, mean, single, same, cross):
                    part.advance(rate, steps)
            here = int(time)
            train.append(volterra.loss)
            driven = 2 * float((ratio * (volterra.v - forcing * single.second)).real.sum())
            learnt = single.second - 2 * mean.q + 1
            test.append(
                self._double(same.second, cross.second)
                + float(self._label_test(learnt[None])[0])
                + driven
            )
        return Losses(np.array(train), np.array(test))


def _contour(
    top: float, algorithm: Algorithm, excess: float, last: float, digits: float
) -> Contour:
    """The contour on which filters stay bounded up to ``last``, if they are on the spectrum."""
    clock = algorithm.clock(last) or 1.0
    scale = 2 / clock
    bound = 2 * top
    if algorithm.largest_rate * top > 4:
        scale = max(scale, _PINCHED**2 * top)
    if algorithm.largest_rate > 0:
        widest = 2 / (algorithm.largest_rate * (1 + excess)) - algorithm.weight_decay
        bound = max(min(bound, widest), top + min(max(scale, _PINCHED * top), top))
    return Contour(top, min(scale, top), bound, digits)
