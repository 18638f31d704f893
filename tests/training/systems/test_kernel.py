"""Kernel regression on the sphere, trained from the command line's configuration."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from spectrain.models.linear.sphere import kernel_spectrum
from spectrain.theory.linear.loss_curves import loss_curves
from spectrain.training.config import ProbeConfig
from spectrain.training.loop import fit
from spectrain.training.run import run
from spectrain.training.systems.kernel import KernelConfig

SMALL = KernelConfig(
    samples=120,
    dimension=8,
    epochs=1,
    steps=20,
    probe=ProbeConfig(eigenvalues=10, smallest=0, density=False),
)


@pytest.mark.parametrize("algorithm", ["flow", "gd", "sgd", "shuffled"])
def test_a_run_is_measured_predicted_and_forecast(tmp_path, algorithm):
    """The one harmonic of degree 0 is the outlier, the eight of degree 1 are the band below it."""
    found = run(replace(SMALL, algorithm=algorithm), tmp_path / "run")
    for record in found.records:
        assert not record.failures
        predicted, measured = (
            each.spectrum("hessian", "weight") for each in (record.predicted, record.measured)
        )
        assert predicted.size == measured.size == 120
        assert predicted.bulk.atom == 0
        values = np.array([one.value for one in measured.top])
        (outlier,) = predicted.top
        assert abs(values[0] - outlier.value) < 5 * outlier.sampling_error
        lower, upper = predicted.bulk.bands[-1]
        # Edges fluctuate by their width to the 2/3 of 1/m.
        slack = (upper.value - lower.value) * 8 ** (-2 / 3)
        assert ((values[1:9] > lower.value - slack) & (values[1:9] < upper.value + slack)).all()
        assert values[9] < lower.value
        parts = record.forecast.quantity("test_parts").values
        assert parts.sum() == pytest.approx(float(record.forecast.quantity("test_loss").values))
    start = found.records[0]
    exact = float(start.forecast.quantity("test_loss").values)
    assert exact == pytest.approx(1.0)
    assert float(start.measured.quantity("test_loss").values) == pytest.approx(exact, rel=1e-9)


def losses(config, steps):
    """Test loss of the trained weights after some numbers of steps."""
    system = config.build(torch.Generator().manual_seed(config.seed))
    batches = system.batches(torch.Generator().manual_seed(config.seed + 1000))
    found, before = [], 0
    for step in steps:
        parts = system.model, system.loss, batches, system.optimiser
        fit(*parts, epochs=1, steps_per_epoch=step - before)
        found.append(system.theory.statistics(system.model, None).test)
        before = step
    return found


@pytest.mark.parametrize("algorithm", ["gd", "sgd"])
def test_the_mean_of_runs_is_the_forecast(algorithm):
    """Harmonics are no Gaussian variables: 3.25 % are allowed, which doubled is the note's 6.5."""
    config, steps = replace(SMALL, algorithm=algorithm), [3, 10, 40]
    runs = np.array([losses(replace(config, seed=seed), steps) for seed in range(16)])
    curves = loss_curves(config.problem(), config.trained(), steps)
    error = runs.std(0, ddof=1) / math.sqrt(len(runs))
    allowed = 5 * error + 2 * (curves.finite_size + 0.0325) * curves.test
    assert (np.abs(runs.mean(0) - curves.test) < allowed).all()


def test_single_precision_is_double_precision_rounded():
    """The kernel matrix's rounding errors are not blown up by its inverse root."""
    config = replace(SMALL, algorithm="gd", steps=40)
    system = config.build(torch.Generator().manual_seed(0))
    narrow = replace(config, dtype="float32").build(torch.Generator().manual_seed(0))
    assert narrow.sample[0].dtype == torch.float32
    points, targets = (each.float() for each in system.sample)
    narrow.model.__init__(narrow.model.kernel, points)
    weights = {}
    for each, sample in ((system, system.sample), (narrow, (points, targets))):
        optimiser = torch.optim.SGD(each.model.parameters(), lr=config.learning_rate())
        for _ in range(40):
            optimiser.zero_grad()
            each.loss(each.model(sample[0]), sample[1]).backward()
            optimiser.step()
        weights[each] = each.model(sample[0]).detach().double()
    apart = (weights[system] - weights[narrow]).abs().max()
    assert float(apart) < 1e-3 * float(weights[system].abs().max())


def test_the_problem_is_that_of_the_kernel():
    """k(1) = 1 is the sum over all harmonics, and the target's power is what is given."""
    problem = SMALL.problem()
    assert problem.spectrum @ problem.multiplicity == pytest.approx(1, abs=1e-9)
    assert problem.signal == pytest.approx(1.0)
    assert problem.samples == 120


@pytest.mark.parametrize("dimension", [3, 4, 7, 30])
@pytest.mark.parametrize("scale", [0.1, 0.6, 5.0])
def test_eigenvalues_are_those_of_quadrature(dimension, scale):
    """Down to the rounding errors of the quadrature, which the closed form does not have."""
    s, counts = KernelConfig(dimension=dimension, scale=scale).harmonics()
    found, same = kernel_spectrum(lambda t: np.exp((t - 1) / scale), dimension, len(s))
    np.testing.assert_allclose(s, found, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(counts, same)
    assert (np.diff(s) < 0).all()
    assert s[-1] > 0
    assert s @ counts == pytest.approx(1, abs=1e-11)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("dimension", {"dimension": 2}),
        ("scale", {"scale": 0.0}),
        ("powers", {"powers": ()}),
        ("powers", {"powers": (0.0, 0.0)}),
        ("powers", {"powers": (1.0, -1.0)}),
        ("powers", {"powers": (1.0,) * 61}),
        ("noise", {"noise": -1.0}),
        ("samples", {"samples": 0}),
        ("samples", {"samples": None}),
        ("algorithm", {"algorithm": "one-pass"}),
        ("batch_size", {"algorithm": "shuffled", "batch_size": 7}),
        ("lr", {"lr": 0.0}),
    ],
)
def test_bad_configurations_are_named(name, changed):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        KernelConfig(**changed)


def test_a_kernel_of_too_many_harmonics_is_refused():
    with pytest.raises(ValueError, match=r"^scale: expected"):
        KernelConfig(scale=1e-4).problem()
