import pytest
import torch
from torch import nn
from torch.func import grad, vmap
from torch.nn import functional

from spectrain.models.heads import (
    ACTIVATIONS,
    HeadModel,
    SoftmaxHead,
    TwoLayerHead,
    curvature_factors,
    gradient_factors,
    sample_losses,
)
from spectrain.models.softmax_regression import SoftmaxRegression
from spectrain.models.two_layer import TwoLayerNetwork

# Float64 to rounding: a few operations on numbers of order one.
EXACT = {"rtol": 1e-12, "atol": 1e-12}
NONE = torch.zeros(0, dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def labels(n, classes, seed=1):
    return torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def softmax():
    h, y = 2 * normal(40, 3), labels(40, 3)
    return SoftmaxHead(3), h, y, torch.softmax(h, -1)


@pytest.fixture(params=["gelu", "tanh", "softplus"])
def two_layer(request):
    return TwoLayerHead(4, request.param), normal(40, 4), normal(4, seed=3), labels(40, 2)


def test_softmax_loss_is_the_cross_entropy(softmax):
    head, h, y, _ = softmax
    torch.testing.assert_close(head.criterion(h, y), nn.CrossEntropyLoss()(h, y), **EXACT)
    each = functional.cross_entropy(h, y, reduction="none")
    torch.testing.assert_close(sample_losses(head, h, NONE, y), each, **EXACT)
    assert head.output(h, NONE) is h


def test_softmax_gradient_is_p_minus_one_hot(softmax):
    head, h, y, p = softmax
    g_h, g_v = gradient_factors(head, h, NONE, y)
    torch.testing.assert_close(g_h, p - functional.one_hot(y, 3), **EXACT)
    assert g_v.shape == (40, 0)


def test_softmax_curvature_is_diag_p_minus_p_p(softmax):
    head, h, y, p = softmax
    expected = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    torch.testing.assert_close(curvature_factors(head, h, NONE, y), expected, **EXACT)


def test_softmax_is_unchanged_by_a_shift_of_all_preactivations(softmax):
    head, h, y, _ = softmax
    assert head.shift_invariant
    shifted = sample_losses(head, h + 5.0, NONE, y)
    torch.testing.assert_close(shifted, sample_losses(head, h, NONE, y), **EXACT)
    ones = torch.ones(3, dtype=torch.float64)
    null = curvature_factors(head, h, NONE, y) @ ones
    torch.testing.assert_close(null, torch.zeros_like(null), **EXACT)


def test_softmax_survives_large_logits():
    head, y = SoftmaxHead(2), torch.tensor([0, 1])
    h = torch.tensor([[1000.0, -1000.0], [1000.0, -1000.0]], dtype=torch.float64)
    assert sample_losses(head, h, NONE, y).tolist() == [0.0, 2000.0]
    assert torch.isfinite(curvature_factors(head, h, NONE, y)).all()


def written(activation, h, v, y):
    """log(1 + e^f) - y f, f = sum_a v_a act(h_a), for one sample."""
    act = {"gelu": functional.gelu, "tanh": torch.tanh, "softplus": functional.softplus}
    f = (v * act[activation](h)).sum()
    return torch.log1p(torch.exp(f)) - y * f


def test_two_layer_loss_is_the_binary_cross_entropy(two_layer):
    head, h, v, y = two_layer
    outputs = head.output(h, v)
    expected = nn.BCEWithLogitsLoss()(outputs, y.double())
    torch.testing.assert_close(head.criterion(outputs, y), expected, **EXACT)
    torch.testing.assert_close(sample_losses(head, h, v, y).mean(), expected, **EXACT)


def test_two_layer_derivatives_are_those_of_the_written_formula(two_layer):
    head, h, v, y = two_layer

    def loss(h, v, y):
        return written(head.activation, h, v, y)

    g_h, g_v = gradient_factors(head, h, v, y)
    mapped = {"in_dims": (0, None, 0)}
    torch.testing.assert_close(g_h, vmap(grad(loss), **mapped)(h, v, y), **EXACT)
    torch.testing.assert_close(g_v, vmap(grad(loss, 1), **mapped)(h, v, y), **EXACT)
    D = curvature_factors(head, h, v, y)
    # Forward over reverse here, reverse twice there.
    torch.testing.assert_close(D, _second(loss, h, v, y), **EXACT)


def _second(loss, h, v, y):
    """Central differences of the gradient would lose half of the digits: autograd, row by row."""
    rows = []
    for sample, label in zip(h, y, strict=True):
        leaf = sample.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(leaf, v, label), leaf, create_graph=True)
        rows.append(
            torch.stack([torch.autograd.grad(s, leaf, retain_graph=True)[0] for s in slope])
        )
    return torch.stack(rows)


