"""Measured numbers approach the predicted ones as d grows: scripts/convergence.py, smaller.

The rates: outliers, overlaps and G fluctuate as n^(-1/2). So does the law of the factors D, and
with it edges and bulk; on top of it edges have Tracy-Widom's d^(-2/3) and the bulk 1/d, which
only make their errors fall faster at first. At a thin edge the error is that of the few largest
D, without a power of d: it is asked to fall.
"""

import numpy as np
import pytest
import torch

SIZES, DRAWS = (125, 250, 500, 1000), (32, 16, 8, 4)
RATE = -1 / 2
STANDARD_ERRORS = 3.0
CASES = [
    (system, matrix, full)
    for system in ("softmax", "logistic", "two-layer")
    for full in (False, True)
    if not (system == "logistic" and full)
    for matrix in ("hessian", "information")
]


def find(convergence, system, matrix, full):
    for case in convergence.cases():
        if (case.system.name, case.matrix, case.full) == (system, matrix, full):
            return case
    raise AssertionError("no such case")


def test_the_cases_are_those_of_the_picture(convergence):
    names = [(case.system.name, case.matrix, case.full) for case in convergence.cases()]
    assert sorted(names) == sorted(CASES)


@pytest.mark.parametrize("matrix", ["hessian", "information"])
def test_the_block_with_parameters_is_the_derivative_of_the_loss(convergence, matrix):
    """Against automatic differentiation of the mean loss, or of each sample's, in (x, v)."""
    case, d = find(convergence, "two-layer", matrix, True), 12
    head = case.system.head
    sample = convergence.draw(case, d, np.random.default_rng(0))
    y, count = sample.inputs.double(), len(sample.inputs)
    x = torch.zeros(2, d, dtype=torch.float64)
    x[:, : sample.span] = torch.from_numpy(case.system.vectors[:2])
    # The same draw once more, for its labels.
    rng = np.random.default_rng(0)
    labels = rng.choice(4, size=count, p=case.system.law.weights)
    labels = torch.from_numpy(case.system.law.labels[labels])
    point = torch.cat([x.reshape(-1), torch.from_numpy(case.system.parameters)])

    def losses(point):
        outputs = head.output(y @ point[: 2 * d].view(2, d).T, point[2 * d :])
        return torch.nn.functional.binary_cross_entropy_with_logits(
            outputs, labels.double(), reduction="none"
        )

    if matrix == "hessian":
        exact = torch.autograd.functional.hessian(lambda point: losses(point).mean(), point)
    else:
        gradients = torch.autograd.functional.jacobian(losses, point)
        exact = gradients.T @ gradients / count
    np.testing.assert_allclose(sample.matrix.numpy(), exact.numpy(), atol=2e-6)


def test_without_its_null_direction_softmax_has_the_same_other_eigenvalues(convergence, problem):
    case = find(convergence, "softmax", "hessian", True)
    sample = convergence.draw(case, 20, np.random.default_rng(0))
    lift = np.kron(case.lift, np.eye(20))
    assert lift.shape == (60, 40)
    values = np.linalg.eigvalsh(lift @ sample.matrix.numpy() @ lift.T)
    np.testing.assert_allclose(values[20:], sample.values(), atol=1e-6)
    np.testing.assert_allclose(values[:20], 0, atol=1e-6)


def test_overlaps_are_those_of_the_eigenvectors(convergence):
    case = find(convergence, "two-layer", "hessian", True)
    sample = convergence.draw(case, 40, np.random.default_rng(0))
    vectors = np.linalg.eigh(sample.matrix.double().numpy())[1]
    inner = vectors[-case.system.head.parameters :]
    span = vectors[:-2].reshape(2, 40, -1)[:, : sample.span]
    overlaps = (span**2).sum((0, 1)) + (inner**2).sum(0)
    np.testing.assert_allclose(sample.overlaps(2, "LA"), overlaps[::-1][:2], rtol=1e-3)
    np.testing.assert_allclose(sample.overlaps(2, "SA"), overlaps[:2], rtol=1e-3)


def test_quantiles_of_the_prediction_have_the_distance_of_a_lattice(convergence):
    """Eigenvalues at N = j - 1/2 are half a step from the law."""
    case = find(convergence, "logistic", "hessian", False)
    d = 200
    spectrum = case.predicted(d)
    prediction = convergence.Prediction(spectrum)
    system = case.system
    theory = convergence.EffectiveSpectrum(
        system.head, system.statistics, system.law, system.aspect_ratio, d
    )
    values = np.sort(theory.eigenvalues("hessian", (0,), range(1, d + 1)))
    # The law is interpolated between the points of its density, and outliers are steps of 1/d.
    assert 0.4 / d < prediction.distance(values) < 1.2 / d


@pytest.mark.parametrize("rate", [-0.5, -1.0])
def test_slopes_of_power_laws(convergence, rate):
    sizes = (100, 200, 400, 800)
    rng = np.random.default_rng(0)
    exact = [np.full((4, 1), size**rate) * np.array([[0.9], [1.1], [1.0], [1.0]]) for size in sizes]
    slope, error = convergence.decay(sizes, exact).slope
    assert slope == pytest.approx(rate, abs=1e-12)
    assert error > 0
    # With normal errors the standard error of the slope is right: 1 in 20 beyond two of them.
    far = 0
    for _ in range(200):
        noisy = [size**rate * rng.standard_normal((200, 2)) for size in sizes]
        slope, error = convergence.decay(sizes, noisy).slope
        far += abs(slope - rate) > 2 * error
    assert far < 25


@pytest.mark.slow
@pytest.mark.parametrize(("system", "matrix", "full"), CASES)
def test_errors_decay(convergence, system, matrix, full):
    case = find(convergence, system, matrix, full)
    compared = convergence.compare(case, SIZES, DRAWS)
    found = [convergence.errors(*one) for one in compared]
    bulk = compared[0][0].bulk
    thin = "thin" in (bulk.lower.kind, bulk.upper.kind)
    for quantity in convergence.QUANTITIES:
        decay = convergence.decay(SIZES, [one[quantity] for one in found])
        slope, error = decay.slope
        rate = 0.0 if thin and quantity == "edges" else RATE
        assert slope < rate + STANDARD_ERRORS * error, quantity
        assert decay.values[-1] < decay.values[0], quantity
        # The fit is meant to tell decay from none.
        assert error < abs(RATE) / STANDARD_ERRORS, quantity


@pytest.mark.slow
def test_gram_matrices_of_sgd_approach_the_dynamics(convergence):
    for system in convergence.systems():
        errors = [
            convergence.run_sgd(system, d, 4 * runs, convergence.generator(system.name, d))
            for d, runs in zip(SIZES, DRAWS, strict=True)
        ]
        slope, error = convergence.decay(SIZES, errors).slope
        assert abs(slope - RATE) < STANDARD_ERRORS * error, system.name
