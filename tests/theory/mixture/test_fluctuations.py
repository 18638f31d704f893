from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spectrain.models.heads import FunctionHead, TwoLayerHead
from spectrain.models.threads import single_thread
from spectrain.theory.mixture.dynamics import SGD, EffectiveDynamics
from spectrain.theory.mixture.linear_noise import linear_noise
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics


def test_least_squares_has_a_linear_equation_for_the_covariance():
    """One mean of length l, y = 1: increments are polynomials of two Gaussians (h, mu.Y)."""
    snr, length, c, batch, ridge = 2.0, 1.3, 0.7, 2, 0.1
    m0, q0 = 0.2, 0.8
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    first, second = np.repeat(nodes, 6), np.tile(nodes, 6)
    shares = np.outer(weights, weights).reshape(-1) / weights.sum() ** 2

    def velocity(_, state):
        (q, m), covariance = state[:2], state[2:].reshape(2, 2)
        spread = (q / snr) ** 0.5
        h = m + spread * first
        w = length**2 + m / snr / spread * first
        w = w + (length**2 / snr - (m / snr / spread) ** 2) ** 0.5 * second
        g = h - 1
        correction = c / batch / snr
        increments = np.stack([-2 * g * h + correction * g * g, -g * w])
        mean = increments @ shares
        noise = c / batch * ((increments * shares) @ increments.T - np.outer(mean, mean))
        jacobian = np.array(
            [
                [-2 / snr - 2 * ridge + correction / snr, 2 - 4 * m + correction * (2 * m - 2)],
                [0.0, -(length**2) - 1 / snr - ridge],
            ]
        )
        change = jacobian @ covariance + covariance @ jacobian.T + noise
        return np.concatenate([mean - ridge * np.array([2 * q, m]), change.reshape(-1)])

    start = np.concatenate([[q0, m0], np.zeros(4)])
    times = np.array([0.1, 1.0, 4.0])
    exact = solve_ivp(velocity, (0, 4), start, t_eval=times, rtol=1e-10, atol=1e-12).y
    law = MixtureLaw(np.array([1.0]), np.array([1]), snr)
    head = FunctionHead(lambda h, v, y: (h[0] - y) ** 2 / 2, directions=1)
    initial = Statistics(np.array([[q0, m0], [m0, length**2]]))
    dynamics = EffectiveDynamics(head, law, SGD(c, batch, ridge), initial)
    path = dynamics.path(times)
    expected = exact[2:].T.reshape(-1, 2, 2)
    scale = np.sqrt(np.diagonal(expected, axis1=1, axis2=2))
    assert (abs(path.covariance - expected) < 5e-3 * scale[:, :, None] * scale[:, None, :]).all()
    band = path.band(400)
    np.testing.assert_allclose(band[:, 0, 0], (expected[:, 0, 0] / 400) ** 0.5, rtol=5e-3)
    np.testing.assert_array_equal(band[:, 0, 1], band[:, 1, 0])
    assert (band[:, 1, 1] == 0).all()


def test_the_covariance_solves_its_equation(xor):
    """Against a solver with many more, adaptive steps, across a change of the schedule."""
    problem = xor()
    sgd = SGD(1.5, second_layer_rate=0.4, ridge=0.1, schedule=((0.8, 0.3),))
    dynamics = EffectiveDynamics(problem.head, problem.law, sgd, problem.statistics)
    drift, size = dynamics.drift, len(dynamics.drift.pack(problem.statistics))
    state = np.concatenate([drift.pack(problem.statistics), np.zeros(size * size)])
    for start, end, factor in ((0.0, 0.8, 1.0), (0.8, 2.0, 0.3)):

        def velocity(_, state, factor=factor):
            u, covariance = state[:size], state[size:].reshape(size, size)
            around = linear_noise(drift, u, factor)
            product = around.jacobian @ covariance
            change = product + product.T + around.noise
            return np.concatenate([drift.velocity(u, factor), change.reshape(-1)])

        state = solve_ivp(velocity, (start, end), state, rtol=1e-4, atol=1e-7).y[:, -1]
        expected = state[size:].reshape(size, size)
        found = dynamics.path([end]).covariance[0]
        np.testing.assert_allclose(found, expected, atol=2e-3 * abs(expected).max())


def test_bands_do_not_depend_on_how_they_are_asked(softmax):
    problem = softmax()

    def dynamics():
        return EffectiveDynamics(
            problem.head, problem.law, SGD(0.5, schedule=((1.0, 0.5),)), problem.statistics
        )

    at_once, one_by_one = dynamics().path([0.0, 0.7, 2.0]), dynamics()
    for i, time in reversed(list(enumerate((0.0, 0.7, 2.0)))):
        alone = one_by_one.path([time])
        np.testing.assert_array_equal(alone.gram[0], at_once.gram[i])
        np.testing.assert_array_equal(alone.covariance[0], at_once.covariance[i])
        np.testing.assert_array_equal(alone.error[0], at_once.error[i])
    assert (at_once.covariance[0] == 0).all()
    np.testing.assert_allclose(at_once.band(400), 2 * at_once.band(1600))


