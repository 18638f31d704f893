"""Classifiers of two clusters as they are trained from the command line, and their figures."""

import numpy as np
import pytest
import torch

from spectrain.figures.catalogue import drawings_of_run, report_texts
from spectrain.figures.flat_minima import Scale, figures_at
from spectrain.models.flat_minima.clusters import ClusterClassifier, ClusterLaw
from spectrain.models.flat_minima.losses import margin_loss
from spectrain.theory.flat_minima.flat_theory import FlatMinimaTheory
from spectrain.theory.flat_minima.ridge import Clusters
from spectrain.training.run import run
from spectrain.training.systems.flat_minima import FlatMinimaConfig

SMALL = FlatMinimaConfig(
    dimension=100,
    dtype="float64",
    epochs=2,
    steps=40,
    test_samples=500,
    perturbations=(0.0, 1.0),
    draws=4,
    fraction=0.6,
)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return run(SMALL, tmp_path_factory.mktemp("flat") / "run")


def test_a_run_measures_profiles_beside_their_predictions(short):
    first, *_, last = short.records
    assert all(record.failures == () for record in short.records)
    assert first.predicted.quantities == ()  # w = 0 decides nothing
    measured, predicted = (
        each.quantity("flatness_test_error") for each in (last.measured, last.predicted)
    )
    assert measured.axes == predicted.axes
    assert (np.abs(measured.values - predicted.values) <= 4 * measured.errors).all()
    forecast = last.forecast.quantity("flatness_train_error")
    train = last.measured.quantity("flatness_train_error")
    assert (np.abs(train.values - forecast.values) <= 5 * train.errors).all()
    assert last.measured.spectra[0].matrix == "hessian"


def test_gradient_descent_ends_at_the_minimiser():
    """The gradient of the training's loss vanishes where a solver says."""
    system = SMALL.build(torch.Generator().manual_seed(1))
    x, y = system.sample
    n, size = x.shape
    columns = torch.cat([x, torch.ones(n, 1, dtype=x.dtype)], 1)
    ridge = torch.diag(torch.tensor([size * SMALL.ridge] * size + [0.0], dtype=x.dtype))
    solved = torch.linalg.solve(columns.mT @ columns + ridge, columns.mT @ y)
    with torch.no_grad():
        system.model.weight.copy_(solved[:-1])
        system.model.bias.copy_(solved[-1])
    system.loss(system.model(x), y).backward()
    for parameter in system.model.parameters():
        torch.testing.assert_close(parameter.grad, torch.zeros_like(parameter), atol=1e-12, rtol=0)


@pytest.mark.parametrize("optimiser", ["entropy-sgd", "replicated-sgd"])
def test_other_optimisers_find_the_only_minimum_too(optimiser):
    config = FlatMinimaConfig(
        dimension=40, dtype="float64", optimiser=optimiser, ridge=2.0, learning_rate=0.15
    )
    system = config.build(torch.Generator().manual_seed(1))
    x, y = system.sample
    start = float(system.loss(system.model(x), y).detach())
    lowest = []
    for _ in range(150):

        def closure():
            system.optimiser.zero_grad()
            loss = system.loss(system.model(x), y)
            loss.backward()
            return loss

        system.optimiser.step(closure)
    lowest = system.loss(system.model(x), y)
    (gradient,) = torch.autograd.grad(lowest, system.model.weight)
    assert float(gradient.norm()) < 1e-6
    assert float(lowest.detach()) < start
    assert system.theory.end.overlap > 0


def test_a_loss_that_is_not_squared_has_no_forecast():
    system = FlatMinimaConfig(dimension=10, loss="hinge").build(torch.Generator())
    statistics = system.theory.statistics(system.model)
    assert system.theory.forecast(statistics, 3, ()) is None
    assert system.theory.restore(statistics.quantities()) == statistics


def test_losses_of_the_margin():
    """Of a wrong sample in the far field: quadratic, and 1 - t for hinge, -t for the logistic."""
    scores, labels = torch.tensor([50.0], dtype=torch.float64), -torch.ones(1).double()
    found = [float(margin_loss(name)(scores, labels)) for name in ("squared", "hinge")]
    assert found == pytest.approx([51**2 / 2, 51])
    assert float(margin_loss("cross-entropy")(scores, labels)) == pytest.approx(50)
    with pytest.raises(ValueError, match="loss: expected one of"):
        margin_loss("cubic")


def test_figures(short):
    figure = drawings_of_run(short, ["flatness-profiles"])["flatness-profiles"](2)
    labels = {line.get_label() for axes in figure.axes for line in axes.lines}
    assert {"from m, q, b as measured", "at the minimiser"} <= labels
    assert "perturbation" in report_texts(short)[0]
    (errors,) = figures_at(Scale(20, 2, 3, 2, 2))
    (axes,) = errors.draw(2).axes
    drawn = {bars.get_label(): bars for bars in axes.containers}
    points, _, bars = drawn["measured ± s.e., ridge"]
    assert len(points.get_xdata()) == 2
    assert len(bars) == 2
    assert np.diff(axes.lines[0].get_ydata()).max() < 0
    assert axes.lines[0].get_label() == "predicted, ridge"
    assert "measured ± s.e., Entropy-SGD" in drawn


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimension": 1}, "dimension: expected at least 2, got 1"),
        ({"noise": 0.0}, "noise: expected a positive number"),
        ({"ridge": -0.1}, r"ridge: expected at least 0, got -0\.1"),
        ({"fraction": 1.0}, "fraction: expected a number between 0 and 1, or null"),
        ({"samples_per_dimension": 0.001}, "samples_per_dimension: expected at least one sample"),
        ({"copies": 1}, "copies: expected at least 2, got 1"),
        ({"draws": 1}, "draws: expected at least 2, got 1"),
        ({"perturbations": (-1.0,)}, "perturbations: expected numbers of at least 0"),
    ],
)
def test_bad_configurations_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        FlatMinimaConfig(**change)


def test_bad_arguments_are_named():
    mean = torch.ones(4) / 2
    with pytest.raises(ValueError, match="noise: expected a positive number"):
        ClusterLaw(mean, 0.0)
    with pytest.raises(ValueError, match="fraction: expected a number between 0 and 1"):
        ClusterLaw(mean, 1.0, 0.0)
    with pytest.raises(ValueError, match="model: expected a ClusterClassifier of dimension 4"):
        FlatMinimaTheory(Clusters(1.0), mean, (1.0,)).attach(ClusterClassifier(3))
