import gc
import math
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import (
    CovarianceOperator,
    GaussNewtonOperator,
    HessianOperator,
    InformationOperator,
)

OPERATORS = [HessianOperator, GaussNewtonOperator, InformationOperator, CovarianceOperator]
EVERY = Block("all")


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3), nn.GELU()
    ).to(dtype)


def batch(dtype=torch.float64, size=11):
    g = torch.Generator().manual_seed(2)
    return torch.randn(size, 4, dtype=dtype, generator=g), torch.randint(3, (size,), generator=g)


def dense(operator):
    return operator @ torch.eye(operator.size, dtype=operator.dtype)


@pytest.mark.parametrize("kind", OPERATORS)
def test_rows_are_a_principal_submatrix(kind):
    model, data = network(), batch()
    loss = functional.cross_entropy
    whole = dense(kind(model, loss, data, Block("layer", ("0.weight",))))
    part = dense(kind(model, loss, data, Block("units", ("0.weight",), (3, 1))))
    index = torch.arange(20).view(5, 4)[[3, 1]].flatten()
    torch.testing.assert_close(part, whole[index][:, index], atol=1e-15, rtol=1e-12)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3, dtype=torch.float64))

    def forward(self, left, right):
        return {"logit": torch.tanh((left * right) @ self.weight.T)}


def squares(outputs, targets):
    return (outputs["logit"] - targets).square().sum(-1).mean()


@pytest.mark.parametrize("kind", OPERATORS)
def test_inputs_by_position_and_by_name(kind):
    g = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 9, 3, dtype=torch.float64, generator=g)
    targets = torch.randn(9, 2, dtype=torch.float64, generator=g)
    positional = dense(kind(TwoInputs(), squares, ((left, right), targets), EVERY))
    named = dense(kind(TwoInputs(), squares, ({"right": right, "left": left}, targets), EVERY))
    assert torch.equal(positional, named)
    assert positional.abs().max() > 0.1


def test_attention_is_differentiated_twice():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True, dtype=torch.float64)
    inputs = torch.randn(3, 4, 8, dtype=torch.float64)

    def loss(outputs, targets):
        return (outputs - targets).square().mean()

    operator = HessianOperator(layer, loss, (inputs, 0 * inputs), EVERY)
    panel = torch.randn(operator.size, 2, dtype=torch.float64)
    products = panel.T @ (operator @ panel)
    torch.testing.assert_close(products, products.T)


def test_frozen_parameters_are_left_out():
    model = network()
    model[0].requires_grad_(False)
    assert HessianOperator(model, functional.cross_entropy, batch(), EVERY).size == 18


@pytest.mark.parametrize("kind", OPERATORS)
def test_products_do_not_depend_on_the_callers_grad_mode(kind):
    operator = kind(network(), functional.cross_entropy, batch(), EVERY)
    expected = dense(operator)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert torch.equal(dense(operator), expected)


def test_inference_tensors():
    model, (inputs, targets) = network(), batch()
    expected = dense(HessianOperator(model, functional.cross_entropy, (inputs, targets), EVERY))
    with torch.inference_mode():
        made = inputs.clone(), targets.clone()
        operator = HessianOperator(model, functional.cross_entropy, made, EVERY)
    torch.testing.assert_close(dense(operator), expected)


@pytest.mark.parametrize("kind", OPERATORS)
def test_loss_that_is_not_finite(kind):
    inputs, targets = batch()
    inputs[0, 0] = math.nan
    with pytest.raises(ValueError, match="loss: expected a finite number, got nan"):
        kind(network(), functional.cross_entropy, (inputs, targets), EVERY)


@pytest.mark.parametrize("kind", OPERATORS)
def test_loss_of_many_numbers(kind):
    def loss(outputs, targets):
        return functional.cross_entropy(outputs, targets, reduction="none")

    with pytest.raises(
        ValueError, match=r"loss: expected a tensor of shape \(\), got shape \(11,\)"
    ):
        kind(network(), loss, batch(), EVERY)


@pytest.mark.parametrize("kind", OPERATORS)
def test_loss_that_ignores_the_block(kind):
    model = network()
    model.spare = nn.Linear(2, 2, dtype=torch.float64)
    model.forward = lambda x: model[3](model[0](x))
    with pytest.raises(ValueError, match="depends on the parameters of block 'spare'"):
        kind(model, functional.cross_entropy, batch(), Block("spare", ("spare.weight",)))


@pytest.mark.parametrize("kind", OPERATORS)
def test_detached_loss(kind):
    def loss(outputs, targets):
        return functional.cross_entropy(outputs.detach(), targets)

    with pytest.raises(ValueError, match="loss: expected one that depends"):
        kind(network(), loss, batch(), EVERY)


