import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, hessian, vmap
from torch.nn import functional

from spectrain.probes.block import Block
from spectrain.probes.module_curvature import HessianOperator, InformationOperator

# torch.func.hessian, the oracle, loads deprecated parts of torch.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

OPERATORS = [HessianOperator, InformationOperator]
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


def oracles(model, loss, inputs, targets, names):
    """Hessian and information matrix of the named parameters, formed entry by entry."""
    model = model.eval()
    chosen = {name: p.detach() for name, p in model.named_parameters() if name in names}

    def of_vector(vector, x, y):
        sizes = [p.numel() for p in chosen.values()]
        pieces = zip(chosen.items(), vector.split(sizes), strict=True)
        parameters = {name: piece.view_as(p) for (name, p), piece in pieces}
        return loss(functional_call(model, parameters, (x,)), y)

    vector = torch.cat([p.flatten() for p in chosen.values()])
    full = hessian(of_vector)(vector, inputs, targets)
    single = vmap(grad(of_vector), in_dims=(None, 0, 0))(vector, inputs[:, None], targets[:, None])
    return full, single.T @ single / len(single)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "names", [(), ("0.weight",), ("3.weight", "3.bias"), ("3.bias", "0.weight")]
)
def test_against_dense_oracles(dtype, names):
    model, data = network(dtype), batch(dtype)
    operators = [
        kind(model, functional.cross_entropy, data, Block("b", names)) for kind in OPERATORS
    ]
    order = names or tuple(dict(model.named_parameters()))
    expected = oracles(model, functional.cross_entropy, *data, sorted(order, key=order.index))
    if names == ("3.bias", "0.weight"):  # the oracle keeps the module's order
        turn = torch.cat([torch.arange(20, 23), torch.arange(20)])
        expected = tuple(matrix[turn][:, turn] for matrix in expected)
    for operator, exact in zip(operators, expected, strict=True):
        assert operator.batch == ()
        accuracy = 100 * torch.finfo(dtype).eps * exact.abs().max().item()
        torch.testing.assert_close(dense(operator), exact, atol=accuracy, rtol=0)


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
