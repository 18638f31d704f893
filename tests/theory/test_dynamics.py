import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from spectrain.models.heads import FunctionHead, SoftmaxHead, TwoLayerHead, gradient_factors
from spectrain.theory.dynamics import SGD, EffectiveDynamics
from spectrain.theory.effective_spectrum import EffectiveSpectrum
from spectrain.theory.quadrature import MixtureLaw
from spectrain.theory.statistics import Statistics

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
