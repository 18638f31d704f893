"""The range of each number of an algorithm is checked once; whoever reads one names its key."""

import math

import pytest

from spectrain.answers.mixture.specification import read_dynamics
from spectrain.theory.mixture.sgd import SGD
from spectrain.training.systems.mixture_config import OptimiserConfig
from spectrain.training.systems.two_layer_mixture import TwoLayerMixtureConfig

PATH = {
    "head": {"kind": "softmax"},
    "directions": 2,
    "gram": [
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ],
    "weights": [0.5, 0.5],
    "labels": [0, 1],
    "snr": 2.0,
    "aspect_ratio": 3.0,
    "scaled_learning_rate": 0.5,
    "times": [1.0],
}


def refusal(make):
    with pytest.raises(ValueError, match=r": expected .*, got ") as refused:
        make()
    return str(refused.value)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, 1.5])
def test_momentum_is_refused_in_the_same_words_everywhere(momentum):
    words = refusal(lambda: SGD(0.5, momentum=momentum))
    assert words == f"momentum: expected 0 <= momentum < 1, got {momentum}"
    assert refusal(lambda: OptimiserConfig(momentum=momentum)) == f"optimiser.{words}"
    assert refusal(lambda: read_dynamics(PATH | {"momentum": momentum})) == words


@pytest.mark.parametrize(
    "wrong",
    [
        {"scaled_learning_rate": 0.0},
        {"scaled_learning_rate": math.nan},
        {"batch_size": 0},
        {"batch_size": math.nan},
        {"batch_size": math.inf},
        {"ridge": -1.0},
        {"ridge": math.inf},
        {"momentum": math.nan},
    ],
)
def test_an_optimiser_is_refused_as_its_algorithm_is(wrong):
    settings = {"scaled_learning_rate": 0.5} | wrong
    words = refusal(lambda: SGD(**settings))
    assert words.startswith(next(iter(wrong)))
    assert refusal(lambda: OptimiserConfig(**settings)) == f"optimiser.{words}"


def test_the_rate_of_a_second_layer_is_refused_as_the_algorithm_says():
    words = refusal(lambda: SGD(0.5, second_layer_rate=-1.0))
    assert refusal(lambda: TwoLayerMixtureConfig(second_layer_rate=-1.0)) == words


def test_a_schedule_out_of_order_is_refused_by_the_times_that_are():
    late = [[float(time), 1.0] for time in range(500)] + [[3.0, 1.0]]
    words = refusal(lambda: read_dynamics(PATH | {"schedule": late}))
    assert words == "schedule: expected increasing times >= 0, got 3.0 after 499.0"
    words = refusal(lambda: SGD(0.5, schedule=((-1.0, 1.0),)))
    assert words == "schedule: expected increasing times >= 0, got -1.0"
