"""Linear models trained from the command line's configuration, beside their forecast."""

import math

import numpy as np
import pytest
import torch

from spectrain.probes.records.record_file import load
from spectrain.training.run import run
from spectrain.training.systems.linear import CovarianceConfig, LinearConfig
from spectrain.training.systems.linear_data import resampled

COVARIANCE = CovarianceConfig(dimension=60, spikes=(0.8,), noise=0.1)
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


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["gd", "sgd", "one-pass"])
def test_the_mean_of_runs_is_the_forecast(tmp_path, algorithm):
    """Twelve seeds: within five standard errors and twice the finite-size correction."""
    losses, forecast = [], None
    for seed in range(12):
        found = run(config(algorithm, seed=seed, epochs=1, weight_decay=0.02), tmp_path / str(seed))
        last = found.records[-1]
        losses.append(float(last.measured.quantity("test_loss").values))
        forecast = last.forecast
    expected = float(forecast.quantity("test_loss").values)
    size = float(forecast.quantity("finite_size_correction").values)
    error = np.std(losses, ddof=1) / math.sqrt(len(losses))
    assert abs(np.mean(losses) - expected) < 5 * error + 2 * size * expected


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


def test_groups_are_given_by_numbers():
    covariance = CovarianceConfig(spectrum=(2.0, 0.5), multiplicity=(3, 4), spikes=(9.0,))
    assert covariance.eigenvalues() == [9.0, 2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5]
    assert covariance.coefficients()[0] == 0
    assert len(covariance.coefficients()) == 8
    assert covariance.test_eigenvalues() == covariance.eigenvalues()


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
    ],
)
def test_bad_covariances_are_named(name, changed):
    with pytest.raises(ValueError, match=rf"^covariance\.{name}: expected"):
        CovarianceConfig(**changed)
