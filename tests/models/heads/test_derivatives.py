"""Derivatives of every head, against automatic differentiation and differences of the loss."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from spectrain.models.heads import (
    FunctionHead,
    LogisticHead,
    MultiIndexHead,
    SoftmaxHead,
    TwoLayerHead,
    curvature_factors,
    gradient_factors,
    joint_curvature_factors,
    require_labels,
    sample_classified,
    sample_losses,
)

# Float64 to rounding: tens of operations on numbers of order one.
EXACT = {"rtol": 1e-12, "atol": 1e-12}
N = 25

HEADS = {
    "softmax": SoftmaxHead(3),
    "logistic": LogisticHead(),
    "two-layer": TwoLayerHead(3),
    "two-layer, biases": TwoLayerHead(3, "tanh", hidden_bias=True, output_bias=True),
    "squared": TwoLayerHead(2, "silu", "squared", output_bias=True),
    "squared, hidden bias": TwoLayerHead(2, "square", "squared", hidden_bias=True),
    "softmax network": TwoLayerHead(4, "erf", "softmax", outputs=3),
    "softmax network, biases": TwoLayerHead(2, "gelu", "softmax", 3, True, True),
    "relu": TwoLayerHead(3, "relu"),
    "own activation": TwoLayerHead(2, torch.sin),
    "multi-index": MultiIndexHead(4, (1.0, -0.5), "tanh", "erf"),
    "multi-index, biases": MultiIndexHead(3, (2.0,), "gelu", "square", True, True),
}
SMOOTH = [name for name in HEADS if name != "relu"]


def arguments(head, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(N, head.directions, dtype=dtype, generator=generator)
    v = torch.randn(head.parameters, dtype=dtype, generator=generator)
    return h, v, torch.randint(head.classes or 3, (N,), generator=generator)


@pytest.fixture(params=HEADS)
def head(request):
    return HEADS[request.param]


@pytest.fixture(params=SMOOTH)
def smooth(request):
    return HEADS[request.param]


def as_function(head):
    """The same loss, with nothing known of it but its values."""
    return FunctionHead(
        head.ell,
        head.directions,
        head.parameters,
        head.teachers,
        head.classes,
        head.shift_invariant,
    )


def test_derivatives_are_those_of_the_loss_as_a_function(head):
    other, at = as_function(head), arguments(head)
    torch.testing.assert_close(sample_losses(head, *at), sample_losses(other, *at), **EXACT)
    for found, expected in zip(
        gradient_factors(head, *at), gradient_factors(other, *at), strict=True
    ):
        torch.testing.assert_close(found, expected, **EXACT)
    for factors in (curvature_factors, joint_curvature_factors):
        torch.testing.assert_close(factors(head, *at), factors(other, *at), **EXACT)


def test_arrays_of_numpy_have_the_derivatives_of_tensors(head):
    """Heads are written once for both; one with a torch function goes through tensors."""
    at = arguments(head)
    as_arrays = [part.numpy() for part in at]
    for function in (
        sample_losses,
        sample_classified,
        curvature_factors,
        joint_curvature_factors,
        lambda *args: gradient_factors(*args)[0],
        lambda *args: gradient_factors(*args)[1],
    ):
        expected, found = function(head, *at), function(head, *as_arrays)
        if expected is None:
            assert found is None
        else:
            assert isinstance(found, np.ndarray)
            torch.testing.assert_close(torch.from_numpy(found), expected, **EXACT)


def test_gradients_are_slopes_of_the_loss(smooth):
    """(ell(u + e) - ell(u - e)) / 2e = ell' + O(e^2): 1e-8 at e = 1e-5, with third derivatives
    of at most some tens."""
    h, v, y = arguments(smooth)
    g_h, g_v = gradient_factors(smooth, h, v, y)
    for a, column in enumerate(torch.eye(len(h[0]), dtype=h.dtype) * 1e-5):
        slope = sample_losses(smooth, h + column, v, y) - sample_losses(smooth, h - column, v, y)
        torch.testing.assert_close(g_h[:, a], slope / 2e-5, rtol=1e-7, atol=1e-7)
    for a, column in enumerate(torch.eye(len(v), dtype=h.dtype) * 1e-5):
        slope = sample_losses(smooth, h, v + column, y) - sample_losses(smooth, h, v - column, y)
        torch.testing.assert_close(g_v[:, a], slope / 2e-5, rtol=1e-7, atol=1e-7)


def test_curvatures_are_slopes_of_the_gradient(smooth):
    h, v, y = arguments(smooth)
    joint = joint_curvature_factors(smooth, h, v, y)

    def gradient(h, v):
        return torch.cat(gradient_factors(smooth, h, v, y), dim=1)

    for a, column in enumerate(torch.eye(len(h[0]), dtype=h.dtype) * 1e-5):
        slope = gradient(h + column, v) - gradient(h - column, v)
        torch.testing.assert_close(joint[:, a], slope / 2e-5, rtol=1e-6, atol=1e-6)
    for a, column in enumerate(torch.eye(len(v), dtype=h.dtype) * 1e-5, start=len(h[0])):
        slope = gradient(h, v + column) - gradient(h, v - column)
        torch.testing.assert_close(joint[:, a], slope / 2e-5, rtol=1e-6, atol=1e-6)


def test_the_joint_curvature_is_symmetric_and_contains_that_of_the_directions(head):
    at, c = arguments(head), head.directions
    joint = joint_curvature_factors(head, *at)
    assert joint.shape == (N, c + head.parameters, c + head.parameters)
    torch.testing.assert_close(joint, joint.mT, **EXACT)
    torch.testing.assert_close(joint[:, :c, :c], curvature_factors(head, *at), **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivatives_keep_dtype_and_graph_of_nothing(head, dtype):
    h, v, y = arguments(head, dtype=dtype)
    v.requires_grad_()
    found = [
        *gradient_factors(head, h, v, y),
        curvature_factors(head, h, v, y),
        joint_curvature_factors(head, h, v, y),
        *gradient_factors(as_function(head), h, v, y),
        joint_curvature_factors(as_function(head), h, v, y),
    ]
    assert {part.dtype for part in found} == {dtype}
    assert not any(part.requires_grad for part in found)


def test_a_linear_loss_has_no_curvature():
    head = FunctionHead(lambda h, v, y: h.sum() + 2 * v.sum(), directions=2, parameters=1)
    at = arguments(head)
    g_h, g_v = gradient_factors(head, *at)
    assert (g_h == 1).all()
    assert (g_v == 2).all()
    assert not joint_curvature_factors(head, *at).any()
    constant = FunctionHead(lambda h, v, y: 0 * y.double(), directions=1)
    assert not gradient_factors(constant, *arguments(constant))[0].any()


def test_a_shift_of_all_preactivations_is_a_null_direction():
    at = arguments(HEADS["softmax"])
    g, _ = gradient_factors(HEADS["softmax"], *at)
    assert g.sum(1).abs().max() < 1e-14
    assert curvature_factors(HEADS["softmax"], *at).sum(2).abs().max() < 1e-14


def test_the_logistic_head_in_closed_form():
    """ell' = p - y, ell'' = p (1 - p), p = 1 / (1 + e^-h)."""
    head = LogisticHead()
    h, v, y = arguments(head)
    p = 1 / (1 + torch.exp(-h[:, 0]))
    torch.testing.assert_close(gradient_factors(head, h, v, y)[0][:, 0], p - y, **EXACT)
    torch.testing.assert_close(curvature_factors(head, h, v, y)[:, 0, 0], p * (1 - p), **EXACT)
    written = torch.log(1 + torch.exp(h[:, 0])) - y * h[:, 0]
    torch.testing.assert_close(sample_losses(head, h, v, y), written, **EXACT)


