import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from spectrain.models.heads import (
    FunctionHead,
    MultiIndexHead,
    SoftmaxHead,
    TwoLayerHead,
    gradient_factors,
)
from spectrain.theory.mixture import solution
from spectrain.theory.mixture.drift import Drift
from spectrain.theory.mixture.dynamics import SGD, EffectiveDynamics
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics

# Everything is a moment of a Gaussian.
LEAST_SQUARES = FunctionHead(lambda h, v, y: (h[0] - y) ** 2 / 2, directions=1)


@pytest.mark.parametrize(
    "sgd", [SGD(0.7), SGD(1.2, batch_size=4, ridge=0.3), SGD(0.3, momentum=0.6)]
)
def test_least_squares_is_linear(sgd):
    """With y = 1 and one mean of length l: m = x.mu and q = |x|^2 obey linear equations."""
    snr, length = 2.0, 1.3
    law = MixtureLaw(np.array([1.0]), np.array([1]), snr)
    m0, q0 = 0.2, 0.8
    initial = Statistics(np.array([[q0, m0], [m0, length**2]]))
    dynamics = EffectiveDynamics(LEAST_SQUARES, law, sgd, initial)
    rate = sgd.scaled_learning_rate / (1 - sgd.momentum)

    def velocity(_, state):
        m, q = state
        second = m * m + q / snr
        dm = -(m * length**2 + m / snr - length**2) - sgd.ridge * m
        noise = rate / sgd.batch_size / snr * (second - 2 * m + 1)
        return [dm, -2 * (second - m) - 2 * sgd.ridge * q + noise]

    for t in (0.1, 0.5, 2.0):
        clock = t / (1 - sgd.momentum)
        exact = solve_ivp(velocity, (0, clock), [m0, q0], rtol=1e-11, atol=1e-13).y[:, -1]
        decay = length**2 + 1 / snr + sgd.ridge
        limit = length**2 / decay
        assert exact[0] == pytest.approx(limit + (m0 - limit) * math.exp(-decay * clock))
        gram = dynamics.at(t).gram
        assert gram[0, 1] == gram[1, 0] == pytest.approx(exact[0], abs=2e-6)
        assert gram[0, 0] == pytest.approx(exact[1], abs=2e-6)
        assert gram[1, 1] == length**2


def test_the_start_is_the_start():
    initial = Statistics(np.eye(4))
    law = MixtureLaw(np.array([0.5, 0.5]), np.array([0, 1]), 2.0)
    assert EffectiveDynamics(SoftmaxHead(2), law, SGD(1.0), initial).at(0.0) is initial


def test_a_direction_without_gradient_decays_by_the_ridge(xor):
    problem, ridge = xor(), 0.4
    silent = Statistics(problem.statistics.gram, np.zeros(2))
    path = EffectiveDynamics(problem.head, problem.law, SGD(1.0, ridge=ridge), silent)
    for t in (0.5, 3.0):
        gram = path.at(t).gram
        expected = problem.statistics.gram.copy()
        expected[:2, :2] *= math.exp(-2 * ridge * t)
        expected[:2, 2:] *= math.exp(-ridge * t)
        expected[2:, :2] *= math.exp(-ridge * t)
        np.testing.assert_allclose(gram, expected, atol=1e-6)
        assert (path.at(t).parameters == 0).all()


def test_batches_and_momentum_rescale_the_correction(softmax):
    problem = softmax()

    def gram(sgd, t):
        return EffectiveDynamics(problem.head, problem.law, sgd, problem.statistics).at(t).gram

    np.testing.assert_allclose(gram(SGD(0.5), 2.0), gram(SGD(2.0, batch_size=4), 2.0), atol=1e-8)
    np.testing.assert_allclose(gram(SGD(0.8), 4.0), gram(SGD(0.4, momentum=0.5), 2.0), atol=1e-8)
    # Gradient flow is the limit of small steps, approached linearly in c.
    flow = gram(SGD(1e-9), 2.0)
    one, two = gram(SGD(0.02), 2.0) - flow, gram(SGD(0.04), 2.0) - flow
    np.testing.assert_allclose(two, 2 * one, atol=0.05 * abs(two).max())


