"""Estimates from a pool of samples that are not trained on."""

import math

import numpy as np
import pytest

from spectrain.theory.linear.algorithm import Algorithm
from spectrain.theory.linear.loss_curves import loss_curves
from spectrain.theory.linear.pool import estimate
from spectrain.theory.linear.problem import LinearProblem

D = 60
S = np.arange(1, D + 1.0) ** -1.2
W = np.arange(1, D + 1.0) ** -0.4


def draw(rng, size, noise=0.1):
    x = rng.standard_normal((size, D)) * np.sqrt(S)
    return x, x @ W + math.sqrt(noise) * rng.standard_normal(size)


@pytest.mark.parametrize("samples", [math.inf, 50.0])
def test_a_large_pool_knows_the_curves_within_its_own_error(samples):
    rng = np.random.default_rng(0)
    found = estimate(*draw(rng, 6000))
    name = "one-pass" if math.isinf(samples) else "sgd"
    algorithm, times = Algorithm(name, 0.3, 4), [0, 10, 100, 1000]
    prediction = found.predict(algorithm, times, samples)
    truth = loss_curves(LinearProblem(S, W**2, noise=0.1, samples=samples), algorithm, times)
    assert prediction.claimed
    for kind in ("train", "test"):
        off = np.abs(getattr(prediction.curves, kind) - getattr(truth, kind))
        # The error is estimated from two numbers: four times it is exceeded now and then.
        assert (off < 5 * getattr(prediction, f"{kind}_error") + 0.03 * getattr(truth, kind)).all()
    assert found.problem.noise == pytest.approx(0.1, rel=5 * math.sqrt(2 / 6000))
    signal = found.problem.signal
    assert signal + found.problem.noise == pytest.approx(S @ W**2 + 0.1, rel=0.1)


def test_a_small_pool_claims_nothing():
    rng = np.random.default_rng(1)
    found = estimate(*draw(rng, 150))
    assert not found.halves
    prediction = found.predict(Algorithm("flow"), [1.0, 100.0], 50.0)
    assert not prediction.claimed
    assert np.isinf(prediction.test_error).all()


def test_directions_without_variance_have_no_target():
    rng = np.random.default_rng(2)
    x, y = draw(rng, 500)
    found = estimate(np.hstack([x, np.zeros((500, 3))]), y).problem
    assert (found.spectrum == 0).sum() == 3
    assert found.target[found.spectrum == 0].sum() == 0
    assert (found.target >= 0).all()


def test_the_explained_variance_is_kept():
    """sum a s = mean y^2 - sig2 - (what least squares fits of the noise), exactly."""
    rng = np.random.default_rng(3)
    x, y = draw(rng, 400, noise=2.0)
    found = estimate(x, y).problem
    w = np.linalg.lstsq(x, y, rcond=None)[0]
    explained = float(np.mean((x @ w) ** 2)) - D * found.noise / 400
    assert found.signal == pytest.approx(explained, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("features", np.ones((5, 5)), np.ones(5)),
        ("features", np.zeros((9, 2)), np.ones(9)),
        ("features", np.full((9, 2), math.nan), np.ones(9)),
        ("features", np.ones(9), np.ones(9)),
        ("targets", np.random.default_rng(0).random((9, 2)), np.ones(8)),
        ("targets", np.random.default_rng(0).random((9, 2)), np.full(9, math.inf)),
    ],
)
def test_bad_pools_are_named(name, x, y):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        estimate(x, y)


@pytest.mark.slow
@pytest.mark.parametrize("width", [None, 150])
def test_digits_are_predicted(width, ensemble_of_digits):
    """scikit-learn's digits, raw and through random ReLU features: test within 15 %."""
    pool, train = ensemble_of_digits(width)
    found = estimate(*pool)
    samples = 100
    s = found.problem.spectrum
    algorithm = Algorithm("gd", 1.0 / s.sum() * 1.5)
    times = [1, 10, 100, 1000]
    prediction = found.predict(algorithm, times, samples)
    tests, trains = [], []
    x, y = train
    for seed in range(40):
        chosen = np.random.default_rng(seed).permutation(len(x))
        at, out = chosen[:samples], chosen[samples:]
        v, here = np.zeros(x.shape[1]), []
        for step in range(times[-1] + 1):
            residual = x[at] @ v - y[at]
            if step in times:
                here.append((np.mean(residual**2), np.mean((x[out] @ v - y[out]) ** 2)))
            v -= algorithm.learning_rate / samples * x[at].T @ residual
        trains.append([one for one, _ in here])
        tests.append([two for _, two in here])
    total = prediction.curves.test + found.problem.noise
    np.testing.assert_allclose(np.mean(tests, 0), total, rtol=0.15)
    np.testing.assert_allclose(np.mean(trains, 0)[:3], prediction.curves.train[:3], rtol=0.15)


@pytest.fixture
def ensemble_of_digits():
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x, y = images[order] / 16.0, (labels[order] % 2) * 2.0 - 1

    def make(width):
        features = np.hstack([x, np.ones((len(x), 1))])
        if width is not None:
            f = np.random.default_rng(1).standard_normal((features.shape[1], width))
            features = np.maximum(features @ f, 0) / math.sqrt(width)
        return (features[:1000], y[:1000]), (features[1000:], y[1000:])

    return make
