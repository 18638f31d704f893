"""Moments of predicted laws: closed forms, traces of samples, integrals of the density."""

import numpy as np
import pytest

from spectrain.models.heads import SoftmaxHead
from spectrain.theory.bulk.law import CurvatureLaw
from spectrain.theory.bulk.moments import law_moments
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics


def discrete_law(factors, weights, phi, snr):
    moments = np.zeros((len(factors), 0, 0))
    values = np.linalg.eigvalsh(factors)
    top, bottom = values.max(), values.min()
    return CurvatureLaw(np.array(weights), factors, moments, top, bottom, factors, phi, snr)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("phi", [0.5, 4.0])
def test_a_constant_factor_has_the_narayana_polynomials(rows, phi):
    """Marchenko-Pastur: sum_j N(k, j) phi^(j-k), N = 1; 1, 1; 1, 3, 1; 1, 6, 6, 1."""
    snr, c = 2.0, 1 / phi
    exact = np.array([1, 1 + c, 1 + 3 * c + c**2, 1 + 6 * c + 6 * c**2 + c**3])
    law = discrete_law(np.eye(rows)[None], [1.0], phi, snr)
    np.testing.assert_allclose(law_moments(law, 4), exact / snr ** np.arange(1, 5), rtol=1e-13)


def test_the_second_moment_of_matrix_factors():
    """(tr (E D)^2 + tr E[D^2] / phi) / m, from E[(y.y')^2] = d and E[|y|^4] = d^2 by hand."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((5, 3, 3))
    factors = factors + factors.transpose(0, 2, 1)
    weights, phi, snr = rng.dirichlet(np.ones(5)), 1.7, 3.0
    mean = np.tensordot(weights, factors, 1)
    square = np.trace(mean @ mean) + weights @ (factors**2).sum((1, 2)) / phi
    found = law_moments(discrete_law(factors, weights, phi, snr), 2)
    np.testing.assert_allclose(found, [np.trace(mean) / snr / 3, square / snr**2 / 3], rtol=1e-13)


@pytest.mark.parametrize("matrix", ["hessian", "information"])
@pytest.mark.parametrize(
    ("name", "rows"), [("softmax", (0, 1, 2)), ("softmax", (1,)), ("xor", (0,))]
)
def test_traces_of_samples(request, name, rows, matrix):
    """O(n^(-1/2)) of a trace's fluctuation, r of d coordinates in the span, and O(1/d)."""
    problem, d, draws = request.getfixturevalue(name)(), 150, 6
    theory = problem.theory(d)
    spectrum = theory.spectrum(matrix, rows, "b", 0)
    bulk = slice(len(spectrum.bottom), len(rows) * d - len(spectrum.top))
    dense = [
        np.linalg.eigvalsh(problem.dense(matrix, rows, d, seed))[bulk] for seed in range(draws)
    ]
    predicted = theory.moments(matrix, rows, 4)
    for k, (value, error) in enumerate(zip(predicted.values, predicted.errors, strict=True), 1):
        assert error < 1e-5 * abs(value)
        traces = np.array([(values**k).sum() for values in dense]) / len(rows) / d
        size = np.mean(np.abs(dense) ** k)
        noise = traces.std(ddof=1) / draws**0.5
        span = (len(problem.statistics.gram) + k**2) * size / d
        assert traces.mean() == pytest.approx(value, abs=4 * noise + span)


@pytest.mark.parametrize("rows", [(0,), (0, 1)])
def test_integrals_of_the_density(xor, rows):
    theory = xor().theory(1000)
    density = theory.spectrum("hessian", rows, "b", 800).density
    middle = (density.points[1:] + density.points[:-1]) / 2
    share = np.diff(density.cumulative)
    for k, value in enumerate(theory.moments("hessian", rows, 4).values, 1):
        bound = 2e-3 * (share @ np.abs(middle) ** k)
        assert share @ middle**k == pytest.approx(value, abs=bound)


def test_null_directions_count():
    """At x = 0 the whole softmax block is D (x) a covariance, D = (I - 1 1^T / C) / C."""
    gram = np.diag([0.0, 0, 0, 1, 1, 1])
    law = MixtureLaw(np.full(3, 1 / 3), np.arange(3), 2.0)
    theory = EffectiveSpectrum(SoftmaxHead(3), Statistics(gram), law, 3.0)
    found = theory.moments("hessian", (0, 1, 2), 2)
    level = 1 / 3 / 2.0
    np.testing.assert_allclose(found.values, [2 / 3 * level, 2 / 3 * level**2 * (1 + 1 / 3)])
    np.testing.assert_allclose(found.errors, 0, atol=1e-12)


def test_orders_are_positive(softmax):
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        softmax().theory(None).moments("hessian", (0,), 0)
    with pytest.raises(ValueError, match="rows"):
        softmax().theory(None).moments("hessian", (7,), 2)