def test_loss_without_second_derivative():
    model = nn.Linear(4, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="loss: expected a second derivative in block 'all'"):
        HessianOperator(model, lambda outputs, _: outputs.mean(), batch(), EVERY)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


def test_operation_that_is_differentiable_once_only():
    model = nn.Linear(4, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="loss: expected a second derivative"):
        HessianOperator(model, lambda outputs, _: Once.apply(outputs).mean(), batch(), EVERY)


def test_gauss_newton_of_a_loss_that_is_linear_in_the_outputs():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).double()
    with pytest.raises(ValueError, match="loss: expected a second derivative in the outputs"):
        GaussNewtonOperator(model, lambda outputs, _: outputs.mean(), batch(), EVERY)


@pytest.mark.filterwarnings("ignore:no gradient of the loss reaches spare")
@pytest.mark.parametrize("kind", OPERATORS)
def test_unused_parameters_have_rows_of_zeros(kind):
    model = network()
    expected = dense(kind(model, functional.cross_entropy, batch(), EVERY))
    model.spare = nn.Linear(2, 2, dtype=torch.float64)
    model.forward = lambda x: model[4](model[3](model[2](model[1](model[0](x)))))
    for strategy in ("kept graph", "kept graph, vmap"):
        found = dense(kind(model, functional.cross_entropy, batch(), EVERY, strategy=strategy))
        torch.testing.assert_close(found[:-6, :-6], expected, rtol=1e-12, atol=1e-15)
        assert not found[-6:].any()
        assert not found[:, -6:].any()


class Routed(nn.Module):
    """Uses one of two layers, by the sign of the batch's first number."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3)])

    def forward(self, x):
        return self.experts[int(x[0, 0] > 0)](x)


@pytest.mark.parametrize("kind", OPERATORS)
def test_a_parameter_that_some_batches_do_not_use(kind):
    torch.manual_seed(0)
    model = Routed().double()
    inputs, targets = batch()
    batches = [(inputs.abs()[:5], targets[:5]), (-inputs.abs()[5:], targets[5:])]
    whole = dense(kind(model, functional.cross_entropy, batches, EVERY))
    for expert in ("0", "1"):
        block = Block("expert", (f"experts.{expert}.*",))
        part = dense(kind(model, functional.cross_entropy, batches, block))
        index = slice(0, 15) if expert == "0" else slice(15, 30)
        torch.testing.assert_close(part, whole[index, index], rtol=1e-12, atol=1e-15)
        assert part.abs().max() > 1e-3


@pytest.mark.parametrize("kind", OPERATORS)
def test_weights_that_are_not_finite(kind):
    model = network()
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="loss: expected a finite number, got nan"):
        kind(model, functional.cross_entropy, batch(), EVERY)
    assert model.training


@pytest.mark.parametrize("kind", OPERATORS)
def test_everything_frozen(kind):
    model = network().requires_grad_(False)
    with pytest.raises(ValueError, match="at least one parameter that requires a gradient"):
        kind(model, functional.cross_entropy, batch(), EVERY)


@pytest.mark.parametrize("kind", OPERATORS)
def test_hostile_data(kind):
    def made(data, **options):
        return kind(network(), functional.cross_entropy, data, EVERY, **options)

    inputs, targets = batch()
    with pytest.raises(ValueError, match="data: expected at least one batch, got none"):
        made([])
    with pytest.raises(ValueError, match="got an iterator"):
        made(iter([(inputs, targets)]))
    with pytest.raises(ValueError, match="data: expected tensors on cpu like the model"):
        made((inputs.to("meta"), targets))
    with pytest.raises(ValueError, match="at least one sample"):
        made((inputs[:0], targets[:0]))
    with pytest.raises(ValueError, match="batch_size"):
        made((inputs, targets[:-1]))


@pytest.mark.parametrize("kind", OPERATORS)
def test_options_out_of_range(kind):
    def made(**options):
        return kind(network(), functional.cross_entropy, batch(), EVERY, **options)

    with pytest.raises(ValueError, match=r"reduction: expected 'mean' or 'sum', got 'none'"):
        made(reduction="none")
    with pytest.raises(ValueError, match=r"strategy: expected one of .*, got 'fast'"):
        made(strategy="fast")
    with pytest.raises(ValueError, match="memory: expected a positive number of bytes, got 0"):
        made(memory=0)


class Growing(list):
    """Another batch on each pass."""

    def __iter__(self):
        self.append(batch())
        return super().__iter__()


class Changing(list):
    """Other numbers on each pass."""

    def __iter__(self):
        self[0][0].mul_(1.5)
        return super().__iter__()


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize(
    ("data", "message"),
    [(Growing, "11 samples on every pass, got 22"), (Changing, "the same samples")],
)
def test_data_that_change_between_passes(kind, data, message):
    given = data([] if data is Growing else [batch()])

    def product():  # the covariance's mean is a pass of its own
        operator = kind(network(), functional.cross_entropy, given, EVERY, strategy="rebuilt graph")
        return operator @ torch.zeros(operator.size, 1, dtype=torch.float64)

    with pytest.raises(ValueError, match=f"data: expected {message}"):
        product()


@pytest.mark.parametrize("strategy", ["kept graph", "rebuilt graph"])
@pytest.mark.parametrize("kind", OPERATORS)
def test_parameters_that_have_changed(kind, strategy):
    model = network()
    operator = kind(model, functional.cross_entropy, batch(), EVERY, strategy=strategy)
    with torch.no_grad():
        model[0].bias.add_(1)
    with pytest.raises(ValueError, match="model: expected the parameters of the operator's"):
        operator @ torch.zeros(operator.size, 1, dtype=torch.float64)


class Counting(nn.Module):
    """Writes into a buffer at every forward pass, in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3, dtype=torch.float64)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.layer(x)