def test_two_classes_are_one_logit():
    """Softmax of (0, h) and logistic regression in h are the same: so are D and g."""
    h, v, y = arguments(LogisticHead())
    both = torch.cat([torch.zeros_like(h), h], dim=1)
    for factors in (sample_losses, curvature_factors):
        found, pair = factors(LogisticHead(), h, v, y), factors(SoftmaxHead(2), both, v, y)
        torch.testing.assert_close(found.flatten(), pair.reshape(N, -1)[:, -1], **EXACT)


def test_identity_units_with_squared_loss_are_least_squares():
    """f = a . h: the gradient is (f - y) a, D = a a^T whatever the sample."""
    head = TwoLayerHead(3, "identity", "squared")
    h, v, y = arguments(head)
    residual = h @ v - y
    torch.testing.assert_close(sample_losses(head, h, v, y), residual**2 / 2, **EXACT)
    g_h, g_v = gradient_factors(head, h, v, y)
    torch.testing.assert_close(g_h, residual[:, None] * v, **EXACT)
    torch.testing.assert_close(g_v, residual[:, None] * h, **EXACT)
    expected = torch.outer(v, v).expand(N, -1, -1)
    torch.testing.assert_close(curvature_factors(head, h, v, y), expected, **EXACT)


def test_a_student_like_its_teacher_has_no_error_and_a_curvature_of_rank_one():
    head = MultiIndexHead(4, (1.0, -0.5), "tanh", "tanh")
    students, _, y = arguments(MultiIndexHead(4, (1.0, -0.5)))
    h = students[:, :2].repeat(1, 2)
    v = torch.tensor([1.0, -0.5], dtype=h.dtype)
    assert not sample_losses(head, h, v, y).any()
    assert not gradient_factors(head, h, v, y)[0].any()
    slope = (1 - torch.tanh(h) ** 2) * torch.cat([v, -v])
    expected = slope[:, :, None] * slope[:, None, :]
    torch.testing.assert_close(curvature_factors(head, h, v, y), expected, **EXACT)


