"""Real training against every row of the theory, at the sizes of its derivation."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from spectrain.models.linear.kernel import KernelRegression
from spectrain.models.linear.sphere import SphereLaw, kernel_spectrum
from spectrain.theory.linear.algorithm import Algorithm
from spectrain.theory.linear.finite_size import finite_size
from spectrain.theory.linear.loss_curves import loss_curves
from spectrain.theory.linear.problem import LinearProblem
from spectrain.theory.linear.stability import critical_learning_rate
from spectrain.theory.linear.static import ridge_losses

slow = pytest.mark.slow


def spectrum(dimension, power):
    s = np.arange(1, dimension + 1.0) ** -power
    return s / s.sum()


def target(dimension):
    return np.arange(1, dimension + 1.0) ** -0.2


def problem(s, samples, features=None, **more):
    return LinearProblem(
        s,
        target(len(s)) ** 2,
        samples=samples or math.inf,
        features=features or math.inf,
        **more,
    )


def compare(deviate, runs, curves, train=True, slack=0.0):
    size = curves.finite_size + slack
    assert deviate(runs.test, curves.test, size) < 1
    if train:
        assert deviate(runs.train, curves.train, size) < 1


def log_times(last, count=25):
    return np.unique(np.round(np.geomspace(1, last, count)))


@pytest.mark.parametrize(
    ("features", "samples", "dimension", "runs"),
    [
        (None, 400, 600, 8),
        pytest.param(None, 400, 600, 32, marks=slow),
        pytest.param(300, 400, 800, 32, marks=slow),
        pytest.param(400, 300, 800, 32, marks=slow),
        pytest.param(200, 600, 800, 32, marks=slow),
    ],
)
def test_flow(ensemble, deviate, features, samples, dimension, runs):
    """Rows a and d; the train loss while it is more than a rounding error of its start."""
    s = spectrum(dimension, 1.2)
    run = ensemble(s, target(dimension), runs, samples, features)
    for last, train in ((1e5, False), (1e3, True)):
        times = np.geomspace(0.1, last, 25)
        curves = loss_curves(problem(s, samples, features), Algorithm("flow"), times)
        compare(deviate, run.flow(times), curves, train)


@slow
def test_gradient_descent(ensemble, deviate):
    """Row a: eta = 1.2 / lam_+."""
    s = spectrum(600, 1.2)
    rate = 0.6 * critical_learning_rate(problem(s, 400), Algorithm("gd", 1.0))
    algorithm, times = Algorithm("gd", rate), log_times(500)
    runs = ensemble(s, target(600), 32, 400).train(algorithm, times)
    compare(deviate, runs, loss_curves(problem(s, 400), algorithm, times))


@pytest.mark.parametrize("decay", [0.02, pytest.param(0.0, marks=slow)])
def test_small_steps_of_descent_are_the_flow(ensemble, deviate, decay):
    """With weight decay too, in torch's own units."""
    s = spectrum(200, 1.2)
    data = ensemble(s, target(200), 4, 150, noise=0.1)
    algorithm, steps = Algorithm("gd", 0.02, weight_decay=decay), [50, 200]
    flow = data.flow([step * 0.02 for step in steps], decay)
    trained = data.train(algorithm, steps)
    np.testing.assert_allclose(trained.test, flow.test, rtol=0.02)
    np.testing.assert_allclose(trained.train, flow.train, rtol=0.02)


@pytest.mark.parametrize(
    ("batch", "rate", "steps", "runs"),
    [
        (8, 2.0, 200, 32),
        pytest.param(1, 0.7, 3000, 96, marks=slow),
        pytest.param(8, 2.0, 3000, 96, marks=slow),
    ],
)
@pytest.mark.parametrize("decay", [0.02, pytest.param(0.0, marks=slow)])
def test_multi_pass_sgd(ensemble, deviate, batch, rate, steps, runs, decay):
    """Row b."""
    s = spectrum(400, 1.1)
    algorithm, times = Algorithm("sgd", rate, batch, decay), log_times(steps)
    found = ensemble(s, target(400), runs, 300, noise=0.05).train(algorithm, times)
    curves = loss_curves(problem(s, 300, noise=0.05), algorithm, times)
    compare(deviate, found, curves)