def test_two_layer_curvature_by_the_chain_rule(two_layer):
    """D = s (1-s) (v act')(v act')^T + (s - y) diag(v act''), s = sigmoid(f)."""
    head, h, v, y = two_layer
    act = ACTIVATIONS[head.activation]
    first = vmap(vmap(grad(act)))(h)
    second = vmap(vmap(grad(grad(act))))(h)
    s = torch.sigmoid(act(h) @ v)
    outer = (v * first)[:, :, None] * (v * first)[:, None, :]
    expected = (s * (1 - s))[:, None, None] * outer
    expected += torch.diag_embed((s - y)[:, None] * v * second)
    torch.testing.assert_close(curvature_factors(head, h, v, y), expected, **EXACT)


def _gelu_second(h):
    """(2 - h^2) phi(h), phi the standard normal density."""
    return (2 - h**2) * torch.exp(-(h**2) / 2) / (2 * torch.pi) ** 0.5


def test_gelu_is_the_exact_one_with_its_derivatives():
    h = torch.linspace(-8, 8, 161, dtype=torch.float64)

    def derivatives(function):
        leaf = h.clone().requires_grad_()
        value = function(leaf)
        (first,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), leaf)
        return value, first, second

    ours = derivatives(ACTIVATIONS["gelu"])
    theirs = derivatives(lambda x: functional.gelu(x, approximate="none"))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-14)
    torch.testing.assert_close(ours[2], _gelu_second(h), rtol=0, atol=1e-14)


def test_relu_has_no_curvature_of_its_own():
    """D = s (1-s) (v 1[h>0]) (v 1[h>0])^T."""
    head, h, v, y = TwoLayerHead(3, "relu"), normal(20, 3), normal(3, seed=2), labels(20, 2)
    s = torch.sigmoid(torch.relu(h) @ v)
    slope = v * (h > 0)
    expected = (s * (1 - s))[:, None, None] * slope[:, :, None] * slope[:, None, :]
    torch.testing.assert_close(curvature_factors(head, h, v, y), expected, **EXACT)


def test_a_label_is_right_where_the_largest_logit_or_the_sign_says_so():
    logits = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    assert SoftmaxHead(2).correct(logits, torch.tensor([1, 1])).tolist() == [True, False]
    outputs = torch.tensor([1.0, -1.0, 0.5])
    assert TwoLayerHead(1).correct(outputs, torch.tensor([1, 0, 0])).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftmaxHead(1), "directions: expected at least 2 classes, got 1"),
        (lambda: TwoLayerHead(0), "directions: expected at least 1 hidden unit, got 0"),
        (lambda: TwoLayerHead(2, "step"), "activation: expected one of .* got 'step'"),
    ],
)
def test_bad_heads_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_models_are_head_models_and_others_are_not():
    assert isinstance(SoftmaxRegression(4, 2), HeadModel)
    assert isinstance(TwoLayerNetwork(4, (1.0,)), HeadModel)
    assert not isinstance(nn.Linear(4, 2), HeadModel)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_output_of_a_model_is_that_of_its_head(activation):
    model = TwoLayerNetwork(
        5, (1.0, -0.5), activation, 1.0, torch.Generator().manual_seed(0), torch.float64
    )
    inputs = normal(7, 5)
    expected = model.head.output(inputs @ model.weight.T, model.second_layer)
    torch.testing.assert_close(model(inputs), expected, **EXACT)
    assert model(inputs).shape == (7,)
    other = SoftmaxRegression(5, 3, 1.0, torch.Generator().manual_seed(0), torch.float64)
    torch.testing.assert_close(other(inputs), inputs @ other.weight.T, **EXACT)
    assert other(inputs).shape == (7, 3)
