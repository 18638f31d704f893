"""Losses along time: a circle as another contour, limits, sums of parts, and random problems."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spectrain.theory.linear.algorithm import Algorithm
from spectrain.theory.linear.curves import Prepared
from spectrain.theory.linear.loss_curves import PARTS, loss_curves
from spectrain.theory.linear.problem import LinearProblem
from spectrain.theory.linear.static import ridge_losses


def power_law(dimension=120, samples=80.0, features=math.inf, noise=0.1, **more):
    k = np.arange(1, dimension + 1.0)
    s = k**-1.2
    return LinearProblem(
        s / s.sum(), k**-0.4, noise=noise, samples=samples, features=features, **more
    )


def circle(problem, algorithm, steps, nodes):
    """Train and test loss of the mean weights and under SGD from a circle round the spectrum.

    kappa2 comes from lam far away, where it is lam, and pairs are summed mode by mode.
    """
    s, m, a, tested = (
        problem.spectrum,
        problem.multiplicity,
        problem.target,
        problem.test_spectrum,
    )
    top = Prepared(problem, Algorithm("flow"), 1.0).contour.top
    turn = np.exp(2j * np.pi * (np.arange(nodes) + 0.5) / nodes)
    z = top / 2 + top * 0.55 * turn
    weights = top * 0.55 * turn / nodes
    kappa = np.empty(nodes, complex)
    for scale in np.geomspace(1e6, 1, 80):  # inwards, all nodes together
        lam = -top / 2 - (z - top / 2) * scale
        kappa = lam.copy() if scale == 1e6 else kappa
        for _ in range(5):
            g = 1 / (s + kappa[:, None])
            df, slope = g @ (m * s), -(g * g) @ (m * s)
            first, second = 1 - df * (1 / problem.samples), 1 - df * (1 / problem.features)
            rate = (second - kappa * slope * (1 / problem.features)) * first
            rate -= kappa * second * slope * (1 / problem.samples)
            kappa = kappa - (kappa * second * first - lam) / rate
    g = 1 / (s + kappa[:, None])
    df = g @ (m * s)
    kappa1 = kappa * (1 - df * (1 / problem.features))
    kk = kappa[:, None] * kappa

    def pairs(v):
        return (g * v) @ g.T

    per_sample, per_feature = 1 / problem.samples, 1 / problem.features
    wide = per_feature / (1 - pairs(m * s * s) * per_feature)
    gamma1 = per_sample * (pairs(m * s * s) + kk * pairs(m * s) ** 2 * wide)
    c = per_sample * (pairs(m * s * tested) + kk * pairs(m * tested) * pairs(m * s) * wide)
    c = c / (1 - gamma1)
    learnt = pairs(a * s * s)
    e = kk * (
        pairs(a * tested)
        + learnt * pairs(m * tested) * wide
        + c * (pairs(a * s) + learnt * pairs(m * s) * wide)
    )
    scaled = weights / z
    e = scaled[:, None] * e * scaled
    trace = kappa1 / -z * (g @ (m * tested))
    signal = kappa / kappa1 * (g @ (a * s)) + problem.noise / kappa1
    eta, nu = algorithm.learning_rate, 1 / algorithm.batch_size
    gain = 1 / (1 + 2 * per_sample)
    excess = (2 * gain - 1) * nu
    growth = (1 - eta * z[:, None]) * (1 - eta * z) + excess * eta**2 * z[:, None] * z
    b = np.diag(growth)
    train, test = [], []
    kernel, kernel_test = (
        [
            -(eta**2) * nu * gain * float((weights * z * b**t * f).sum().real)
            for t in range(max(steps))
        ]
        for f in (df, trace)
    )
    for t in range(max(steps) + 1):
        back = np.array(train[::-1])
        train.append(float(-(weights * b**t * signal).sum().real + np.dot(kernel[:t], back)))
        driven = float(np.dot(kernel_test[:t], back))
        label = (b**t - 2 * (1 - eta * z) ** t + 1) * trace / z
        label = -problem.noise * per_sample * float((weights * label).sum().real)
        test.append(float((growth**t * e).sum().real) + label + driven if t in steps else math.nan)
    return np.array(train)[steps], np.array(test)[steps]


@pytest.mark.parametrize(
    "features",
    [60.0, *(pytest.param(n, marks=pytest.mark.slow) for n in (100.0, math.inf))],
)
def test_sgd_agrees_with_a_circle(features):
    shift = np.linspace(0.02, 0.001, 120)
    problem = power_law(features=features, test_spectrum=shift)
    algorithm = Algorithm("sgd", 1.2, 4)
    steps = [0, 1, 7, 50, 100]
    found = loss_curves(problem, algorithm, steps)
    train, test = circle(problem, algorithm, steps, 500)
    np.testing.assert_allclose(found.train, train, rtol=1e-9)
    np.testing.assert_allclose(found.test, test, rtol=1e-9)


ALGORITHMS = [
    (Algorithm("flow"), 80.0),
    (Algorithm("flow", weight_decay=0.01), 80.0),
    (Algorithm("gd", 1.3), 80.0),
    (Algorithm("gd", 1.3, weight_decay=0.02, schedule=((10, 0.5),)), 80.0),
    (Algorithm("sgd", 0.8, 4), 80.0),
    (Algorithm("sgd", 0.8, 4, weight_decay=0.02), 80.0),
    (Algorithm("one-pass", 0.5, 2), math.inf),
    (Algorithm("shuffled", 0.8, 8), 80.0),
]


@pytest.mark.parametrize(("algorithm", "samples"), ALGORITHMS)
def test_parts_sum_to_the_losses_and_start_from_the_target(algorithm, samples):
    problem = power_law(samples=samples, features=60.0)
    found = loss_curves(problem, algorithm, [0, 3, 100, 1000])
    assert tuple(found.parts) == PARTS
    for kind in ("train", "test"):
        total = sum(getattr(part, kind) for part in found.parts.values())
        np.testing.assert_allclose(total, getattr(found, kind), rtol=1e-12)
    signal = problem.target @ problem.spectrum
    assert found.train[0] == pytest.approx(signal + problem.noise, rel=1e-12)
    assert found.test[0] == pytest.approx(signal, rel=1e-12)
    assert (found.error < 1e-11).all()


def test_times_may_come_in_any_order_and_need_not_start_at_zero():
    problem, algorithm = power_law(), Algorithm("sgd", 0.8, 4)
    found = loss_curves(problem, algorithm, [500, 7, 500, 60])
    sorted_ = loss_curves(problem, algorithm, [7, 60, 500])
    np.testing.assert_allclose(found.test, sorted_.test[[2, 0, 2, 1]], rtol=1e-12)


def test_small_steps_are_the_flow():
    problem = power_law(features=60.0)
    flow = loss_curves(problem, Algorithm("flow"), [1.0, 30.0])
    small = loss_curves(problem, Algorithm("gd", 1e-4), [10_000, 300_000])
    np.testing.assert_allclose(small.test, flow.test, rtol=1e-4)
    np.testing.assert_allclose(small.train, flow.train, rtol=1e-4)


def test_a_batch_of_all_samples_in_shuffled_passes_is_gradient_descent():
    problem = power_law(features=60.0)
    steps = [0, 1, 5, 200]
    shuffled = loss_curves(problem, Algorithm("shuffled", 1.2, 80), steps)
    descent = loss_curves(problem, Algorithm("gd", 1.2), steps)
    np.testing.assert_allclose(shuffled.train, descent.train, rtol=1e-11)
    np.testing.assert_allclose(shuffled.test, descent.test, rtol=1e-11)
    assert shuffled.approximate
    assert not descent.approximate


def test_large_batches_are_gradient_descent():
    problem = power_law()
    descent = loss_curves(problem, Algorithm("gd", 1.2), [100])
    sgd = loss_curves(problem, Algorithm("sgd", 1.2, 10**9), [100])
    np.testing.assert_allclose(sgd.test, descent.test, rtol=1e-7)


@pytest.mark.parametrize(
    "algorithm",
    [Algorithm("sgd", 0.8, 4), Algorithm("flow"), Algorithm("shuffled", 0.8, 4)],
)
def test_infinite_width_is_the_limit_of_large_width(algorithm):
    at = [10, 300]
    infinite = loss_curves(power_law(), algorithm, at)
    wide = loss_curves(power_law(features=1e9), algorithm, at)
    np.testing.assert_allclose(wide.train, infinite.train, rtol=1e-6)
    np.testing.assert_allclose(wide.test, infinite.test, rtol=1e-6)


def test_infinite_data_is_the_limit_of_much_data():
    at = [10, 300]
    fresh = loss_curves(power_law(samples=math.inf), Algorithm("one-pass", 0.8, 4), at)
    many = loss_curves(power_law(samples=1e9), Algorithm("sgd", 0.8, 4), at)
    np.testing.assert_allclose(many.test, fresh.test, rtol=1e-6)
    np.testing.assert_allclose(many.train, fresh.train, rtol=1e-6)
    # The next batch has the matched test loss and the label noise.
    np.testing.assert_allclose(fresh.train, fresh.test + 0.1, rtol=1e-11)


def test_without_noise_nothing_is_left_to_it():
    found = loss_curves(power_law(noise=0.0), Algorithm("gd", 1.2), [0, 50])
    np.testing.assert_array_equal(found.parts["label_noise"].test, 0)
    np.testing.assert_array_equal(found.parts["label_noise"].train, 0)


@pytest.mark.parametrize(
    ("samples", "features"),
    [(80, math.inf), (300, math.inf), (80, 100), (100, 80), (300, 60), (300, 200), (math.inf, 60)],
)
def test_long_times_are_ridgeless(samples, features):
    problem = power_law(samples=float(samples), features=float(features))
    found = loss_curves(problem, Algorithm("flow"), [1e9])
    limit = ridge_losses(problem)
    assert found.test[0] == pytest.approx(limit.test, rel=1e-9, abs=found.error[0])
    assert found.train[0] == pytest.approx(limit.train, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ["flow", "gd", "sgd"])
def test_weight_decay_ends_in_ridge_regression(name):
    problem = power_law(features=100.0)
    rate = None if name == "flow" else 1.0
    batch = 10**9 if name == "sgd" else None
    found = loss_curves(problem, Algorithm(name, rate, batch, weight_decay=0.03), [10_000])
    limit = ridge_losses(problem, 0.03)
    assert found.test[0] == pytest.approx(limit.test, rel=1e-7)
    assert found.train[0] == pytest.approx(limit.train, rel=1e-7)


def test_weight_decay_of_nothing_changes_nothing():
    problem = power_law(features=100.0)
    for name, samples, decay in (("sgd", 80.0, 1e-12), ("one-pass", math.inf, 1e-12)):
        one = replace(problem, samples=samples)
        with_ = loss_curves(one, Algorithm(name, 0.8, 4, weight_decay=decay), [3, 400])
        without = loss_curves(one, Algorithm(name, 0.8, 4), [3, 400])
        np.testing.assert_allclose(with_.test, without.test, rtol=1e-8)
        np.testing.assert_allclose(with_.train, without.train, rtol=1e-8)


def test_leaps_are_steps():
    """Times one by one, and one time far away by powers of a matrix."""
    problem = power_law(features=100.0)
    for decay in (0.0, 0.01):
        algorithm = Algorithm("sgd", 0.8, 4, decay)
        every = loss_curves(problem, algorithm, range(301))
        last = loss_curves(problem, algorithm, [300])
        assert every.train[-1] == pytest.approx(last.train[0], rel=1e-11)
        assert every.test[-1] == pytest.approx(last.test[0], rel=1e-11)


def test_a_schedule_is_its_pieces():
    """A factor of 1 changes nothing, one of 0 stops, and small steps depend on their sum alone."""
    problem = power_law()
    plain = loss_curves(problem, Algorithm("sgd", 0.8, 4), [50, 100])
    same = loss_curves(problem, Algorithm("sgd", 0.8, 4, schedule=((0, 1.0), (60, 1.0))), [50, 100])
    np.testing.assert_allclose(same.test, plain.test, rtol=1e-11)
    halted = loss_curves(problem, Algorithm("sgd", 0.8, 4, schedule=((50, 0.0),)), [50, 100])
    np.testing.assert_allclose(halted.test, plain.test[0], rtol=1e-11)
    ramp = tuple((step, step / 500) for step in range(1000))
    slow = loss_curves(problem, Algorithm("gd", 1e-3, schedule=ramp), [1000])
    flow = loss_curves(problem, Algorithm("flow"), [1e-3 * sum(factor for _, factor in ramp)])
    assert slow.test[0] == pytest.approx(flow.test[0], rel=1e-3)


def test_multiplicity_is_repetition():
    grouped = LinearProblem(
        [1.0, 0.2], [2.0, 3.0], [4.0, 10.0], samples=9.0, features=11.0, noise=0.1
    )
    repeated = LinearProblem(
        [0.2] * 10 + [1.0] * 4, [0.3] * 10 + [0.5] * 4, samples=9.0, features=11.0, noise=0.1
    )
    for algorithm in (Algorithm("flow"), Algorithm("sgd", 0.3, 2)):
        one, two = (loss_curves(p, algorithm, [0, 20, 400]) for p in (grouped, repeated))
        np.testing.assert_allclose(one.test, two.test, rtol=1e-11)
        np.testing.assert_allclose(one.train, two.train, rtol=1e-11)


def test_a_diagonal_overlap_is_the_diagonal():
    shift = np.linspace(0.02, 0.001, 120)
    diagonal = power_law(features=100.0, test_spectrum=shift)
    full = replace(diagonal, target_overlap=np.diag(diagonal.target * shift))
    for algorithm in (Algorithm("flow"), Algorithm("sgd", 0.8, 4)):
        one, two = (loss_curves(p, algorithm, [0, 20, 400]) for p in (diagonal, full))
        np.testing.assert_allclose(one.test, two.test, rtol=1e-11)
    one, two = (ridge_losses(p, 0.01).test for p in (diagonal, full))
    assert one == pytest.approx(two, rel=1e-12)


def test_directions_without_variance_are_never_learnt():
    """Their target is lost under a test covariance that has them."""
    seen = LinearProblem([1.0, 0.5], [1.0, 1.0], [5, 5], test_spectrum=[1.0, 0.5], samples=20.0)
    blind = LinearProblem(
        [1.0, 0.0, 0.5], [1.0, 2.0, 1.0], [5, 3, 5], test_spectrum=[1.0, 0.25, 0.5], samples=20.0
    )
    for algorithm in (Algorithm("flow"), Algorithm("sgd", 0.3, 2)):
        one, two = (loss_curves(p, algorithm, [0, 20, 400]) for p in (seen, blind))
        np.testing.assert_allclose(two.test, one.test + 0.5, rtol=1e-11)
        np.testing.assert_allclose(two.train, one.train, rtol=1e-11, atol=1e-13)
    for ridge in (0.0, 0.1):
        one, two = (ridge_losses(p, ridge).test for p in (seen, blind))
        assert two == pytest.approx(one + 0.5, rel=1e-12)


@pytest.mark.parametrize("first", [0, pytest.param(30, marks=pytest.mark.slow)])
def test_random_problems_converge(first):
    """150 in all: no failure, and finer contours say the same within the error that is given."""
    rng = np.random.default_rng(first)
    for _ in range(30 if first == 0 else 120):
        problem, longest = random_problem(rng)
        times = np.concatenate([[0], longest * np.logspace(-3, 0, 12)])
        coarse, fine = (
            Prepared(problem, Algorithm("flow"), longest, digits) for digits in (30.0, 40.0)
        )
        error = coarse.error(times) + fine.error(times)
        for one, two in zip(coarse.mean(times), fine.mean(times), strict=True):
            assert (np.abs(one.train - two.train) <= error).all()
            assert (np.abs(one.test - two.test) <= error).all()


def random_problem(rng):
    dimension = int(10 ** rng.uniform(0.3, 2.6))
    k = np.arange(1, dimension + 1.0)
    spectrum = (
        k ** -rng.uniform(0.3, 3),
        np.exp(rng.normal(size=dimension) * rng.uniform(0.1, 3)),
        np.where(rng.random(dimension) < 0.3, 10 ** rng.uniform(0, 3), 1.0),
        np.ones(dimension),
    )[rng.integers(4)]
    multiplicity = rng.integers(1, 6, dimension).astype(float)
    samples, features = np.ceil(multiplicity.sum() * 10 ** rng.uniform(-1, 1, 2))
    problem = LinearProblem(
        spectrum,
        rng.random(dimension),
        multiplicity,
        test_spectrum=rng.random(dimension) if rng.random() < 0.5 else spectrum,
        noise=float(rng.random()),
        samples=math.inf if rng.random() < 0.2 else float(samples),
        features=math.inf if rng.random() < 0.3 else float(features),
    )
    return problem, 10 ** rng.uniform(1, 7) / spectrum.max()