def test_gradient_flow_lowers_the_loss(xor):
    problem = xor()
    path = EffectiveDynamics(
        problem.head, problem.law, SGD(1e-9, second_layer_rate=0.5), problem.statistics
    )
    losses = [
        EffectiveSpectrum(problem.head, path.at(t), problem.law, 4.0, 100).loss()[0]
        for t in np.linspace(0, 12, 9)
    ]
    assert (np.diff(losses) < 0).all()
    assert not np.allclose(path.at(5.0).parameters, problem.statistics.parameters)


def test_loss_of_the_origin_is_exact(softmax):
    loss, error = softmax(x_scale=0.0).theory(100).loss()
    assert loss == pytest.approx(math.log(3), abs=1e-12)
    assert error < 1e-12


@pytest.mark.parametrize("name", ["softmax", "xor"])
def test_online_sgd_follows_the_prediction(name, softmax, xor):
    """One run at d = 400: every entry of G within 5 / sqrt(d)."""
    problem = softmax() if name == "softmax" else xor()
    d, c, rate = 400, 0.5, 0.3
    sgd = SGD(c, ridge=0.05, second_layer_rate=rate)
    path = EffectiveDynamics(problem.head, problem.law, sgd, problem.statistics)
    x, mu = problem.embedded(d)
    v = problem.statistics.parameters.copy()
    rng = np.random.default_rng(0)
    delta, worst = c / d, 0.0
    for step in range(1, round(3.0 / delta) + 1):
        b = rng.choice(len(mu), p=problem.law.weights)
        y = mu[b] + rng.standard_normal(d) * problem.law.snr**-0.5
        label = torch.tensor([problem.law.labels[b]])
        h = torch.from_numpy(x @ y)[None]
        g_h, g_v = gradient_factors(problem.head, h, torch.from_numpy(v), label)
        x = x - delta * (np.outer(g_h.numpy()[0], y) + sgd.ridge * x)
        v = v - delta * rate * (g_v.numpy()[0] + sgd.ridge * v)
        if step % 400 == 0:
            now = path.at(step * delta)
            vectors = np.vstack([x, mu])
            worst = max(worst, abs(vectors @ vectors.T - now.gram).max())
            worst = max(worst, abs(v - now.parameters).max(initial=0.0))
    assert worst < 5 / d**0.5


def test_the_softmax_run_loses_its_outliers_one_after_the_other():
    """Orthonormal means, snr 3, phi 4, c = .5, ridge .05, |x_a| = .3 at the start.

    Class 0: the Hessian has 3 outliers until t = 3.1, then 2, then 1; the information matrix 1
    until t = 3.7, then none (asymptotically).
    """
    gram = np.eye(6)
    gram[:3, :3] *= 0.09
    head = SoftmaxHead(3)
    law = MixtureLaw(np.array([0.4, 0.35, 0.25]), np.arange(3), 3.0)
    path = EffectiveDynamics(head, law, SGD(0.5, ridge=0.05), Statistics(gram))

    def outliers(matrix, t):
        return EffectiveSpectrum(head, path.at(t), law, 4.0, 1000).counts(matrix, (0,))

    hessian = [outliers("hessian", t) for t in (0.0, 3.0, 3.15, 11.5, 12.2, 20.0)]
    assert hessian == [(3, 0), (3, 0), (2, 0), (2, 0), (1, 0), (1, 0)]
    information = [outliers("information", t) for t in (0.0, 3.65, 3.75, 10.0)]
    assert information == [(1, 0), (1, 0), (0, 0), (0, 0)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scaled_learning_rate": 0.0}, "scaled_learning_rate"),
        ({"scaled_learning_rate": float("nan")}, "scaled_learning_rate"),
        ({"scaled_learning_rate": 1.0, "batch_size": 0}, "batch_size"),
        ({"scaled_learning_rate": 1.0, "ridge": -1.0}, "ridge"),
        ({"scaled_learning_rate": 1.0, "momentum": 1.0}, "momentum"),
        ({"scaled_learning_rate": 1.0, "second_layer_rate": -0.1}, "second_layer_rate"),
        ({"scaled_learning_rate": 1.0, "schedule": ((1.0,),)}, "schedule"),
        ({"scaled_learning_rate": 1.0, "schedule": ((math.nan, 1.0),)}, "schedule"),
        ({"scaled_learning_rate": 1.0, "schedule": ((-1.0, 1.0),)}, "schedule"),
        ({"scaled_learning_rate": 1.0, "schedule": ((2.0, 0.5), (2.0, 0.1))}, "schedule"),
        ({"scaled_learning_rate": 1.0, "schedule": ((2.0, -0.5),)}, "schedule"),
    ],
)
def test_a_bad_algorithm_is_refused_by_name(arguments, said):
    with pytest.raises(ValueError, match=f"{said}: expected"):
        SGD(**arguments)


