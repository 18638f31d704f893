"""The detection edge of thin blocks, beside that of drawn samples."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gammainc

from spectrain.theory.bulk.exterior import exterior
from spectrain.theory.bulk.law import CurvatureLaw
from spectrain.theory.bulk.thin_detection import thin_detection_edge

SHAPE, SCALE, SHIFT = 46.446, 0.186054, 9.84801  # of the Tracy-Widom law, arXiv 1209.3394
DRAWS = 20_000


def scalar_law(d, weights, phi=4.0):
    """The law of numbers D, (N,)."""
    factors, none = d[:, None, None], np.zeros((len(d), 0, 0))
    return CurvatureLaw(weights, factors, none, float(d.max()), float(d.min()), factors, phi, 1.0)


def exponential(phi=4.0):
    """D = exp(-x), x^2 ~ an exponential law: its density vanishes at the supremum."""
    x = np.linspace(0, 5, 241)[1:]
    weights = x * np.exp(-(x**2))
    return scalar_law(np.exp(-x), weights / weights.sum(), phi)


def power(exponent, phi=4.0):
    """P(D > 1 - x) = x^exponent."""
    ends = np.linspace(0, 1, 201)
    return scalar_law(1 - (ends[1:] + ends[:-1]) / 2, np.diff(ends**exponent), phi)


def two_signs():
    """Most D are negative, few are positive, and those fall off exponentially."""
    x = np.linspace(0, 8, 161)[1:]
    weights = np.concatenate([0.2 * np.exp(-2 * x) / np.exp(-2 * x).sum(), [0.8]])
    return scalar_law(np.append(x, -1.0), weights)


LAWS = {
    "exponential": exponential(),
    "exponential, few samples": exponential(1.5),
    "thinner": power(6.0),
    "nearly a square root": power(2.5),
    "two signs": two_signs(),
}


def folds(d, weights, phi):
    """Edges and Tracy-Widom units times d^(2/3) of the laws with rows of weights, by bisection."""
    d = np.where(weights > 0, d, 0.0)
    low = d.max(1)
    high = low + 10 * np.abs(d).max() * math.sqrt(phi)
    for _ in range(60):
        p = (low + high) / 2
        inside = phi * (weights * (d / (p[:, None] - d)) ** 2).sum(1) > 1
        low, high = np.where(inside, p, low), np.where(inside, high, p)
    gaps = high[:, None] - d
    edges = high / phi + high * (weights * d / gaps).sum(1)
    second = (weights * d**2 / gaps**3).sum(1) * (high**2 / phi) ** 2
    return edges, second ** (1 / 3)


def drawn(law, dimension, draws):
    """The 99 % point over drawn samples and its standard error."""
    rng, n = np.random.default_rng(0), law.samples(dimension)
    counts = (rng.multinomial(n, law.weights, size=1000) for _ in range(draws // 1000))
    parts = [folds(law.scalar_factors, each / n, law.aspect_ratio) for each in counts]
    edges, units = np.concatenate(parts, axis=1)
    units = units * dimension ** (-2 / 3)

    def shares(x):
        return gammainc(SHAPE, np.maximum((x - edges) / units + SHIFT, 0) / SCALE)

    low, high = edges.min() - 10 * units.max(), edges.max() + 10 * units.max()
    while high - low > 1e-9 * abs(high):
        middle = (low + high) / 2
        low, high = (low, middle) if shares(middle).mean() > 0.99 else (middle, high)
    step = 1e-3 * units.mean()
    density = (shares(high + step).mean() - shares(high - step).mean()) / (2 * step)
    return high, shares(high).std() / math.sqrt(draws) / density


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("dimension", [50, pytest.param(400, marks=pytest.mark.slow)])
def test_it_is_the_99_percent_point_of_drawn_samples(name, dimension):
    """Within four standard errors of the draws, more than the second order in n^(-1/2) here."""
    expected, error = drawn(LAWS[name], dimension, DRAWS)
    assert abs(thin_detection_edge(LAWS[name], dimension) - expected) < 4 * error


@pytest.mark.parametrize("name", LAWS)
def test_it_is_smooth_in_the_law(name):
    """Relative changes of 1e-12 of all D and weights change it by a small multiple of that.

    It is homogeneous of degree 1 in D, and a weight counts as much as its own logarithm at most.
    """
    law = LAWS[name]
    edge = thin_detection_edge(law, 200)
    rng = np.random.default_rng(1)
    for _ in range(20):
        d, w = (1 + 1e-12 * rng.uniform(-1, 1, (2, len(law.weights)))) * (
            law.scalar_factors,
            law.weights,
        )
        moved = scalar_law(d, w / w.sum(), law.aspect_ratio)
        assert thin_detection_edge(moved, 200) == pytest.approx(edge, rel=2e-11)
    larger = replace(law, factors=3 * law.factors)
    assert thin_detection_edge(larger, 200) == pytest.approx(3 * edge, rel=1e-11)


def test_it_does_not_depend_on_the_order_of_the_nodes():
    law = two_signs()
    order = np.random.default_rng(2).permutation(len(law.weights))
    turned = scalar_law(law.scalar_factors[order], law.weights[order])
    assert thin_detection_edge(turned, 200) == pytest.approx(
        thin_detection_edge(law, 200), rel=1e-12
    )


def test_it_follows_the_statistics(xor):
    """A change of 1e-12 of the Gram matrix, or of the order of quadrature nodes, hardly moves it.

    A node may cross the end of a bin by it: each bin keeps four moments of D, and 1e-6 is more than
    all of them together change a detection edge by (`test_few_nodes_are_enough`).
    """
    problem, d = xor(), 120
    theory = problem.theory(d)
    edge = theory.spectrum("information", (0,), "block", density_points=0).bulk.upper
    assert edge.kind == "thin"
    rng = np.random.default_rng(3)
    for _ in range(3):
        change = 1e-12 * rng.standard_normal(problem.statistics.gram.shape)
        gram = problem.statistics.gram * (1 + (change + change.T) / 2)
        moved = replace(problem, statistics=replace(problem.statistics, gram=gram))
        again = moved.theory(d).spectrum("information", (0,), "block", density_points=0)
        assert again.bulk.upper.detection == pytest.approx(edge.detection, rel=1e-6)
    law = theory.law("information", (0,))
    order = np.random.default_rng(4).permutation(len(law.weights))
    turned = replace(
        law,
        weights=law.weights[order],
        factors=law.factors[order],
        moments=law.moments[order],
        means=law.means[order],
    )
    assert thin_detection_edge(turned.marginal, d) == pytest.approx(
        thin_detection_edge(law.marginal, d), rel=1e-6
    )


def test_few_nodes_are_enough(xor):
    """The merged law has the detection edge of the whole one to a thousandth of its distance."""
    law, d = xor().theory(120).law("information", (0,)), 120
    whole = thin_detection_edge(law, d)
    assert thin_detection_edge(law.marginal, d) == pytest.approx(whole, rel=1e-4)


def test_a_certain_factor_has_the_edge_of_marchenko_and_pastur():
    """D = 1: the 99 % point of Tracy and Widom beyond (1 + phi^(-1/2))^2, without other noise."""
    phi, d = 4.0, 300
    law = scalar_law(np.ones(1), np.ones(1), phi)
    edge = (1 + phi**-0.5) ** 2
    assert exterior(law).edge == pytest.approx(edge)
    unit = (1 + phi**-0.5) ** (4 / 3) * phi**-0.5 * d ** (-2 / 3)
    assert thin_detection_edge(law, d) == pytest.approx(edge + 2.0234 * unit, abs=0.02 * unit)
