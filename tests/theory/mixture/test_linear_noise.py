from dataclasses import replace

import numpy as np
import pytest
import torch

from spectrain.models.heads import FunctionHead, MultiIndexHead, SoftmaxHead, gradient_factors
from spectrain.theory.mixture.drift import Drift
from spectrain.theory.mixture.linear_noise import linear_noise
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.sgd import SGD
from spectrain.theory.mixture.statistics import Statistics

ALGORITHM = SGD(1.3, batch_size=2, ridge=0.1, second_layer_rate=0.4)


def drift_of(problem, sgd=ALGORITHM):
    return Drift(problem.head, problem.law, sgd, problem.statistics)


def multi_index():
    """Two students, one teacher, one mean."""
    vectors = np.random.default_rng(3).standard_normal((4, 6)) / 2
    head = MultiIndexHead(3, (1.2,), "tanh", "gelu")
    law = MixtureLaw(np.array([1.0]), np.array([0]), 1.5)
    return Drift(head, law, ALGORITHM, Statistics(vectors @ vectors.T, np.array([0.8, -0.6])))


def differences(drift, state, factor, axes):
    """Central differences of F between possible states, and those of the states themselves."""
    width, changes, moves = 1e-4, [], []
    for axis in axes:
        ahead = drift.pack(drift.unpack(state + width * axis))
        behind = drift.pack(drift.unpack(state - width * axis))
        change = drift.velocity(ahead, factor, 0) - drift.velocity(behind, factor, 0)
        changes.append(change / (2 * width))
        moves.append((ahead - behind) / (2 * width))
    return np.stack(changes, axis=1), np.stack(moves, axis=1)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("softmax", 1e-6), ("xor", 1e-6), ("multi-index", 5e-3)]
)
def test_the_jacobian_is_the_derivative_of_the_drift(name, tolerance, softmax, xor):
    drift = {
        "softmax": lambda: drift_of(softmax()),
        "xor": lambda: drift_of(xor()),
        "multi-index": multi_index,
    }[name]()
    state = drift.pack(drift.initial)
    expected, moved = differences(drift, state, 0.7, np.eye(len(state)))
    found = linear_noise(drift, state, factor=0.7).jacobian @ moved
    np.testing.assert_allclose(found, expected, atol=tolerance * abs(expected).max())


def test_least_squares_has_the_same_jacobian_everywhere():
    """With y = 1: dm/dt = l^2 - (l^2 + 1/snr + kappa) m, and dq/dt is quadratic in m, linear in q.

    Also at x = 0, where the covariance of h is singular.
    """
    snr, length, c, ridge, factor = 2.0, 1.3, 0.7, 0.2, 0.5
    law = MixtureLaw(np.array([1.0]), np.array([1]), snr)
    head = FunctionHead(lambda h, v, y: (h[0] - y) ** 2 / 2, directions=1)
    for m, q in ((0.0, 0.0), (0.3, 0.9)):
        initial = Statistics(np.array([[q, m], [m, length**2]]))
        drift = Drift(head, law, SGD(c, ridge=ridge), initial)
        noise = factor * c / snr
        expected = [
            [-2 / snr - 2 * ridge + noise / snr, 2 - 4 * m + noise * (2 * m - 2)],
            [0.0, -(length**2) - 1 / snr - ridge],
        ]
        found = linear_noise(drift, np.array([q, m]), factor).jacobian
        np.testing.assert_allclose(found, factor * np.array(expected), atol=1e-6)


def test_a_fixed_second_layer_neither_fluctuates_nor_passes_anything_on(xor):
    problem = xor()
    trained, fixed = (
        drift_of(problem, replace(ALGORITHM, second_layer_rate=rate)) for rate in (1e-9, 0.0)
    )
    state, entries = trained.pack(trained.initial), len(trained.rows)
    slowly, never = (linear_noise(drift, state) for drift in (trained, fixed))
    assert len(state) > entries
    for found, expected in ((never.jacobian, slowly.jacobian), (never.noise, slowly.noise)):
        inside = (slice(entries), slice(entries))
        np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-12, atol=1e-14)
        assert not found[entries:].any()
        assert not found[:, entries:].any()