@pytest.mark.parametrize(
    ("batch", "rate", "steps", "runs"),
    [
        pytest.param(8, 2.0, 200, 32, marks=slow),
        pytest.param(1, 0.7, 3000, 96, marks=slow),
        pytest.param(8, 2.0, 3000, 96, marks=slow),
    ],
)
def test_one_pass_sgd(ensemble, deviate, batch, rate, steps, runs):
    """Row b: exact for Gaussian inputs."""
    s = spectrum(400, 1.1)
    algorithm, times = Algorithm("one-pass", rate, batch), log_times(steps)
    found = ensemble(s, target(400), runs, None, noise=0.05).train(algorithm, times)
    curves = loss_curves(problem(s, None, noise=0.05), algorithm, times)
    compare(deviate, found, curves)


def test_one_pass_sgd_is_the_exact_recursion_of_its_moments():
    """E (v - w*)_k^2 of Gaussian inputs, mode by mode."""
    s, w, rate, batch, noise = spectrum(60, 1.1), target(60), 0.6, 2, 0.05
    moments, expected = w**2, []
    for _ in range(401):
        expected.append(moments @ s)
        driven = moments @ s + noise
        moments = moments * (1 - 2 * rate * s + rate**2 * s**2 * (1 + 1 / batch))
        moments = moments + rate**2 * s * driven / batch
    curves = loss_curves(
        problem(s, None, noise=noise), Algorithm("one-pass", rate, batch), range(401)
    )
    np.testing.assert_allclose(curves.test, expected, rtol=1e-11)


@pytest.mark.parametrize(
    ("batch", "rate", "runs", "steps"),
    [
        pytest.param(10, 2.0, 32, 200, marks=slow),
        pytest.param(10, 2.0, 128, 600, marks=slow),
        pytest.param(4, 1.5, 128, 600, marks=slow),
    ],
)
def test_shuffled_passes(ensemble, batch, rate, runs, steps):
    """Row b*: an approximation within 7 %, better than that of drawing with replacement."""
    s = spectrum(400, 1.1)
    algorithm, times = Algorithm("shuffled", rate, batch), log_times(steps)
    found = ensemble(s, target(400), runs, 300, noise=0.05).train(algorithm, times)
    one = problem(s, 300, noise=0.05)
    filtered = loss_curves(one, algorithm, times)
    replaced = loss_curves(one, Algorithm("sgd", rate, batch), times)
    for kind, bound in (("train", 0.055), ("test", 0.07)):
        runs_ = getattr(found, kind)
        error = 3 * runs_.std(1, ddof=1) / math.sqrt(runs_.shape[1]) / getattr(filtered, kind)
        off, other = (
            np.abs(runs_.mean(1) / getattr(curves, kind) - 1) for curves in (filtered, replaced)
        )
        assert (off < bound + error).all()
        assert np.median(off) < np.median(other)


@pytest.mark.parametrize(
    ("name", "runs", "steps"),
    [
        ("sgd", 16, 150),
        pytest.param("sgd", 64, 3000, marks=slow),
        pytest.param("one-pass", 32, 1000, marks=slow),
    ],
)
def test_sgd_on_random_features(ensemble, deviate, name, runs, steps):
    """Row d with b: D 400, N 200, P 300, B 4."""
    s = spectrum(400, 1.1)
    samples = 300 if name == "sgd" else None
    algorithm, times = Algorithm(name, 1.5, 4), log_times(steps)
    found = ensemble(s, target(400), runs, samples, 200, noise=0.05).train(algorithm, times)
    curves = loss_curves(problem(s, samples, 200, noise=0.05), algorithm, times)
    compare(deviate, found, curves)