def test_divergence_says_where():
    law = MixtureLaw(np.array([1.0]), np.array([1]), 1.0)
    path = EffectiveDynamics(LEAST_SQUARES, law, SGD(500.0), Statistics(np.eye(2)))
    with pytest.raises(ArithmeticError, match="stopped at t = "):
        path.at(1e3)


def test_growth_without_bound_is_followed_and_then_refused():
    """Least squares at a large step: with q = |x|^2, dq/dt = (c/snr^2 - 2/snr) q + terms in x.mu.

    The drift's derivative in v, which is fixed, grows like q.
    """
    snr, c = 2.5, 50.0
    law = MixtureLaw(np.array([1.0]), np.array([0]), snr)
    head = TwoLayerHead(1, "identity", "squared")
    initial = Statistics(np.array([[0.8, 0.5], [0.5, 1.2]]), np.ones(1))
    dynamics = EffectiveDynamics(head, law, SGD(c), initial)
    path = dynamics.path([1.5, 2.0])
    rate = -2 / snr + c / snr**2
    grown = path.gram[1, 0, 0] / path.gram[0, 0, 0]
    assert grown == pytest.approx(np.exp(rate / 2), rel=1e-2)
    assert (path.covariance[:, 2] == 0).all()
    assert len(dynamics._solution.pieces) < 20
    assert sum(one.steps for one in dynamics._fluctuations._linearised) < 100
    with pytest.raises(ArithmeticError, match="diverges"):
        dynamics.path([5.0])


def test_steps_are_no_finer_than_the_drift_is_known():
    """From x = 0, where the drift is known exactly, to where it is known to 1e-3."""
    vectors = np.random.default_rng(5).standard_normal((8, 12)) / 3
    vectors[:3] = 0.0
    head = MultiIndexHead(4, (-0.5,), "gelu", "tanh")
    law = MixtureLaw(np.full(4, 0.25), np.zeros(4, dtype=np.int64), 0.5)
    initial = Statistics(vectors @ vectors.T, np.array([1.0, -1.9, 0.6]))
    dynamics = EffectiveDynamics(head, law, SGD(0.5), initial)
    dynamics.at(2.0)
    assert len(dynamics._solution.pieces) < 30


def test_swapping_labels_and_signs_leaves_the_path_unchanged():
    """Swapping both labels and the sign of v leaves the path of G unchanged."""
    gram = np.array([[0.5, 0.2, -0.1], [0.2, 1.0, 0.3], [-0.1, 0.3, 1.2]])
    head = TwoLayerHead(1, "tanh")
    one = EffectiveDynamics(
        head,
        MixtureLaw(np.array([0.6, 0.4]), np.array([1, 0]), 3.0),
        SGD(0.4),
        Statistics(gram, np.array([1.1])),
    )
    other = EffectiveDynamics(
        head,
        MixtureLaw(np.array([0.6, 0.4]), np.array([0, 1]), 3.0),
        SGD(0.4),
        Statistics(gram, np.array([-1.1])),
    )
    np.testing.assert_allclose(one.at(3.0).gram, other.at(3.0).gram, atol=1e-9)