def test_a_gradient_with_jumps_has_no_bands(xor):
    """Automatic differentiation misses the point masses of relu'': NaN, not a wrong number."""
    problem = xor()
    head = TwoLayerHead(2, "relu")
    path = EffectiveDynamics(head, problem.law, SGD(0.5), problem.statistics).path([0.0, 0.2])
    assert np.isnan(path.band(100)[1, :2]).all()
    assert np.isfinite(path.gram).all()
    assert np.isfinite(path.error).all()


@pytest.mark.parametrize("activation", ["relu", "square"])
def test_statistics_that_stand_still_are_answered(activation, xor):
    """At x = 0 no unit has a gradient: the solver's first piece is 10^7 units of time long."""
    problem = xor()
    still = np.zeros_like(problem.statistics.gram)
    still[2:, 2:] = problem.statistics.gram[2:, 2:]
    start = replace(problem.statistics, gram=still)
    path = EffectiveDynamics(TwoLayerHead(2, activation), problem.law, SGD(1.0), start).path([3.0])
    np.testing.assert_allclose(path.gram[0], still, atol=1e-15)
    assert path.error[0] < 1e-15


def check_runs(simulate, problem, sgd, dimension, runs, time, seed=0):
    """Bands cover 95 % of the entries, and variances and means are those of the runs.

    Entries of a run depend on each other, so that the coverage has at most the standard error of
    ``runs`` coin flips; variances of runs have a relative standard error (2/runs)^(1/2). To both
    the finite size adds d^(-1/2), to means d^(-1/2) standard deviations.
    """
    path = EffectiveDynamics(problem.head, problem.law, sgd, problem.statistics).path([time])
    with single_thread():
        gram, parameters = simulate(problem, sgd, dimension, runs, time, seed)
    found = np.hstack([gram[:, path.rows, path.columns], parameters])
    predicted = np.concatenate([path.gram[0][path.rows, path.columns], path.parameters[0]])
    covariance = path.covariance[0] / dimension
    deviations = np.sqrt(np.diag(covariance))
    moving = deviations > 0
    assert moving.sum() >= len(path.rows)
    assert not np.ptp(found[:, ~moving], axis=0).any()
    scores = ((found - predicted) / np.where(moving, deviations, 1.0))[:, moving]
    finite_size = dimension**-0.5
    coverage = (abs(scores) < 1.96).mean()
    assert abs(coverage - 0.95) < 3 * (0.05 * 0.95 / runs) ** 0.5 + finite_size
    assert abs(scores.mean(0)).max() < 4 * runs**-0.5 + 2 * finite_size
    assert abs(scores.var(0) - 1).max() < 4 * (2 / runs) ** 0.5 + finite_size
    correlation = covariance[np.ix_(moving, moving)]
    correlation = correlation / np.outer(deviations[moving], deviations[moving])
    assert abs(scores.T @ scores / runs - correlation).max() < 5 * (2 / runs) ** 0.5 + finite_size


def test_runs_stay_in_the_bands(xor, runs):
    """Two-layer network with a trained second layer, momentum and a schedule."""
    sgd = SGD(0.5, ridge=0.02, momentum=0.5, second_layer_rate=0.4, schedule=((0.5, 0.5),))
    check_runs(runs, xor(), sgd, dimension=120, runs=120, time=1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sgd",
    [
        SGD(1.0, ridge=0.1),
        SGD(1.0, batch_size=4, momentum=0.5, ridge=0.05, schedule=((1.0, 0.3),)),
        SGD(0.4, momentum=0.6),
    ],
)
def test_softmax_runs_stay_in_the_bands(sgd, softmax, runs):
    check_runs(runs, softmax(), sgd, dimension=300, runs=150, time=3.0)


@pytest.mark.slow
def test_runs_from_the_origin_stay_in_the_bands(softmax, runs):
    check_runs(runs, softmax(x_scale=0.0), SGD(1.0), dimension=300, runs=150, time=2.0)


@pytest.mark.slow
def test_network_runs_stay_in_the_bands(xor, runs):
    problem = xor()
    sgd = SGD(1.0, batch_size=4, second_layer_rate=0.4, ridge=0.02)
    check_runs(runs, problem, sgd, dimension=300, runs=150, time=4.0)
    check_runs(
        runs, problem, replace(sgd, second_layer_rate=0.0), dimension=300, runs=150, time=4.0
    )
