"""Phase retrieval as it is trained from the command line, its figures and its module."""

import numpy as np
import pytest
import torch

from spectrain.figures.catalogue import drawings_of_run, report_texts
from spectrain.figures.phase_retrieval import Scale, figures_at
from spectrain.models.phase_retrieval.loss import PhaseLoss
from spectrain.models.phase_retrieval.model import Measurements, PhaseRetrieval
from spectrain.models.phase_retrieval.recovery import final_overlaps
from spectrain.theory.phase_retrieval.phase_theory import PhaseTheory
from spectrain.training.run import run
from spectrain.training.systems.phase_retrieval import PhaseRetrievalConfig

SMALL = PhaseRetrievalConfig(dimension=60, epochs=2, dtype="float64", steps=3, initial_overlap=0.2)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return run(SMALL, tmp_path_factory.mktemp("phase") / "run")


def test_a_run_has_measured_and_predicted_spectra(short):
    assert [record.step for record in short.records] == [0, 3, 6]
    for record in short.records:
        assert record.failures == ()
        (measured,), (predicted,) = record.measured.spectra, record.predicted.spectra
        assert measured.matrix == predicted.matrix == "sphere-hessian"
        assert measured.size == predicted.size == 59
        assert predicted.bulk.lower.detection < predicted.bulk.lower.value
        flag = float(record.predicted.quantity("plug_in_biased").values)
        assert flag == (abs(float(record.measured.quantity("overlap").values)) > 0.3)
    first = short.records[0]
    assert float(first.measured.quantity("overlap").values) == pytest.approx(0.2)
    assert first.measured.spectra[0].bottom[0].value == pytest.approx(
        first.predicted.spectra[0].bulk.lower.value, abs=0.4
    )
    assert short.records[-1].time == pytest.approx(0.6)


def test_the_multiplier_is_that_of_the_sphere_hessian(short):
    """Both add -w.grad / |w|^2 to the projected Hessian: its trace says so."""
    system = SMALL.build(torch.Generator().manual_seed(3))
    sensing, y = system.sample
    w = system.model.w.detach()
    loss = PhaseLoss(1.0)
    z = sensing @ w
    hessian = (sensing.mT * loss.curvature(z, y)) @ sensing / len(z)
    statistics = system.theory.statistics(system.model, system.sample)
    (matrix,), (block,) = system.matrices, system.blocks
    operator = matrix.operator(system.model, system.loss, system.sample, block)
    expected = hessian.trace() - w @ hessian @ w + 59 * statistics.multiplier
    assert float(operator.dense().trace()) == pytest.approx(float(expected), rel=1e-10)
    restored = system.theory.restore(statistics.quantities())
    assert restored.multiplier == statistics.multiplier
    assert system.theory.predict(restored, ()).spectra == ()


@pytest.mark.parametrize("offset", [None, 0.5])
def test_derivatives_of_the_loss(offset):
    loss = PhaseLoss(offset)
    y = torch.tensor([0.0, 0.3, 2.0], dtype=torch.float64)
    z = torch.tensor([0.7, -1.1, 0.2], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss.value(z, y).sum(), z, create_graph=True)
    torch.testing.assert_close(slope, loss.slope(z, y))
    (curvature,) = torch.autograd.grad(slope.sum(), z)
    torch.testing.assert_close(curvature, loss.curvature(z, y))


def test_many_samples_recover_the_signal_and_few_do_not():
    source = torch.Generator().manual_seed(0)
    many = final_overlaps(PhaseLoss(1.0), 10, 300, 8, 0.1, 400, source)
    few = final_overlaps(PhaseLoss(1.0), 40, 20, 8, 0.1, 400, source)
    assert (many > 0.99).all()
    assert (few < 0.99).all()
    with pytest.raises(ValueError, match="samples: expected at least 1, got 0"):
        final_overlaps(PhaseLoss(1.0), 10, 0, 8, 0.1, 400, source)


def test_figures(short):
    names = drawings_of_run(short, ["phase-retrieval-lowest"])
    figure = names["phase-retrieval-lowest"](2)
    labels = {line.get_label() for axes in figure.axes for line in axes.lines}
    assert "measured law of projections" in labels
    assert "along the descent" not in labels
    assert "plug_in_biased" in report_texts(short)[0]
    (recovery,) = figures_at(Scale((6, 8), 2, 2, 3))
    (axes,) = recovery.draw(2).axes
    heights = np.concatenate([bar.lines[0].get_ydata() for bar in axes.containers])
    assert ((heights >= 0) & (heights <= 1)).all()
    assert len(heights) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimension": 1}, "dimension: expected at least 2, got 1"),
        ({"samples_per_dimension": 0.0}, "samples_per_dimension: expected a positive number"),
        ({"samples_per_dimension": 0.001}, "samples_per_dimension: expected at least one sample"),
        ({"loss": "cubic"}, "loss: expected"),
        ({"offset": -1.0}, r"offset: expected a positive number, got -1\.0"),
        ({"initial_overlap": 1.5}, "initial_overlap: expected a number from -1 to 1 or null"),
        ({"learning_rate": 0.0}, "learning_rate: expected a positive number"),
        ({"steps": 0}, "steps: expected a positive number, got 0"),
    ],
)
def test_bad_configurations_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        PhaseRetrievalConfig(**change)


def test_bad_arguments_are_named():
    source = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="samples: expected at least 1, got 0"):
        Measurements.drawn(5, 0, source)
    with pytest.raises(ValueError, match=r"start: expected .* of length 1"):
        PhaseRetrieval(torch.ones(5))
    theory = PhaseTheory(PhaseLoss(), torch.ones(4) / 2)
    with pytest.raises(ValueError, match="model: expected a PhaseRetrieval of dimension 4"):
        theory.attach(torch.nn.Linear(4, 1))
