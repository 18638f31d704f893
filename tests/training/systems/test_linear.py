"""Linear models trained from the command line's configuration, beside their forecast."""

import math

import numpy as np
import pytest
import torch

from spectrain.probes.records.record_file import load
from spectrain.theory.linear.loss_curves import loss_curves
from spectrain.training.config import ProbeConfig
from spectrain.training.loop import fit
from spectrain.training.run import run
from spectrain.training.systems.linear import CovarianceConfig, LinearConfig
from spectrain.training.systems.linear_system import resampled

COVARIANCE = CovarianceConfig(dimension=60, spikes=(0.8,), noise=0.1)
LITTLE = ProbeConfig(eigenvalues=1, smallest=0, density=False)
ALGORITHMS = ["flow", "gd", "sgd", "one-pass", "shuffled"]


def config(algorithm="sgd", **changed):
    settings = {
        "covariance": COVARIANCE,
        "samples": None if algorithm == "one-pass" else 48,
        "algorithm": algorithm,
        "dtype": "float64",
        "epochs": 2,
        "steps": 20,
        "probe_samples": 120,
    }
    return LinearConfig(**settings | changed)


@pytest.mark.parametrize("features", [None, 40])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_is_measured_predicted_and_forecast(tmp_path, algorithm, features):
    found = run(config(algorithm, features=features), tmp_path / "run")
    assert len(found.records) == 3
    for record in found.records:
        assert not record.failures
        predicted, measured = (
            each.spectrum("hessian", "weight") for each in (record.predicted, record.measured)
        )
        # The spike, a multiple of its sampling error around its place.
        (outlier,) = predicted.top
        assert abs(measured.top[0].value - outlier.value) < 5 * outlier.sampling_error
        assert record.forecast.loss > 0
        assert record.forecast.quantity("test_loss") is not None
        parts = record.forecast.quantity("test_parts").values
        assert parts.sum() == pytest.approx(float(record.forecast.quantity("test_loss").values))
    start = found.records[0]
    exact = float(start.forecast.quantity("test_loss").values)
    assert float(start.measured.quantity("test_loss").values) == pytest.approx(exact, rel=1e-9)


def test_a_schedule_and_a_resumed_run_are_the_same_run(tmp_path):
    whole = config(schedule=((5, 0.5), (30, 0.1)), features=30)
    run(whole, tmp_path / "whole")
    run(config(schedule=((5, 0.5), (30, 0.1)), features=30, epochs=1), tmp_path / "half")
    loaded = load(tmp_path / "whole")
    quantity = "test_loss"
    values = [float(r.measured.quantity(quantity).values) for r in loaded.records]
    half = [float(r.measured.quantity(quantity).values) for r in load(tmp_path / "half").records]
    assert values[:2] == half


def test_a_shift_is_tested_on_other_inputs(tmp_path):
    covariance = CovarianceConfig(dimension=60, test_exponent=0.3)
    found = run(config("gd", covariance=covariance), tmp_path / "run")
    last = found.records[-1]
    values = [float(each.quantity("test_loss").values) for each in (last.measured, last.forecast)]
    assert values[0] == pytest.approx(values[1], rel=0.25)
    assert last.forecast.loss > 0


def losses(seeds, algorithm="gd", steps=150, **changed):
    """Test losses of some runs at their end, and their forecast, by the configuration alone."""
    found = []
    for seed in range(seeds):
        one = config(algorithm, seed=seed, **changed)
        system = one.build(torch.Generator().manual_seed(seed))
        own = system.batches(torch.Generator().manual_seed(seed + 1000))
        fit(system.model, system.loss, own, system.optimiser, epochs=1, steps_per_epoch=steps)
        found.append(system.theory.statistics(system.model, None).test)
    return np.array(found), loss_curves(one.problem(), one.trained(), [steps])


def assert_the_mean_is_forecast(runs, curves):
    """Within five standard errors and twice the finite-size correction."""
    error = runs.std(ddof=1) / math.sqrt(len(runs))
    allowed = 5 * error + 2 * curves.finite_size[0] * curves.test[0]
    assert abs(runs.mean() - curves.test[0]) < allowed


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["gd", "sgd", "one-pass"])
def test_the_mean_of_runs_is_the_forecast(algorithm):
    runs, curves = losses(12, algorithm, 20, weight_decay=0.02)
    assert_the_mean_is_forecast(runs, curves)


ROTATION = np.linalg.qr(np.random.default_rng(3).standard_normal((60, 60)))[0]
TEST_MATRIX = (ROTATION * np.linspace(0, 0.05, 60)) @ ROTATION.T


def rows(matrix):
    return tuple(map(tuple, ((matrix + matrix.T) / 2).tolist()))


@pytest.mark.slow
@pytest.mark.parametrize("features", [None, 40])
@pytest.mark.parametrize(
    "given",
    [
        {"rotated": True},
        {"rotated": True, "entries": "rademacher", "test_exponent": 0.3},
        {"test_rotation": 0.5},
        {"rotated": True, "spikes": (0.8,), "test_rotation": 1.0},
        {"matrix": rows((ROTATION * np.arange(1, 61.0) ** -1.2) @ ROTATION.T)},
        {"rotated": True, "test_matrix": rows(TEST_MATRIX)},
    ],
    ids=["rotated", "signs", "shifted", "spiked", "matrix", "tested"],
)
def test_any_covariance_is_trained_and_predicted(given, features):
    covariance = CovarianceConfig(dimension=60, noise=0.1, **given)
    runs, curves = losses(12, covariance=covariance, features=features)
    assert_the_mean_is_forecast(runs, curves)


