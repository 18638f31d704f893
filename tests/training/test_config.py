from dataclasses import replace

import pytest
import torch
import yaml

from spectrain.training.config import ProbeConfig
from spectrain.training.systems import (
    SYSTEMS,
    LogisticMixtureConfig,
    SoftmaxMixtureConfig,
    TwoLayerMixtureConfig,
)
from spectrain.training.systems.mixture_config import (
    MixtureConfig,
    MixtureTrainingConfig,
    OptimiserConfig,
)


def mixture(**changed):
    settings = {"means": ((1.0, 0.0), (0.0, 1.0)), "weights": (0.5, 0.5), "labels": (0, 1)}
    return MixtureConfig(**(settings | {"snr": 1.0} | changed))


def test_means_are_padded_with_zeros():
    law = mixture(means=((1.0, 2.0), (3.0, 4.0))).build(5, torch.float64, "cpu")
    expected = torch.tensor([[1.0, 2, 0, 0, 0], [3, 4, 0, 0, 0]], dtype=torch.float64)
    assert torch.equal(law.means, expected)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"means": ((1.0,), (0.0, 1.0))}, r"mixture.means: .* lengths \[1, 2\]"),
        ({"means": ()}, "mixture.means"),
        ({"means": ((), ())}, "mixture.means"),
        ({"means": ((1.0,) * 6, (0.0,) * 6)}, "mixture.means: expected at most dimension = 5"),
        ({"weights": (0.5, 0.6)}, "weights: .* sum to 1"),
        ({"weights": (1.0,)}, "weights: expected 2"),
        ({"labels": (0, -1)}, "labels"),
        ({"snr": 0.0}, "snr: expected a positive number, got 0"),
    ],
)
def test_an_impossible_mixture_is_refused_by_name(changed, words):
    with pytest.raises(ValueError, match=words):
        mixture(**changed).build(5, torch.float32, "cpu")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SoftmaxMixtureConfig(dimension=0), "dimension"),
        (lambda: SoftmaxMixtureConfig(aspect_ratio=0.0), "aspect_ratio"),
        (
            lambda: SoftmaxMixtureConfig(aspect_ratio=1e-4),
            "aspect_ratio: .* 1 / dim",
        ),
        (lambda: SoftmaxMixtureConfig(time=float("nan")), "time"),
        (lambda: SoftmaxMixtureConfig(epochs=0), "epochs"),
        (lambda: SoftmaxMixtureConfig(training_samples=0), "training_samples"),
        (lambda: SoftmaxMixtureConfig(seed=-1), "seed"),
        (lambda: OptimiserConfig(scaled_learning_rate=-1.0), "optimiser.scaled_learning_rate"),
        (lambda: OptimiserConfig(batch_size=0), "optimiser.batch_size"),
        (lambda: OptimiserConfig(ridge=-1.0), "optimiser.ridge"),
        (lambda: OptimiserConfig(momentum=1.0), "optimiser.momentum"),
        (lambda: ProbeConfig(eigenvalues=0), "probe.eigenvalues"),
        (lambda: TwoLayerMixtureConfig(second_layer_rate=-1.0), "second_layer_rate"),
        (lambda: TwoLayerMixtureConfig(mixture=mixture(labels=(0, 2))), "mixture.labels"),
        (lambda: LogisticMixtureConfig(mixture=mixture(labels=(0, 2))), "mixture.labels"),
    ],
)
def test_values_out_of_range_are_refused_by_key(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    "config", [each() for each in SYSTEMS.values() if issubclass(each, MixtureTrainingConfig)]
)
def test_the_default_runs_last_until_their_time_in_30_epochs(config):
    steps = config.epochs * config.steps_per_epoch
    assert config.epochs == 30
    # Each epoch is rounded to a whole number of steps.
    rounding = config.epochs * config.learning_rate / 2
    assert abs(steps * config.learning_rate - config.time) <= rounding
    assert config.probe_samples == 4000


def test_an_epoch_of_the_softmax_run_has_four_thirds_d_steps():
    for dimension in (300, 1000, 3000):
        config = SoftmaxMixtureConfig(dimension=dimension)
        assert config.steps_per_epoch == round(4 * dimension / 3)


@pytest.mark.parametrize("system", SYSTEMS.values())
def test_a_configuration_survives_yaml(system):
    config = replace(system(), seed=5)
    content = config.to_dict()
    assert yaml.safe_load(yaml.safe_dump(content)) == content
    assert content["system"] == system.system