def test_labels_are_ignored_by_a_multi_index_head():
    head = HEADS["multi-index"]
    h, v, y = arguments(head)
    assert torch.equal(sample_losses(head, h, v, y), sample_losses(head, h, v, y + 5))


def test_parameters_are_second_layer_by_rows_then_biases():
    head = HEADS["softmax network, biases"]
    h, v, _ = arguments(head)
    rows, b, c = v[:6].view(3, 2), v[6:8], v[8:]
    assert head.parameters == 11
    moved = h + b
    units = moved * (1 + torch.erf(moved / math.sqrt(2))) / 2
    torch.testing.assert_close(head.output(h, v), units @ rows.T + c, **EXACT)


@pytest.mark.parametrize("name", [name for name in HEADS if "multi-index" not in name])
def test_the_loss_of_a_sample_is_the_criterion_of_its_output(name):
    head = HEADS[name]
    h, v, y = arguments(head)
    outputs = head.output(h, v)
    mean = sample_losses(head, h, v, y).mean()
    torch.testing.assert_close(head.criterion(outputs, y), mean, **EXACT)
    assert torch.equal(sample_classified(head, h, v, y), head.correct(outputs, y))


def test_an_output_that_rounds_to_its_label_is_right():
    head = TwoLayerHead(1, "identity", "squared")
    outputs, labels = torch.tensor([0.4, 0.6, 1.4, -0.6]), torch.tensor([0, 0, 1, 0])
    assert head.correct(outputs, labels).tolist() == [True, False, True, False]


def test_without_labels_nothing_is_right_or_wrong():
    for head in (HEADS["multi-index"], as_function(HEADS["logistic"])):
        assert sample_classified(head, *arguments(head)) is None


@pytest.mark.parametrize(
    ("head", "labels", "message"),
    [
        (SoftmaxHead(3), (0, 3), r"labels: expected 0 to 2, got \[0, 3\]"),
        (LogisticHead(), (0, 2), "labels: expected 0 to 1"),
        (TwoLayerHead(2), (2,), "labels: expected 0 to 1"),
        (TwoLayerHead(2, "tanh", "softmax", 4), (4,), "labels: expected 0 to 3"),
        (TwoLayerHead(2, "tanh", "squared"), (-1,), "labels: expected at least 0"),
        (FunctionHead(lambda h, v, y: h[0], 1, classes=1), (1,), "labels: expected 0 to 0"),
    ],
)
def test_labels_that_a_loss_is_not_defined_for_are_refused(head, labels, message):
    with pytest.raises(ValueError, match=message):
        require_labels(head, labels)


def test_labels_that_a_loss_is_defined_for_pass():
    require_labels(SoftmaxHead(3), (0, 1, 2, 2))
    require_labels(TwoLayerHead(2, "tanh", "squared"), (0, 17))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TwoLayerHead(2, loss="hinge"), "loss: expected one of .* got 'hinge'"),
        (lambda: TwoLayerHead(2, loss="softmax"), "outputs: expected at least 2 classes"),
        (lambda: TwoLayerHead(2, outputs=2), "outputs: expected 1 for the loss binary-cross"),
        (lambda: TwoLayerHead(2, loss="squared", outputs=0), "outputs: expected at least 1"),
        (lambda: MultiIndexHead(2, ()), "teacher_second_layer: expected a weight for each"),
        (lambda: MultiIndexHead(2, (1.0, 1.0)), "teacher_second_layer: .*fewer than the 2"),
        (lambda: MultiIndexHead(2, (math.nan,)), "teacher_second_layer: expected finite"),
        (lambda: MultiIndexHead(2, (1.0,), "step"), "activation: expected one of .* got 'step'"),
        (lambda: MultiIndexHead(2, (1.0,), "tanh", "step"), "teacher_activation: expected one"),
    ],
)
def test_bad_heads_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_parameters_of_the_wrong_number_are_refused():
    head = TwoLayerHead(2, output_bias=True)
    with pytest.raises(ValueError, match="v: expected 3 parameters, got 2"):
        head.output(torch.zeros(1, 2), torch.zeros(2))


def test_heads_are_values(head):
    """Equal heads are one key: what is remembered of a head is found again."""
    assert replace(head) is not head
    assert replace(head) == head
    assert hash(replace(head)) == hash(head)