def test_a_schedule_rescales_rate_and_clock(softmax):
    """A factor f from the start is a rate f c, read at f t; later ones go on from there."""
    problem = softmax()

    def path(sgd, initial=problem.statistics):
        return EffectiveDynamics(problem.head, problem.law, sgd, initial)

    halved = path(SGD(0.8, ridge=0.1, schedule=((0.0, 0.5), (2.0, 0.25))))
    first = path(SGD(0.4, ridge=0.1))
    np.testing.assert_allclose(halved.at(2.0).gram, first.at(1.0).gram, atol=1e-8)
    then = path(SGD(0.2, ridge=0.1), halved.at(2.0))
    np.testing.assert_allclose(halved.at(6.0).gram, then.at(1.0).gram, atol=1e-7)
    stopped = path(SGD(0.8, schedule=((1.0, 0.0),)))
    np.testing.assert_allclose(stopped.at(9.0).gram, stopped.at(1.0).gram, atol=1e-12)
    momentum = path(SGD(0.4, ridge=0.1, momentum=0.5, schedule=((1.0, 0.5),)))
    plain = path(SGD(0.8, ridge=0.1, schedule=((2.0, 0.5),)))
    np.testing.assert_allclose(momentum.at(1.5).gram, plain.at(3.0).gram, atol=1e-8)
    np.testing.assert_array_equal(SGD(1.0, schedule=((1.0, 0.5),)).factor(0.99), 1.0)
    np.testing.assert_array_equal(SGD(1.0, schedule=((1.0, 0.5),)).factor(1.0), 0.5)


def test_a_linear_student_learns_its_teacher():
    """ell = (h_0 - h_1)^2 / 2, Y ~ N(0, I/snr): o = x.t and q = |x|^2 obey linear equations."""
    snr, c, ridge = 2.0, 0.9, 0.1
    head = FunctionHead(lambda h, v, y: (h[0] - h[1]) ** 2 / 2, directions=2, teachers=1)
    law = MixtureLaw(np.array([1.0]), np.array([0]), snr)
    o0, q0, length = 0.3, 0.7, 1.4
    gram = np.array([[q0, o0, 0.0], [o0, length, 0.0], [0.0, 0.0, 0.0]])
    path = EffectiveDynamics(head, law, SGD(c, ridge=ridge), Statistics(gram))

    def velocity(_, state):
        o, q = state
        noise = c / snr**2 * (q - 2 * o + length)
        return [-(o - length) / snr - ridge * o, -2 * (q - o) / snr - 2 * ridge * q + noise]

    exact = solve_ivp(velocity, (0, 5), [o0, q0], rtol=1e-11, atol=1e-13).y[:, -1]
    found = path.at(5.0).gram
    np.testing.assert_allclose(found[0, 1::-1], exact, atol=3e-6)
    np.testing.assert_array_equal(found[1:, 1:], gram[1:, 1:])
    band = path.path([5.0]).band(100)[0]
    assert (band[0, :2] > 0).all()
    assert (band[1:, 1:] == 0).all()


def test_a_common_shift_of_all_classes_changes_no_contrast(softmax):
    """Adding one vector w to every x_a: softmax does not see it, without ridge nor does SGD."""
    problem = softmax()
    mixing = np.eye(7)
    mixing[6, :3] = 1.0  # columns x_a + w, mu_b, w
    wide = np.zeros((7, 7))
    wide[:6, :6] = problem.statistics.gram
    wide[6, 6], wide[6, 3], wide[3, 6] = 0.8, 0.5, 0.5
    moved = Statistics((mixing.T @ wide @ mixing)[:6, :6])
    contrast = np.eye(6)
    contrast[:3, :3] -= 1 / 3

    def contrasts(initial):
        sgd = SGD(0.7, batch_size=2)
        path = EffectiveDynamics(problem.head, problem.law, sgd, initial).path([3.0])
        return contrast @ path.gram[0] @ contrast, path.loss, path.accuracy

    one, other = contrasts(problem.statistics), contrasts(moved)
    for before, after in zip(one, other, strict=True):
        np.testing.assert_allclose(after, before, atol=1e-5)


def test_renaming_classes_renames_the_path(softmax):
    problem = softmax()
    order = np.array([2, 0, 1])
    both = np.concatenate([order, 3 + order])
    renamed = Statistics(problem.statistics.gram[np.ix_(both, both)])
    law = MixtureLaw(problem.law.weights[order], np.arange(3), problem.law.snr)
    sgd, times = SGD(0.7, ridge=0.1), [1.0, 4.0]
    one = EffectiveDynamics(problem.head, problem.law, sgd, problem.statistics).path(times)
    other = EffectiveDynamics(problem.head, law, sgd, renamed).path(times)
    np.testing.assert_allclose(other.gram, one.gram[:, both][:, :, both], atol=1e-6)
    expected = one.band(100)[:, both][:, :, both]
    np.testing.assert_allclose(other.band(100), expected, rtol=1e-3, atol=1e-8)


