import pytest
import torch

from spectrain.models.heads import HeadModel, LogisticHead
from spectrain.models.logistic_regression import LogisticRegression
from spectrain.models.softmax_regression import SoftmaxRegression
from spectrain.models.two_layer import TwoLayerNetwork


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def softmax(dimension=6, rows=2, **options):
    return SoftmaxRegression(dimension, rows, **options)


def two_layer(dimension=6, rows=2, **options):
    return TwoLayerNetwork(dimension, (1.0,) * rows, **options)


both = pytest.mark.parametrize("build", [softmax, two_layer])


@both
def test_without_scale_and_start_the_directions_are_zero(build):
    assert torch.equal(build().weight, torch.zeros(2, 6))


@both
def test_start_fills_the_first_coordinates(build):
    model = build(start=((0.5, 1.0), (-1.0, 0.0)))
    expected = torch.tensor([[0.5, 1.0, 0, 0, 0, 0], [-1.0, 0, 0, 0, 0, 0]])
    assert torch.equal(model.weight, expected)


@both
def test_start_and_noise_add_up(build):
    start = ((0.5,), (-1.0,))
    noise = build(scale=0.3, generator=generator()).weight
    shift = build(start=start).weight
    both = build(scale=0.3, generator=generator(), start=start).weight
    torch.testing.assert_close(both, noise + shift)


@both
def test_rows_are_of_length_scale_and_nearly_orthogonal(build):
    """<x_a, x_c> = scale^2 (1[a=c] + O(sqrt(2/d)))."""
    d, rows = 20_000, 4
    weight = build(d, rows, scale=0.7, generator=generator(), dtype=torch.float64).weight
    deviation = weight @ weight.T / 0.49 - torch.eye(rows, dtype=torch.float64)
    assert deviation.abs().max() < 5 * (2 / d) ** 0.5


@both
def test_weights_depend_on_the_generator_alone(build):
    torch.manual_seed(5)
    first = build(scale=1.0, generator=generator(1)).weight
    torch.manual_seed(6)
    assert torch.equal(first, build(scale=1.0, generator=generator(1)).weight)
    assert not torch.equal(first, build(scale=1.0, generator=generator(2)).weight)


@both
def test_parameters_have_the_dtype_asked_for(build):
    model = build(dtype=torch.float64)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


def test_the_one_direction_of_logistic_regression():
    start, noise = ((1.0, 2.0),), {"scale": 0.5, "generator": generator()}
    model = LogisticRegression(6, start=start)
    assert model.weight.tolist() == [[1, 2, 0, 0, 0, 0]]
    assert model.head == LogisticHead()
    inputs = torch.randn(5, 6, generator=generator(1))
    torch.testing.assert_close(model(inputs), inputs[:, 0] + 2 * inputs[:, 1])
    assert torch.equal(
        LogisticRegression(6, **noise).weight,
        two_layer(rows=1, scale=0.5, generator=generator()).weight,
    )
    with pytest.raises(ValueError, match="start: expected 1 rows"):
        LogisticRegression(6, start=((1.0,), (2.0,)))


NETWORKS = {
    "one output": {"second_layer": (1.5, -1.5, 0.5)},
    "biases": {
        "second_layer": (1.5, -1.5, 0.5),
        "hidden_bias": (0.1, 0.2, 0.3),
        "output_bias": (-0.4,),
        "loss": "squared",
    },
    "classes": {
        "second_layer": ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)),
        "loss": "softmax",
        "output_bias": (0.7, -0.7),
    },
}


@pytest.mark.parametrize("options", NETWORKS.values(), ids=list(NETWORKS))
def test_head_parameters_flattened_in_order_are_v(options):
    """f = A act(W Y + b) + c, from the parameters themselves and from v."""
    model = TwoLayerNetwork(6, activation="tanh", scale=1.0, generator=generator(), **options)
    parts = [name for name in ("second_layer", "hidden_bias", "output_bias") if name in options]
    assert model.head_parameter_names == tuple(parts)
    assert [name for name, _ in model.named_parameters()] == ["weight", *parts]
    assert isinstance(model, HeadModel)
    for name in parts:
        torch.testing.assert_close(model.get_parameter(name), torch.tensor(options[name]))
    v = torch.cat([model.get_parameter(name).flatten() for name in parts])
    assert v.shape == (model.head.parameters,)
    inputs = torch.randn(5, 6, generator=generator(1))
    torch.testing.assert_close(model(inputs), model.head.output(inputs @ model.weight.T, v))
    b = torch.tensor(options.get("hidden_bias", 0.0))
    c = torch.tensor(options.get("output_bias", 0.0))
    units = torch.tanh(inputs @ model.weight.T + b)
    written = torch.einsum("nk,...k->n...", units, model.second_layer) + c
    torch.testing.assert_close(model(inputs), written)


def test_the_second_layer_is_as_given_and_trained():
    model = TwoLayerNetwork(6, (1.5, -1.5, 0.5))
    assert model.second_layer.tolist() == [1.5, -1.5, 0.5]
    assert model.head.directions == 3
    assert model.second_layer.requires_grad


@both
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": ((1.0,),)}, r"start: expected 2 rows of equal length.*got lengths \[1\]"),
        ({"start": ((1.0,), (1.0, 2.0))}, r"start: .*got lengths \[1, 2\]"),
        ({"start": ((0.0,) * 7,) * 2}, r"start: .*at most 6.*got lengths \[7, 7\]"),
        ({"scale": 0.3}, "scale: expected 0, or more with a generator, got 0.3"),
        ({"scale": -1.0, "generator": generator()}, "scale: .*got -1"),
    ],
)
def test_bad_input_is_refused_by_name(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@both
def test_a_scale_that_is_no_number_is_refused(build):
    with pytest.raises(ValueError, match=r"scale: .*nan"):
        build(scale=float("nan"), generator=generator())


def test_too_few_classes_or_units_are_refused():
    with pytest.raises(ValueError, match="classes: expected a whole number of at least 2, got 1"):
        softmax(rows=1)
    with pytest.raises(ValueError, match="directions: expected at least 1 hidden unit, got 0"):
        two_layer(rows=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"second_layer": ((1.0, 2.0),)}, "second_layer: expected one number for each unit"),
        ({"second_layer": (1.0,), "loss": "softmax"}, "second_layer: expected a row of equal"),
        (
            {"second_layer": ((1.0, 2.0), (1.0,)), "loss": "softmax"},
            "second_layer: expected a row of equal length for each class",
        ),
        ({"second_layer": ((1.0, 2.0),), "loss": "softmax"}, "outputs: .*2 classes.*got 1"),
        ({"second_layer": (1.0,), "hidden_bias": (1.0, 2.0)}, "hidden_bias: expected none or 1"),
        ({"second_layer": (1.0,), "output_bias": (1.0, 2.0)}, "output_bias: expected none or 1"),
        ({"second_layer": (1.0,), "loss": "hinge"}, "loss: expected one of"),
    ],
)
def test_networks_that_do_not_fit_together_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TwoLayerNetwork(6, **options)