@pytest.mark.parametrize(
    "options", [{"strategy": "kept graph"}, {"strategy": "rebuilt graph"}, {"memory": 1}]
)
@pytest.mark.parametrize("kind", OPERATORS)
def test_buffers_are_not_written_to(kind, options):
    model = Counting()
    dense(kind(model, functional.cross_entropy, batch(), EVERY, **options))
    assert model.calls == 0


@pytest.mark.parametrize("kind", OPERATORS)
def test_products_do_not_depend_on_autocast(kind):
    model, (inputs, targets) = network(torch.float32), batch(torch.float32)
    operator = kind(model, functional.cross_entropy, (inputs, targets), EVERY)
    expected = dense(operator)
    with torch.autocast("cpu", torch.bfloat16):
        inside = kind(model, functional.cross_entropy, (inputs, targets), EVERY)
        assert torch.equal(dense(operator), expected)
        assert torch.equal(dense(inside), expected)


@pytest.mark.parametrize("strategy", ["kept graph", "rebuilt graph, vmap"])
def test_memory_follows_samples_and_parameters_not_their_product(strategy):
    """A thousand samples and 40000 parameters: G alone would take 320 MB in float64."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(200, 200), nn.Tanh(), nn.Linear(200, 3)).double()
    data = torch.randn(1000, 200, dtype=torch.float64), torch.randint(3, (1000,))
    operator = CovarianceOperator(model, functional.cross_entropy, data, EVERY, strategy=strategy)
    panel = torch.zeros(operator.size, 1, dtype=torch.float64)
    with torch.profiler.profile(profile_memory=True) as profile:
        operator @ panel
    assert max(event.cpu_memory_usage for event in profile.events()) < 20e6


def test_operators_leave_no_memory_behind():
    """No cycle keeps a graph once its operator is gone."""
    model, alive = network(), []
    enabled = gc.isenabled()
    gc.disable()
    try:
        for kind in OPERATORS:
            operator = kind(model, functional.cross_entropy, batch(), EVERY)
            dense(operator)
            alive.append(weakref.ref(operator))
            del operator
        assert [reference() for reference in alive] == [None] * 4
    finally:
        if enabled:
            gc.enable()


def test_information_of_a_sum_is_refused():
    def loss(outputs, targets):
        return functional.cross_entropy(outputs, targets, reduction="sum")

    with pytest.raises(ValueError, match="loss: expected the mean over samples"):
        InformationOperator(network(), loss, batch(), EVERY)


def test_information_of_a_loss_that_cannot_be_taken_apart():
    def loss(outputs, targets):
        return functional.cross_entropy(outputs, targets) / max(
            1, targets.numel() // len(targets.tolist())
        )

    with pytest.raises(ValueError, match="vmap"):
        InformationOperator(network(), loss, batch(), EVERY)


def test_half_precision_is_refused():
    with pytest.raises(ValueError, match="float32 or float64"):
        HessianOperator(
            network(torch.bfloat16), functional.cross_entropy, batch(torch.bfloat16), EVERY
        )


def test_empty_block():
    with pytest.raises(ValueError, match="requires a gradient"):
        HessianOperator(nn.Tanh(), functional.cross_entropy, batch(), EVERY)
