from dataclasses import replace

import numpy as np
import pytest

from spectrain.models.heads import FunctionHead, SoftmaxHead, TwoLayerHead
from spectrain.theory.bulk.exterior import exterior
from spectrain.theory.bulk.moments import law_moments
from spectrain.theory.bulk.outliers import find_outliers
from spectrain.theory.mixture.factor_law import FactorLaw
from spectrain.theory.mixture.factors import factor_values
from spectrain.theory.mixture.quadrature import MixtureLaw, project, quadrature
from spectrain.theory.mixture.statistics import Statistics


def factor_law(problem, level=0):
    nodes = quadrature(project(problem.statistics, problem.head), problem.law, level)
    return FactorLaw(problem.head, problem.statistics, nodes, problem.aspect_ratio)


def law_of(problem, matrix, rows, level=0):
    return factor_law(problem, level).law(matrix, rows)


def test_suprema_are_those_of_the_head(softmax, xor):
    hessian = law_of(softmax(), "hessian", (0,))
    assert hessian.supremum == pytest.approx(0.25, rel=1e-5)  # p (1 - p)
    assert hessian.infimum == 0
    information = law_of(softmax(), "information", (0,))
    assert information.supremum == pytest.approx(1, rel=1e-6)  # (p - y)^2
    whole = law_of(softmax(), "information", (0, 1, 2))
    assert whole.supremum == pytest.approx(2, rel=1e-6)
    assert whole.infimum == 0
    unit = law_of(xor(), "hessian", (0,))
    # v^2 a'^2 p(1-p) + v a'' (p - y) with gelu, on a fine grid of both preactivations.
    grid = np.linspace(-10, 10, 501)
    h = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    v = xor().statistics.parameters
    values = [
        factor_values(TwoLayerHead(2), "hessian", h, v, np.full(len(h), y))[:, 0, 0] for y in (0, 1)
    ]
    assert unit.supremum == pytest.approx(np.max(values), rel=1e-3)
    assert unit.infimum == pytest.approx(np.min(values), rel=1e-3)


def test_growing_factors_have_no_supremum():
    squared = FunctionHead(lambda h, v, y: (h[0] - y) ** 2 / 2, directions=1)
    law = MixtureLaw(np.array([1.0]), np.array([0]), 2.0)
    statistics = Statistics(np.eye(2))
    nodes = quadrature(project(statistics, squared), law)
    laws = FactorLaw(squared, statistics, nodes, 3.0)
    assert laws.law("information", (0,)).supremum == np.inf
    assert laws.law("hessian", (0,)).supremum == pytest.approx(1)


def test_the_mirrored_law_has_the_negative_spectrum(xor):
    law = law_of(xor(), "hessian", (0,))
    twice = law.mirrored.mirrored
    np.testing.assert_array_equal(twice.factors, law.factors)
    assert (twice.supremum, twice.infimum) == (law.supremum, law.infimum)
    negative = replace(law, factors=-law.factors, supremum=-law.infimum, infimum=-law.supremum)
    assert exterior(law.mirrored).edge == exterior(negative).edge


@pytest.mark.parametrize("matrix", ["hessian", "information"])
def test_compression_keeps_moments_and_resolvent(xor, matrix):
    law = law_of(xor(), matrix, (0,))
    small = law.compressed()
    assert len(small.weights) <= 300 < len(law.weights)
    d, e = law.scalar_factors, small.scalar_factors
    for power in range(4):
        assert small.weights @ e**power == pytest.approx(law.weights @ d**power, rel=1e-11)
    for power in range(2):
        kept = np.tensordot(small.weights * e**power, small.moments, 1)
        np.testing.assert_allclose(
            kept, np.tensordot(law.weights * d**power, law.moments, 1), atol=1e-12
        )
    # Far from and near to the poles of 1 / (P + D).
    for p in (-10 * law.supremum, -1.2 * law.supremum, -0.3 * law.supremum - 0.2j * law.supremum):
        exact = law.weights @ (d / (p + d))
        assert abs(small.weights @ (e / (p + e)) - exact) < 1e-6 * abs(exact)
    assert exterior(small).edge == pytest.approx(exterior(law).edge, rel=1e-6)
    for one, other in zip(
        find_outliers(exterior(small)), find_outliers(exterior(law)), strict=True
    ):
        assert one.value == pytest.approx(other.value, rel=1e-5)
        assert one.overlap == pytest.approx(other.overlap, abs=1e-5)


@pytest.mark.parametrize("rows", [(0,), (0, 1)])
def test_the_mean_of_the_eigenvalues_is_their_first_moment(xor, rows):
    law = law_of(xor(), "hessian", rows)
    assert law.mean == pytest.approx(law_moments(law, 1)[0], rel=1e-12)
    assert law.mirrored.mean == -law.mean


def test_the_cut_leaves_half_a_sample_beyond(xor):
    law = law_of(xor(), "information", (0,))
    cut = law.cut(100)
    share = law.weights[law.scalar_factors >= cut.supremum].sum()
    beyond = law.weights[law.scalar_factors > cut.supremum].sum()
    assert beyond < 0.5 / 100 <= share
    assert cut.weights.sum() == pytest.approx(1)


def test_directions_that_no_sample_sees_are_projected_out(softmax, xor):
    laws = factor_law(softmax())
    assert laws.law("hessian", (0, 1, 2)).rows == laws.law("information", (0, 1, 2)).rows == 2
    assert laws.law("hessian", (0, 1)).rows == 2
    # Two hidden units that are equal: g is a multiple of v.
    problem = xor()
    gram = problem.statistics.gram.copy()
    gram[1], gram[:, 1] = gram[0], gram[:, 0]
    gram[1, 1] = gram[0, 0]
    twins = replace(problem, statistics=Statistics(gram, problem.statistics.parameters))
    assert factor_law(twins).law("information", (0, 1)).rows == 1
    assert factor_law(problem).law("information", (0, 1)).rows == 2


def test_factors_are_those_of_the_closed_forms():
    h = np.random.default_rng(0).standard_normal((5, 3))
    y = np.array([0, 1, 2, 0, 1])
    p = np.exp(h) / np.exp(h).sum(1, keepdims=True)
    hessian = p[:, :, None] * np.eye(3) - p[:, :, None] * p[:, None, :]
    g = p - np.eye(3)[y]
    v = np.zeros(0)
    np.testing.assert_allclose(
        factor_values(SoftmaxHead(3), "hessian", h, v, y), hessian, atol=1e-14
    )
    np.testing.assert_allclose(
        factor_values(SoftmaxHead(3), "information", h, v, y),
        g[:, :, None] * g[:, None, :],
        atol=1e-14,
    )
    tanh = TwoLayerHead(1, "tanh")
    t, w = np.tanh(h[:, :1]), 1.5
    q = 1 / (1 + np.exp(-w * t[:, 0])) - np.minimum(y, 1)
    first, second = 1 - t[:, 0] ** 2, -2 * t[:, 0] * (1 - t[:, 0] ** 2)
    s = 1 / (1 + np.exp(-w * t[:, 0]))
    expected = (w * first) ** 2 * s * (1 - s) + w * second * q
    found = factor_values(tanh, "hessian", h[:, :1], np.array([w]), np.minimum(y, 1))
    np.testing.assert_allclose(found[:, 0, 0], expected, atol=1e-14)
