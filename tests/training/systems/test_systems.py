from dataclasses import replace

import pytest
import torch

from spectrain.models.heads import gradient_factors
from spectrain.training.systems import SYSTEMS, TwoLayerMixtureConfig
from spectrain.training.systems.mixture_config import MixtureConfig, MixtureTrainingConfig


def build(config, seed=0):
    return config.build(torch.Generator().manual_seed(seed))


MIXTURES = [each for each in SYSTEMS.values() if issubclass(each, MixtureTrainingConfig)]
SMALL = [system(dimension=20, dtype="float64") for system in MIXTURES]
SOFTMAX, LOGISTIC, XOR = SMALL
CLASSES = replace(
    XOR,
    loss="softmax",
    second_layer=((1.0, 0.5), (-1.0, 0.5), (0.0, -1.0)),
    hidden_bias=(0.1, -0.1),
    output_bias=(0.0, 0.2, -0.2),
    second_layer_rate=0.5,
    mixture=replace(XOR.mixture, labels=(0, 1, 2, 2)),
    start=(),
)
SQUARED = replace(XOR, loss="squared", output_bias=(0.1,))
EVERY = pytest.mark.parametrize("config", [*SMALL, CLASSES, SQUARED])


@EVERY
def test_the_loss_is_the_criterion_of_the_head(config):
    system = build(config)
    inputs, targets = system.probe_sample(torch.Generator().manual_seed(1))
    outputs = system.model(inputs)
    expected = system.model.head.criterion(outputs, targets)
    torch.testing.assert_close(system.loss(outputs, targets), expected, rtol=1e-14, atol=1e-14)


@EVERY
def test_its_gradient_is_that_of_the_factors(config):
    """grad_x = mean over samples of (d ell / dh) Y^T."""
    system = build(config)
    model = system.model
    inputs, targets = system.probe_sample(torch.Generator().manual_seed(1))
    system.loss(model(inputs), targets).backward()
    parts = [model.get_parameter(name).flatten() for name in model.head_parameter_names]
    v = torch.cat([torch.zeros(0, dtype=torch.float64), *parts])
    g_h, _ = gradient_factors(model.head, inputs @ model.weight.T, v, targets)
    expected = g_h.T @ inputs / len(inputs)
    torch.testing.assert_close(model.weight.grad, expected, rtol=1e-12, atol=1e-14)


def test_there_is_a_block_for_each_class():
    system = build(SOFTMAX)
    assert [block.name for block in system.blocks] == ["class 0", "class 1", "class 2"]
    assert [block.rows for block in system.blocks] == [(0,), (1,), (2,)]


def test_there_is_a_block_for_each_unit_and_rarely_one_for_all():
    system = build(XOR)
    assert [block.name for block in system.blocks] == [f"unit {unit}" for unit in range(4)]
    assert [block.name for block in system.rare_blocks] == ["first layer"]
    assert system.rare_blocks[0].resolve(system.model).keys() == {"weight"}


def test_logistic_regression_has_one_block():
    system = build(LOGISTIC)
    assert [(block.name, block.rows) for block in system.blocks] == [("direction", (0,))]
    assert [each.name for each in system.theory.directions] == ["x0", "mu0", "mu1"]


def test_second_layer_and_biases_have_their_own_rate():
    system = build(CLASSES)
    first, *others = (group["lr"] for group in system.optimiser.param_groups)
    assert len(others) == len(("second_layer", "hidden_bias", "output_bias"))
    assert others == [0.5 * first] * 3
    assert first == CLASSES.learning_rate
    assert system.model.head.outputs == 3
    assert [block.name for block in system.blocks] == ["unit 0", "unit 1"]
    assert build(SQUARED).model.head_parameter_names == ("second_layer", "output_bias")


def test_initial_directions_have_the_scale_asked_for():
    """|x_a|^2 = scale^2 chi^2_d / d, which deviates by scale^2 sqrt(2/d)."""
    d = 4000
    for config in MIXTURES:
        weight = build(config(dimension=d, scale=0.7, start=())).model.weight
        assert (weight.square().sum(1) - 0.49).abs().max() < 5 * 0.49 * (2 / d) ** 0.5


def test_initial_directions_lean_the_way_asked_for():
    start = ((0.5, 0.0), (0.0, -0.5), (1.0, 1.0), (0.0, 0.0))
    weight = build(TwoLayerMixtureConfig(dimension=30, scale=0.0, start=start)).model.weight
    assert torch.equal(weight[:, :2].double(), torch.tensor(start, dtype=torch.float64))
    assert not weight[:, 2:].any()
    with pytest.raises(ValueError, match="start: expected 4 rows"):
        build(TwoLayerMixtureConfig(dimension=30, start=start[:3]))


def test_means_labels_and_activation_are_data():
    """Three pairs of opposite means and another activation need no code."""
    rows = tuple(
        tuple(sign * float(i == j) for j in range(3)) for i in range(3) for sign in (1, -1)
    )
    mixture = MixtureConfig(rows, (1 / 6,) * 6, (0, 0, 1, 1, 0, 1), snr=2.0)
    config = replace(XOR, mixture=mixture, activation="tanh", second_layer=(1.0, -1.0), start=())
    system = build(config)
    assert system.theory.mixture.means.shape == (6, 20)
    assert system.model.head.activation == "tanh"
    assert len(system.blocks) == 2


def test_an_unknown_activation_is_refused_by_name():
    with pytest.raises(ValueError, match="activation: expected one of"):
        build(replace(XOR, activation="step"))