def test_units_of_the_data_do_not_matter(softmax):
    """Data s times as long: mu s, snr / s^2, x / s, c / s^2, kappa s^2 and t / s^2."""
    problem, s = softmax(), 1.7
    units = np.diag(np.repeat([1 / s, s], 3))
    scaled = Statistics(units @ problem.statistics.gram @ units)
    law = MixtureLaw(problem.law.weights, problem.law.labels, problem.law.snr / s**2)
    sgd = SGD(0.7, ridge=0.1, schedule=((1.0, 0.5),))
    one = EffectiveDynamics(problem.head, problem.law, sgd, problem.statistics).path([2.0])
    sgd = SGD(0.7 / s**2, ridge=0.1 * s**2, schedule=((1.0 / s**2, 0.5),))
    other = EffectiveDynamics(problem.head, law, sgd, scaled).path([2.0 / s**2])
    np.testing.assert_allclose(other.gram[0], units @ one.gram[0] @ units, atol=1e-5)
    expected = units @ one.band(100)[0] @ units
    np.testing.assert_allclose(other.band(100)[0], expected, rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(other.loss, one.loss, atol=1e-5)


def test_a_path_from_the_origin_of_gradient_flow_stays_possible():
    """x = 0 and no noise: G sits at the boundary of what is possible and moves along it."""
    gram = np.eye(6)
    gram[:3, :3] = 0.0
    law = MixtureLaw(np.array([0.4, 0.35, 0.25]), np.arange(3), 3.0)
    path = EffectiveDynamics(SoftmaxHead(3), law, SGD(1e-12), Statistics(gram)).path([0.1, 3.0])
    for found in path.gram:
        # x stays a combination of the means.
        np.testing.assert_allclose(found[:3, :3], found[:3, 3:] @ found[3:, :3], atol=1e-6)
        assert np.linalg.eigvalsh(found)[0] > -1e-9


@pytest.mark.parametrize("name", ["softmax", "xor"])
def test_the_error_is_that_of_a_finer_solution(name, softmax, xor, monkeypatch):
    problem = softmax() if name == "softmax" else xor()
    sgd, times = SGD(0.5, ridge=0.05, second_layer_rate=0.3), np.array([0.5, 5.0, 20.0])

    def path():
        dynamics = EffectiveDynamics(problem.head, problem.law, sgd, problem.statistics)
        return dynamics.path(times)

    found = path()
    finest = Drift.velocity
    monkeypatch.setattr(solution, "_RTOL", 1e-9)
    monkeypatch.setattr(Drift, "velocity", lambda self, u, f=1.0, level=0: finest(self, u, f, 0))
    exact = path()
    scale = abs(exact.gram).max(axis=(1, 2))
    actual = abs(found.gram - exact.gram).max(axis=(1, 2)) / scale
    assert (actual < 3 * found.error + 1e-9).all()
    assert (found.error < 1e-5).all()


@pytest.mark.parametrize("times", [[-1.0], [1.0, math.nan], [math.inf]])
def test_bad_times_are_refused(times, softmax):
    problem = softmax()
    path = EffectiveDynamics(problem.head, problem.law, SGD(0.5), problem.statistics)
    with pytest.raises(ValueError, match="times: expected"):
        path.path(times)


def test_statistics_of_another_size_are_refused():
    law = MixtureLaw(np.array([0.5, 0.5]), np.array([0, 1]), 2.0)
    with pytest.raises(ValueError, match="gram: expected 4 rows"):
        EffectiveDynamics(SoftmaxHead(2), law, SGD(1.0), Statistics(np.eye(5)))
    with pytest.raises(ValueError, match="parameters: expected 0"):
        EffectiveDynamics(SoftmaxHead(2), law, SGD(1.0), Statistics(np.eye(4), np.ones(1)))