@pytest.mark.parametrize("given", [{"rotated": True}, {"test_rotation": 0.6}])
def test_a_loss_is_that_of_the_matrices(given):
    """The test loss of any weights, by the dense test covariance in the inputs' coordinates."""
    covariance = CovarianceConfig(dimension=30, test_exponent=0.5, **given)
    system = config("gd", covariance=covariance).build(torch.Generator().manual_seed(0))
    vectors = covariance.eigenvectors()
    vectors = np.eye(30) if vectors is None else vectors
    tested = covariance.test_covariance()
    tested = vectors @ (np.diag(tested) if tested.ndim == 1 else tested) @ vectors.T
    v = torch.linspace(-1, 1, 30, dtype=torch.float64)
    system.model.weight.data.copy_(v)
    missed = v.numpy() - vectors @ np.array(covariance.coefficients())
    expected = missed @ tested @ missed
    assert system.theory.statistics(system.model, None).test == pytest.approx(expected, rel=1e-12)
    commute = np.diag(covariance.eigenvalues()) @ covariance.test_covariance()
    if "test_rotation" in given:
        assert np.abs(commute - commute.T).max() > 1e-3
    start = config("gd", covariance=covariance).problem().initial_test
    w = vectors @ np.array(covariance.coefficients())
    assert start == pytest.approx(w @ tested @ w, rel=1e-12)


def test_a_matrix_that_does_not_commute_is_forecast_in_a_run(tmp_path):
    covariance = CovarianceConfig(dimension=60, rotated=True, test_rotation=0.5)
    found = run(config("gd", covariance=covariance, probe=LITTLE), tmp_path / "run")
    start, last = found.records[0], found.records[-1]
    exact = config(covariance=covariance).problem().initial_test
    for each in (start.measured, start.forecast):
        assert float(each.quantity("test_loss").values) == pytest.approx(exact, rel=1e-9)
    assert not last.failures
    assert float(last.measured.quantity("test_loss").values) < exact / 2
    # Of another covariance than the probe sample's, the test loss forecasts no loss on it; the
    # train loss does.
    assert last.forecast.loss == float(last.forecast.quantity("train_loss").values)
    assert found.config["covariance"]["test_rotation"] == 0.5


def test_groups_are_given_by_numbers():
    covariance = CovarianceConfig(spectrum=(2.0, 0.5), multiplicity=(3, 4), spikes=(9.0,))
    assert covariance.eigenvalues() == [9.0, 2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5]
    assert covariance.coefficients()[0] == 0
    assert len(covariance.coefficients()) == 8
    assert covariance.test_covariance().tolist() == covariance.eigenvalues()


def test_resampling_draws_with_replacement():
    inputs, targets = torch.arange(3.0), torch.arange(3.0) + 10
    x, y = resampled(inputs, targets)(3000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(y, x + 10)
    counts = torch.bincount(x.long(), minlength=3)
    assert (counts - 1000).abs().max() < 5 * math.sqrt(1000 * 2 / 3)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("samples", {"samples": None}),
        ("samples", {"samples": 0}),
        ("samples", {"algorithm": "one-pass", "samples": 5}),
        ("batch_size", {"algorithm": "shuffled", "batch_size": 5}),
        ("batch_size", {"batch_size": 0}),
        ("features", {"features": 0}),
        ("lr", {"lr": -1.0}),
        ("weight_decay", {"weight_decay": -1.0}),
        ("steps", {"steps": 0}),
        ("schedule", {"schedule": ((5, 1.0), (5, 0.5))}),
    ],
)
def test_bad_configurations_are_named(name, changed):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        config(**changed)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("dimension", {"dimension": 0}),
        ("spectrum", {"spectrum": (1.0, -1.0)}),
        ("multiplicity", {"spectrum": (1.0,), "multiplicity": (1, 2)}),
        ("spikes", {"spikes": (0.0,)}),
        ("noise", {"noise": -0.1}),
        ("noise", {"noise": math.nan}),
        ("exponent", {"exponent": math.inf}),
        ("target_exponent", {"target_exponent": math.nan}),
        ("matrix", {"matrix": ((1.0, 0.0),)}),
        ("matrix", {"matrix": ((1.0, 0.5), (0.2, 1.0))}),
        ("matrix", {"matrix": ((1.0, 2.0), (2.0, 1.0))}),
        ("matrix", {"matrix": ((math.nan,),)}),
        ("matrix", {"matrix": ((0.0, 0.0), (0.0, 0.0))}),
        ("spikes", {"matrix": ((1.0,),), "spikes": (2.0,)}),
        ("spectrum", {"matrix": ((1.0,),), "spectrum": (2.0,)}),
        ("rotated", {"matrix": ((1.0,),), "rotated": True}),
        ("test_rotation", {"test_rotation": 1.5}),
        ("test_matrix", {"dimension": 2, "test_matrix": ((1.0,),)}),
        ("test_matrix", {"dimension": 1, "test_matrix": ((-1.0,),)}),
        ("test_matrix", {"dimension": 1, "test_matrix": ((1.0,),), "test_rotation": 0.1}),
    ],
)
def test_bad_covariances_are_named(name, changed):
    with pytest.raises(ValueError, match=rf"^covariance\.{name}: expected"):
        CovarianceConfig(**changed)
