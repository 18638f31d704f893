"""The ridge classifier of two Gaussian clusters: closed forms, limits, samples."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ndtr

from spectrain.theory.flat_minima.ridge import Clusters, bayes_error, ridge_solution


@pytest.mark.parametrize(
    ("a", "d", "lam"), [(2.0, 1.0, 0.5), (0.5, 1.0, 0.1), (3.0, 0.3, 1e-3), (1.0, 2.0, 30.0)]
)
def test_balanced_clusters_by_another_way(a, d, lam):
    """V by root finding in lam V^2 + (lam + a D - D) V - D = 0, m and q in terms of it."""
    v = brentq(lambda v: lam * v * v + (lam + a * d - d) * v - d, 0, 1e9, xtol=1e-15, rtol=1e-14)
    m = a / (lam * (1 + v) + a * (1 + d))
    k = a * d / ((1 + v) * (a * d / (1 + v) + lam)) ** 2
    q = (m * m + k * (1 - m) ** 2) / (1 - k * d)
    found = ridge_solution(Clusters(d), a, lam)
    assert found.overlap == pytest.approx(m, abs=1e-7)
    assert found.norm == pytest.approx(q, abs=1e-7)
    s = np.array([0.0, 0.7, 3.0])
    train = ndtr(-(m + v) / np.sqrt(d * q * (1 + s**2 * (1 + v) ** 2)))
    np.testing.assert_allclose(found.train_error(s), train, atol=1e-7)
    np.testing.assert_allclose(
        found.test_error(s), ndtr(-m / np.sqrt(d * q * (1 + s**2))), atol=1e-7
    )


@pytest.mark.parametrize("fraction", [0.5, 0.8, 0.03])
def test_stationarity_of_the_unbalanced_classifier(fraction):
    """E[y r] = 0 (bias), a E[r z.mu] = lam m (along mu), and lam w.w = a E[r w.z], r residuals."""
    a, d, lam = 1.5, 0.7, 0.2
    found = ridge_solution(Clusters(d, fraction), a, lam)
    u, m, b, q = found.residual_share, found.overlap, found.bias, found.norm
    c = 2 * fraction - 1
    assert c * u * (1 - m) - u * b == pytest.approx(0, abs=1e-12)
    residual = u * (1 - m - c * b)
    assert a * (residual - u * d * m) == pytest.approx(lam * m, abs=1e-10)
    # E[r w.z] with w.z = t - y b, t = 1 - r the margin: all of a sample that is trained on.
    square = sum(p * (1 - m - y * b) ** 2 for p, y in ((fraction, 1), (1 - fraction, -1))) + d * q
    assert a * (residual - u**2 * square) == pytest.approx(lam * q, abs=1e-10)


def test_equal_fractions_have_no_bias_and_clusters_can_change_places():
    balanced, equal = (ridge_solution(Clusters(1.0, f), 2.0, 0.3) for f in (None, 0.5))
    assert equal.bias == 0
    assert equal.overlap == balanced.overlap
    assert equal.test_error(0.5) == pytest.approx(balanced.test_error(0.5), rel=1e-14)
    one, other = (ridge_solution(Clusters(1.0, f), 2.0, 0.3) for f in (0.2, 0.8))
    assert one.bias == pytest.approx(-other.bias)
    assert one.train_error(0.3) == pytest.approx(other.train_error(0.3))


@pytest.mark.parametrize("a", [0.5, 3.0])
def test_no_ridge_is_a_limit(a):
    zero, small = (ridge_solution(Clusters(0.8, 0.7), a, lam) for lam in (0.0, 1e-11))
    for name in ("overlap", "norm", "bias", "residual_share"):
        assert getattr(zero, name) == pytest.approx(getattr(small, name), abs=1e-8)
    assert (zero.train_error() == 0) == (a < 1)
    assert zero.train_loss() == pytest.approx(0) if a < 1 else zero.train_loss() > 0.1


def test_much_ridge_is_bayes_optimal():
    """The limit of the test error, which falls towards it, and flatness grows all the way."""
    clusters = Clusters(1.0)
    found = [ridge_solution(clusters, 2.0, lam) for lam in (0.01, 0.1, 1.0, 10.0, 1e8)]
    errors = [float(each.test_error()) for each in found]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == pytest.approx(bayes_error(clusters, 2.0), abs=1e-8)
    gained = [float(each.train_error(1.0) - each.train_error()) for each in found]
    assert gained == sorted(gained, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [None, 0.8])
def test_samples(fraction):
    """N = 600, 12 seeds: within 4 standard errors, and the 1/N that clusters' counts leave."""
    size, a, d, lam = 600, 1.5, 0.7, 0.2
    rng = np.random.default_rng(0)
    n, rows = int(a * size), []
    for _ in range(12):
        first = round(n * (0.5 if fraction is None else fraction))
        y = np.where(np.arange(n) < first, 1.0, -1.0)
        mu = rng.standard_normal(size)
        mu /= np.linalg.norm(mu)
        x = y[:, None] * mu + math.sqrt(d) * rng.standard_normal((n, size))
        columns = x if fraction is None else np.c_[x, np.ones(n)]
        ridge = np.diag([size * lam] * size + [0.0] * (fraction is not None))
        solved = np.linalg.solve(columns.T @ columns + ridge, columns.T @ y)
        w, b = solved[:size], solved[size] if fraction is not None else 0.0
        margins = y * (x @ w + b)
        rows.append([w @ mu, w @ w, b, np.mean(margins < 0), np.mean((1 - margins) ** 2)])
    mean, error = np.mean(rows, 0), np.std(rows, 0, ddof=1) / math.sqrt(len(rows))
    found = ridge_solution(Clusters(d, fraction), a, lam)
    expected = [
        found.overlap,
        found.norm,
        found.bias,
        float(found.train_error()),
        float(found.train_loss()),
    ]
    assert (np.abs(mean - expected) <= 4 * error + 1 / size).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Clusters(0.0), r"noise: expected a positive number, got 0\.0"),
        (lambda: Clusters(1.0, 1.0), "fraction: expected a number between 0 and 1, or None"),
        (lambda: ridge_solution(Clusters(1.0), 0.0, 1.0), "samples_per_dimension: expected"),
        (lambda: ridge_solution(Clusters(1.0), 2.0, -1.0), "ridge: expected a number of at least"),
        (lambda: ridge_solution(Clusters(1.0), 1.0, 0.0), "ridge: expected a positive number at"),
        (lambda: bayes_error(Clusters(1.0, 0.3), 1.0), "fraction: expected 1/2 or None, got 0"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
