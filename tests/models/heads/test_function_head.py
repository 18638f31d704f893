"""A head given by one function, and what is checked of it."""

import pytest
import torch

from spectrain.models.heads import FunctionHead, curvature_factors, sample_losses


def quartic(h, v, y):
    """(h_0 - h_1)^4 v_0 + y."""
    return (h[0] - h[1]) ** 4 * v[0] + y


def test_its_derivatives_in_closed_form():
    """D = 12 v (h_0 - h_1)^2 (1, -1)(1, -1)^T."""
    head = FunctionHead(quartic, directions=2, parameters=1, shift_invariant=True)
    h = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    v, y = torch.tensor([0.7], dtype=torch.float64), torch.arange(9)
    difference = h[:, 0] - h[:, 1]
    torch.testing.assert_close(sample_losses(head, h, v, y), 0.7 * difference**4 + y)
    sign = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    expected = 8.4 * difference[:, None, None] ** 2 * sign
    torch.testing.assert_close(curvature_factors(head, h, v, y), expected)


def test_equal_functions_make_equal_heads():
    assert FunctionHead(quartic, 2, 1) == FunctionHead(quartic, 2, 1)
    assert len({FunctionHead(quartic, 2, 1), FunctionHead(quartic, 2, 1)}) == 1
    assert FunctionHead(quartic, 2, 1) != FunctionHead(quartic, 2, 1, teachers=1)


def loss(value):
    return lambda h, v, y: value(h)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FunctionHead(quartic, 0), "directions: expected at least 1, got 0"),
        (lambda: FunctionHead(quartic, 2, -1), "parameters: expected at least 0, got -1"),
        (lambda: FunctionHead(quartic, 2, 1, teachers=2), "teachers: expected fewer than the 2"),
        (lambda: FunctionHead(quartic, 2, 1, teachers=-1), "teachers: .*got -1"),
        (lambda: FunctionHead(quartic, 2, 1, classes=0), "classes: expected at least 1, got 0"),
        (lambda: FunctionHead(quartic, 1, 1), "ell: expected .* got IndexError"),
        (lambda: FunctionHead(loss(lambda h: h), 2), r"ell: .*scalar value, got shape \(2,\)"),
        (lambda: FunctionHead(loss(lambda h: 1.0), 2), "ell: expected a twice differentiable"),
        (
            lambda: FunctionHead(loss(lambda h: h[0] if h[0] > 0 else -h[0]), 1),
            "ell: expected .* fit for vmap, got RuntimeError",
        ),
        (lambda: FunctionHead(loss(lambda h: (0 * h[0]).sqrt()), 1), "ell: .*NaN or infinity"),
        (
            lambda: FunctionHead(loss(lambda h: h[0].detach().numpy() ** 2), 1),
            "ell: expected",
        ),
        (
            lambda: FunctionHead(loss(lambda h: h[0] ** 2), 2, shift_invariant=True),
            "shift_invariant: expected ell unchanged by adding a constant to h",
        ),
    ],
)
def test_bad_heads_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
