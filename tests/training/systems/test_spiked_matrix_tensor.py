"""The spiked system as it is trained from the command line."""

import pytest
import torch

from spectrain.probes.records.record_file import load
from spectrain.training.run import run
from spectrain.training.systems.spiked_matrix_tensor import SpikedMatrixTensorConfig

SMALL = SpikedMatrixTensorConfig(dimension=40, epochs=3, dtype="float64", steps=2)


def test_a_run_records_descent_law_and_naive_formula(tmp_path):
    run(SMALL, tmp_path / "run")
    records = load(tmp_path / "run").records
    assert [record.step for record in records] == [0, 2, 4, 6]
    for record in records:
        assert record.failures == ()
        assert record.measured.spectra[0].matrix == "sphere-hessian"
        assert record.measured.spectra[0].size == 39
        assert {"overlap", "multiplier", "energy", "gradient_norm", "loss"} <= {
            quantity.name for quantity in record.forecast.quantities
        }
        assert record.predicted.spectra[0].bulk is not None
    assert records[-1].time == pytest.approx(6 * SMALL.learning_rate)
    overlaps = [float(record.measured.quantity("overlap").values) for record in records]
    assert overlaps[0] == pytest.approx(0.2)
    assert overlaps[-1] > overlaps[0]


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


def test_langevin_dynamics_resumes_bit_for_bit(tmp_path):
    """The noise of the optimiser is part of the checkpoint."""
    hot = SpikedMatrixTensorConfig(dimension=30, epochs=4, temperature=0.2)
    whole = run(hot, tmp_path / "whole").records
    assert whole[-1].forecast.spectra == ()
    with pytest.raises(StopError):
        run(hot, tmp_path / "parts", callbacks=[Interruption()])
    resumed = run(hot, tmp_path / "parts", resume=True).records
    assert [record.step for record in resumed] == [0, 1, 2, 3, 4]
    for one, other in zip(whole, resumed, strict=True):
        for quantity in one.measured.quantities:
            assert quantity.values == other.measured.quantity(quantity.name).values


def test_the_formed_hessian_is_of_spiked_models_alone():
    from spectrain.probes.curvature.block import Block
    from spectrain.training.systems.spiked_system import LandscapeHessian

    with pytest.raises(ValueError, match="module: expected a SpikedModel, got Linear"):
        LandscapeHessian().operator(torch.nn.Linear(1, 1), None, None, Block("all"))
    assert LandscapeHessian().kind.name == "hessian"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimension": 1}, "dimension: expected at least 2, got 1"),
        ({"matrix_noise": None, "tensor_noise": None}, "expected at least one, got None for both"),
        ({"tensor_noise": 0.0}, r"tensor_noise: expected a positive number or None, got 0\.0"),
        ({"order": 2}, "order: expected an integer of at least 3, got 2"),
        ({"initial_overlap": 1.5}, r"initial_overlap: expected a number from -1 to 1, got 1\.5"),
        ({"learning_rate": 0.0}, "learning_rate: expected a positive number"),
        ({"temperature": -1.0}, r"temperature: expected at least 0, got -1\.0"),
        ({"steps": 0}, "steps: expected a positive number, got 0"),
    ],
)
def test_bad_configurations_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        SpikedMatrixTensorConfig(**change)
