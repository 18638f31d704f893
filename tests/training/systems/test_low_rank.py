"""Low-rank reconstruction as it is trained from the command line."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from spectrain.models.low_rank.descent import descend
from spectrain.models.low_rank.gaussian import GaussianMeasurements
from spectrain.models.low_rank.standing import relative_error
from spectrain.models.low_rank.truth import random_matrix, small_start
from spectrain.probes.curvature.block import Block
from spectrain.probes.records.record_file import load
from spectrain.theory.low_rank.problem import LowRankProblem
from spectrain.theory.low_rank.stages import Start
from spectrain.training.run import run
from spectrain.training.systems import low_rank_sweeps
from spectrain.training.systems.low_rank import LowRankConfig
from spectrain.training.systems.low_rank_phases import PhaseMeasure, StandingMeasure
from spectrain.training.systems.low_rank_sweeps import (
    Patience,
    final_errors,
    grid_errors,
    success_map,
)
from spectrain.training.systems.low_rank_system import FactorHessian
from spectrain.views.saddle_steps import saddle_steps

LAM = (1.0, 0.5)
CONFIG = LowRankConfig(
    size=24, eigenvalues=LAM, factors=3, measurements=480, scale=1e-5, steps=16, epochs=20,
    dtype="float64",
)  # fmt: skip


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("low-rank") / "run"
    run(CONFIG, folder)
    return load(folder).records


def numbers(records, name):
    return np.array([float(record.measured.quantity(name).values) for record in records])


def test_a_run_goes_through_its_phases(records):
    assert all(record.failures == () for record in records)
    phases = numbers(records, "phase")
    assert phases[0] == 1
    assert set(phases) == {1, 2, 3}
    assert (np.diff(phases) >= 0).all()
    unlearned = numbers(records, "unlearned")
    assert (unlearned[0], unlearned[-1]) == (2, 0)
    assert numbers(records, "test_error")[-1] < 0.02


def test_rho_is_minus_the_lowest_eigenvalue(records):
    """To 1e-5 until the residual is as small as the noise."""
    lowest = np.array([record.measured.spectra[0].bottom[0].value for record in records])
    rho = numbers(records, "rho")
    seen = rho > 1e-3
    assert seen.sum() > 10
    assert -lowest[seen] == pytest.approx(rho[seen], rel=1e-4)


def test_the_forecast_follows(records):
    """Strengths within a quarter on a logarithmic scale of ten decades, rho on its plateaus."""
    for record in records:
        measured = record.measured.quantity("strengths").values
        forecast = record.forecast.quantity("strengths").values
        if record.step >= 32:
            assert np.abs(np.log(measured / forecast)).max() < 1.2
    for step in saddle_steps(records):
        (record,) = [each for each in records if each.step == step.step]
        told = float(record.forecast.quantity("rho").values)
        assert told == pytest.approx(float(record.measured.quantity("rho").values), rel=0.12)


def test_saddles_are_certified(records):
    """Two of them: small gradient, and as many negative eigenvalues as directions times columns."""
    first, second = saddle_steps(records)
    assert (first.unlearned, first.expected, first.counted) == (2, 6, 6)
    assert (second.unlearned, second.expected, second.counted) == (1, 2, 2)
    assert first.step == 0
    assert max(first.stationarity, second.stationarity) < 0.1
    assert numbers(records, "stationarity").max() > 3 * second.stationarity


def test_leaving_directions_are_transitions(records):
    found = [each for record in records for each in record.transitions]
    assert [(each.kind, each.side, each.before, each.after) for each in found] == [
        ("disappears", "bottom", 6, 2),
        ("disappears", "bottom", 2, 0),
    ]


def test_the_hessian_is_that_of_automatic_differentiation():
    from spectrain.probes.curvature.matrix import Hessian

    system = LowRankConfig.small().build(torch.Generator().manual_seed(0))
    with torch.no_grad():
        system.model.u.normal_(generator=torch.manual_seed(1))
    parts = system.model, system.loss, system.sample, system.blocks[0]
    own, other = (matrix.operator(*parts).dense() for matrix in (FactorHessian(), Hessian()))
    torch.testing.assert_close(own, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("operator", ["structured", "entries", "block"])
def test_every_operator_is_trained_and_probed(operator, tmp_path):
    config = replace(CONFIG, operator=operator, measurements=240, epochs=8, steps=60)
    found = run(replace(config, probe=replace(config.probe, every=8)), tmp_path / "run").records
    last = found[-1]
    assert last.failures == ()
    assert (last.forecast is not None) == (operator == "structured")
    assert {"rho", "phase", "strengths", "test_error"} <= {
        quantity.name for quantity in last.measured.quantities
    }
    errors = numbers(found, "test_error")
    assert errors[-1] < 0.1 * errors[0]


class StopError(Exception):
    """What interrupts a run."""


class Interruption:
    """Ends a training after its second epoch."""

    def on_train_start(self, step, epoch):
        pass

    def on_step_end(self, step, epoch):
        pass

    def on_epoch_end(self, step, epoch):
        if epoch == 2:
            raise StopError

    def on_train_end(self, step, epoch):
        pass


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    config = replace(LowRankConfig.small(), epochs=4)
    whole = run(config, tmp_path / "whole").records
    with pytest.raises(StopError):
        run(config, tmp_path / "parts", callbacks=[Interruption()])
    resumed = run(config, tmp_path / "parts", resume=True).records
    for one, other in zip(whole, resumed, strict=True):
        for part in ("measured", "forecast"):
            for quantity in getattr(one, part).quantities:
                again = getattr(other, part).quantity(quantity.name)
                assert np.array_equal(quantity.values, again.values), quantity.name


def test_runs_side_by_side_are_each_of_them(tmp_path):
    first = replace(LowRankConfig.small(), epochs=2, steps=5)
    others = [first, replace(first, scale=1e-2), replace(first, learning_rate=0.05)]
    system = first.build(torch.Generator())
    loss, error = system.runs(others, [5, 10])
    for place, config in enumerate(others):
        records = run(config, tmp_path / str(place)).records
        assert loss.values[place] == pytest.approx(numbers(records, "loss")[1:], rel=1e-9)
        assert error.values[place] == pytest.approx(numbers(records, "test_error")[1:], rel=1e-9)
    with pytest.raises(ValueError, match="factors: expected the same in all runs, got 3 and 2"):
        system.runs([first, replace(first, factors=2)], [1])


def test_success_needs_measurements_and_a_small_scale():
    """Nothing below the degrees of freedom; above uniqueness what is small enough."""
    ticks = []
    found = success_map(
        10, (1.0,), 10, ([8, 60], [1e-4, 0.3]), 2, Patience(250, 0.02), tick=lambda: ticks.append(1)
    )
    assert found.shares.shape == (2, 2)
    assert (found.shares[0] == 0).all()
    assert found.shares[1, 0] == 1
    assert len(ticks) == 8


def test_an_error_rests_where_the_noise_left_it():
    problem = LowRankProblem(20, (1.0,), 150)
    errors = final_errors(problem, 20, (1e-2, 1e-4), 0.1, [0], Patience(600))[0]
    assert errors[1] < 0.05 * errors[0] < 0.01


def test_descents_of_a_grid_are_each_of_them(monkeypatch):
    """On the first m rows of the operator alone, whenever the others begin and are over."""
    monkeypatch.setattr(low_rank_sweeps, "_ABREAST", 5)
    problem, counts, scales = LowRankProblem(12, (1.0,), 60), (20, 60, 45), (1e-6, 1e-2, 0.3)
    patience = Patience(400, 0.02)
    together = grid_errors(problem, 12, (counts, scales), 0.1, 3, patience)
    assert (together <= 0.02).any()
    assert (together > 0.02).any()
    source = torch.Generator().manual_seed(3)
    truth = random_matrix(12, (1.0,), source)
    whole = GaussianMeasurements(12, 60, source)
    start = small_start(12, 12, 1.0, source)
    for row, m in enumerate(counts):
        own = copy(whole)
        own.count, own.matrix = m, whole.matrix[:m] * (60 / m) ** 0.5
        for column, scale in enumerate(scales):
            error = _alone(own, truth, scale * start, patience)
            assert together[row, column] == pytest.approx(error, rel=1e-9)


def _alone(measurements, truth, point, patience):
    problem = LowRankProblem(12, (1.0,), measurements.count)
    earliest = patience.earliest(problem, Start(12, float(point.norm() / 12**0.5), 0.1))
    outcomes, steps, now = measurements.forward(truth.matrix), 0, np.inf
    while True:
        point = descend(measurements, outcomes, point, 0.1, patience.look)
        steps, before = steps + patience.look, now
        now = float(relative_error(point, truth.matrix))
        if patience.over(steps, earliest, before, now):
            return now


def test_other_models_are_refused():
    other = torch.nn.Linear(1, 1)
    for refused in (
        lambda: FactorHessian().operator(other, None, None, Block("all")),
        lambda: PhaseMeasure(None, None)(other, None, None, None),
        lambda: StandingMeasure(None)(other, None, None, None),
    ):
        with pytest.raises(ValueError, match="expected a FactorisedMatrix, got Linear"):
            refused()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 1}, "size: expected at least 2, got 1"),
        ({"eigenvalues": ()}, "eigenvalues: expected 1 to 39 of them, got 0"),
        ({"eigenvalues": (1.0, -1.0)}, r"eigenvalues: expected a positive number, got -1\.0"),
        ({"factors": 2}, r"factors: expected 3 \(the number of eigenvalues\) to 40 .*, got 2"),
        ({"measurements": 0}, "measurements: expected a positive number, got 0"),
        ({"scale": 0.0}, r"scale: expected a positive number, got 0\.0"),
        ({"learning_rate": -1.0}, r"learning_rate: expected a positive number, got -1\.0"),
        ({"steps": 0}, "steps: expected a positive number, got 0"),
    ],
)
def test_bad_configurations_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        LowRankConfig(**change)


def test_more_rows_than_coordinates_are_refused_as_it_is_built():
    config = LowRankConfig(operator="structured", measurements=821)
    with pytest.raises(ValueError, match="measurements: expected at most the 820 coordinates"):
        config.build(torch.Generator())