@pytest.mark.parametrize("runs", [pytest.param(64, marks=slow)])
def test_a_schedule_of_warm_up_and_cosine(ensemble, deviate, runs):
    """Row b: eta_t = .75 (1 + cos(pi t / 400)) min(1, (1 + t) / 40)."""
    s = spectrum(400, 1.1)
    schedule = tuple(
        (t, 0.5 * (1 + math.cos(math.pi * t / 400)) * min(1.0, (1 + t) / 40)) for t in range(400)
    )
    algorithm, times = Algorithm("sgd", 1.5, 4, schedule=schedule), log_times(400)
    found = ensemble(s, target(400), runs, 300, 200, noise=0.05).train(algorithm, times)
    curves = loss_curves(problem(s, 300, 200, noise=0.05), algorithm, times)
    compare(deviate, found, curves)


@pytest.mark.parametrize(
    ("features", "rotated", "runs"),
    [
        (None, True, 4),
        pytest.param(None, False, 32, marks=slow),
        pytest.param(300, False, 32, marks=slow),
        pytest.param(None, True, 32, marks=slow),
        pytest.param(300, True, 32, marks=slow),
    ],
)
def test_covariate_shift(ensemble, deviate, features, rotated, runs):
    """Row e: s' = .3 k^-.8 (1 + .5 cos k), and half of it rotated."""
    k = np.arange(1, 601.0)
    s = spectrum(600, 1.2)
    tested = 0.3 * k**-0.8 * (1 + 0.5 * np.cos(k))
    shift, more = tested, {}
    if rotated:
        q = np.linalg.qr(np.random.default_rng(5).standard_normal((600, 600)))[0]
        shift = 0.5 * np.diag(tested) + 0.5 * (q * tested) @ q.T
        w = target(600)
        more = {"target_overlap": w[:, None] * shift * w}
    run = ensemble(s, target(600), runs, 400, features, noise=0.05, shift=shift)
    times = np.geomspace(0.1, 1e4, 20)
    one = problem(
        s,
        400,
        features,
        noise=0.05,
        test_spectrum=np.diag(shift) if rotated else tested,
        **more,
    )
    compare(deviate, run.flow(times), loss_curves(one, Algorithm("flow"), times), train=False)


@pytest.mark.parametrize(
    ("features", "entries", "runs"),
    [
        (None, "rademacher", 4),
        pytest.param(None, "gaussian", 32, marks=slow),
        pytest.param(300, "gaussian", 32, marks=slow),
        pytest.param(None, "rademacher", 32, marks=slow),
    ],
)
def test_label_noise(ensemble, deviate, features, entries, runs):
    """Row f: noise .3, and entries that are signs."""
    s = spectrum(600, 1.2)
    run = ensemble(s, target(600), runs, 400, features, noise=0.3, entries=entries)
    times = np.geomspace(0.1, 1e4, 20)
    curves = loss_curves(problem(s, 400, features, noise=0.3), Algorithm("flow"), times)
    compare(deviate, run.flow(times), curves, train=False)
    early = times < 1e3
    assert deviate(run.flow(times).train[early], curves.train[early], 2e-2) < 1


@pytest.mark.parametrize(
    ("features", "samples", "runs"),
    [
        (300, 400, 4),
        pytest.param(None, 400, 32, marks=slow),
        pytest.param(300, 400, 32, marks=slow),
        pytest.param(400, 300, 32, marks=slow),
    ],
)
def test_ridge_regression(ensemble, deviate, features, samples, runs):
    """Row g: ridges 1e-12 to 1e-1, noise .3."""
    s = spectrum(600, 1.2)
    one = problem(s, samples, features, noise=0.3)
    ridges = [1e-12, 1e-8, 1e-5, 1e-3, 1e-2, 1e-1]
    found = ensemble(s, target(600), runs, samples, features, noise=0.3).ridge(ridges)
    predicted = [ridge_losses(one, ridge) for ridge in ridges]
    size = finite_size(one, np.array(ridges))
    assert deviate(found.test, np.array([p.test for p in predicted]), size) < 1
    kept = slice(2, None) if samples <= (features or 600) else slice(None)
    assert deviate(found.train[kept], np.array([p.train for p in predicted])[kept], size[kept]) < 1