@pytest.mark.parametrize("name", ["softmax", "xor"])
def test_the_noise_is_the_covariance_of_the_increments(name, softmax, xor):
    problem = softmax() if name == "softmax" else xor()
    drift, factor, count = drift_of(problem), 0.7, 200_000
    found = linear_noise(drift, drift.pack(problem.statistics), factor).noise
    x, mu = problem.embedded(12)
    rng = np.random.default_rng(4)
    component = rng.choice(len(mu), size=count, p=problem.law.weights)
    y = mu[component] + rng.standard_normal((count, 12)) * problem.law.snr**-0.5
    v = torch.from_numpy(problem.statistics.parameters)
    g, g_v = gradient_factors(
        problem.head,
        torch.from_numpy(y @ x.T),
        v,
        torch.from_numpy(problem.law.labels[component]),
    )
    g, pulls = g.numpy(), y @ np.vstack([x, mu]).T
    c = len(x)
    square = -g[:, :, None] * pulls[:, None, :c] - pulls[:, :c, None] * g[:, None, :]
    correction = factor * 1.3 / (2 * problem.law.snr)
    square += correction * g[:, :, None] * g[:, None, :]
    upper = np.triu_indices(c)
    increments = np.hstack(
        [
            square[:, upper[0], upper[1]],
            (-g[:, :, None] * pulls[:, None, c:]).reshape(count, -1),
            -0.4 * g_v.numpy(),
        ]
    )
    expected = factor**2 * 1.3 / 2 * np.cov(increments.T)
    # Kurtosis makes the standard error of a covariance up to three times that of a Gaussian.
    scale = np.sqrt(np.diag(expected))
    bound = 5 * 3 * np.outer(scale, scale) * (2 / count) ** 0.5
    assert (abs(found - expected) <= bound).all()
    assert np.linalg.eigvalsh(found).min() > -1e-12


def test_the_common_shift_of_softmax_is_conserved(softmax):
    """sum_a x_a stays where it is without ridge: neither drift nor noise moves it."""
    problem = softmax()
    drift = drift_of(problem, SGD(0.8))
    around = linear_noise(drift, drift.pack(problem.statistics))
    c, entries = 3, len(drift.rows)
    for mean in range(3, 6):
        total = np.zeros(entries)
        total[(drift.columns == mean) & (drift.rows < c)] = 1.0
        np.testing.assert_allclose(total @ around.jacobian, 0, atol=1e-9)
        np.testing.assert_allclose(total @ around.noise @ total, 0, atol=1e-12)
    length = np.where(drift.columns < c, 2.0 - (drift.rows == drift.columns), 0.0)
    np.testing.assert_allclose(length @ around.noise @ length, 0, atol=1e-12)


def test_equal_directions_have_a_jacobian():
    """The covariance of h is singular; J agrees with that of directions that differ a little."""
    head = FunctionHead(
        lambda h, v, y: torch.log1p(torch.exp(-h.sum() - 0.3 * h[0] ** 2)), directions=2
    )
    law = MixtureLaw(np.array([0.5, 0.5]), np.array([0, 1]), 2.0)
    vectors = np.array([[0.4, 0.3, 0.0], [0.4, 0.3, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

    def jacobian(apart):
        moved = vectors.copy()
        moved[1, 2] = apart
        drift = Drift(head, law, SGD(0.5), Statistics(moved @ moved.T))
        return linear_noise(drift, drift.pack(drift.initial)).jacobian

    near = jacobian(0.02)
    np.testing.assert_allclose(jacobian(0.0), near, atol=2e-3 * abs(near).max())


def test_sobol_nodes_give_the_jacobian_too(softmax):
    """Six classes, five wide contrasts: beyond tensor grids the error is that of 4000 points."""
    drift = drift_of(softmax(classes=6, snr=1.0, x_scale=1.0))
    state = drift.pack(drift.initial)
    axes = np.random.default_rng(1).standard_normal((2, len(state)))
    expected, moved = differences(drift, state, 1.0, axes)
    found = linear_noise(drift, state).jacobian @ moved
    assert abs(found - expected).max() < 0.03 * abs(expected).max()


def test_short_directions_do_no_harm():
    """Six classes: J next to the origin is J at the origin."""
    law = MixtureLaw(np.full(6, 1 / 6), np.arange(6), 4.0)

    def jacobian(scale):
        vectors = np.eye(12)
        vectors[:6, 6:] = 0.4 * np.eye(6)
        vectors[:6] *= scale
        drift = Drift(SoftmaxHead(6), law, SGD(0.5), Statistics(vectors @ vectors.T))
        return linear_noise(drift, drift.pack(drift.initial)).jacobian

    origin = jacobian(0.0)
    np.testing.assert_allclose(jacobian(1e-4), origin, atol=1e-3 * abs(origin).max())