@pytest.mark.parametrize("runs", [pytest.param(3, marks=slow), pytest.param(16, marks=slow)])
def test_kernel_regression_on_the_sphere(deviate, runs):
    """Row c: exp((t-1)/.6) on S^9, P = 500, the kernel matrix itself, torch's own descent.

    Harmonics are no Gaussian variables: the note allows 6.5 % at the worst time.
    """
    degrees, dimension, samples = 12, 10, 500
    eigenvalues, counts = kernel_spectrum(lambda t: np.exp((t - 1) / 0.6), dimension, 24)
    ends = np.cumsum(counts)
    a = np.array(
        [
            (np.arange(end - count + 1, min(end, 10**6) + 1.0) ** -0.4).sum()
            for end, count in zip(ends[:degrees], counts[:degrees], strict=True)
        ]
    )
    a = np.append(a, np.zeros(24 - degrees))
    powers = tuple(a[:degrees] * eigenvalues[:degrees])
    one = LinearProblem(eigenvalues, a, counts, samples=float(samples))
    rate = 0.5 * critical_learning_rate(one, Algorithm("gd", 1.0))
    algorithm, times = Algorithm("gd", rate), log_times(300, 12)
    train, test = [], []
    for seed in range(runs):
        generator = torch.Generator().manual_seed(seed)
        law = SphereLaw.random(dimension, powers, generator)
        x, y = law.sample(samples, generator)
        new_x, new_y = law.sample(4000, generator)
        model = KernelRegression(lambda a, b: torch.exp((a @ b.T - 1) / 0.6), x)
        features, new_features = model.features(x), model.features(new_x)
        optimiser = torch.optim.SGD(model.parameters(), lr=rate / 2)
        losses = []
        for step in range(int(times[-1]) + 1):
            loss = nn.MSELoss()(features @ model.weight, y)
            if step in times:
                with torch.no_grad():
                    tested = nn.MSELoss()(new_features @ model.weight, new_y)
                losses.append((float(loss.detach()), float(tested)))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        train.append([one for one, _ in losses])
        test.append([two for _, two in losses])
    curves = loss_curves(one, algorithm, times)
    assert deviate(np.array(train).T, curves.train, 0.02) < 1
    assert deviate(np.array(test).T, curves.test, 0.0325) < 1


@pytest.mark.parametrize(
    ("name", "batch", "features", "beyond"),
    [
        *(pytest.param("sgd", b, n, 1.05, marks=slow) for b in (1, 4) for n in (None, 150)),
        *(pytest.param("shuffled", b, None, 1.2, marks=slow) for b in (1, 3)),
    ],
)
def test_training_turns_from_decay_to_growth_near_the_critical_rate(
    ensemble, name, batch, features, beyond
):
    """Between .8 and 1.05 of it; for shuffled passes, which it approximates, up to 1.2."""
    s = spectrum(200, 1.1)
    one = problem(s, 150, features, noise=0.05)
    rate = critical_learning_rate(one, Algorithm(name, 1.0, batch))
    grown = []
    for share in (0.8, beyond):
        data = ensemble(s, target(200), 32, 150, features, noise=0.05)
        start, end = data.train(Algorithm(name, share * rate, batch), [0, 1500]).train
        grown.append(float(np.median(end / start)))
    assert grown[0] < 1 < grown[1]


def test_the_finite_size_correction_is_that_of_the_inverse_wishart_law():
    """Label noise alone, without ridge: the mean is sig2 D / (P - D - 1), the theory's D / (P - D).

    From 3000 draws the mean is known to 1 %, and the correction is 1 / 19.
    """
    d, p, runs = 20, 40, 3000
    rng = np.random.default_rng(0)
    x = rng.standard_normal((runs, p, d))
    noise = rng.standard_normal((runs, p, 1))
    v = np.linalg.solve(x.transpose(0, 2, 1) @ x, x.transpose(0, 2, 1) @ noise)[..., 0]
    test = (v**2).sum(1)
    one = LinearProblem([1.0], [0.0], [d], noise=1.0, samples=p)
    predicted = ridge_losses(one)
    relative = test.mean() / predicted.test - 1
    assert relative == pytest.approx(1 / 19, abs=4 * test.std() / math.sqrt(runs) / predicted.test)
    assert predicted.finite_size == pytest.approx(1 / 20)
