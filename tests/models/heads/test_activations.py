"""Activations and their derivatives."""

import math
from typing import get_args

import pytest
import torch
from torch.nn import functional

from spectrain.models.heads import TwoLayerHead
from spectrain.models.heads.activations import (
    ACTIVATIONS,
    Activation,
    activation_derivatives,
    activation_slope,
)
from spectrain.training.systems.two_layer_mixture import ActivationName

H = torch.linspace(-4, 4, 82, dtype=torch.float64)  # without 0, where relu has a kink


def closed_forms():
    density = torch.exp(-(H**2) / 2) / math.sqrt(2 * math.pi)
    normal = (1 + torch.erf(H / math.sqrt(2))) / 2
    t, s = torch.tanh(H), torch.sigmoid(H)
    bell = 2 / math.sqrt(math.pi) * torch.exp(-(H**2))
    one, zero = torch.ones_like(H), torch.zeros_like(H)
    return {
        "gelu": (H * normal, normal + H * density, (2 - H**2) * density),
        "tanh": (t, 1 - t**2, -2 * t * (1 - t**2)),
        "relu": (H.clamp(min=0), (H > 0).double(), zero),
        "softplus": (torch.log1p(torch.exp(H)), s, s * (1 - s)),
        "sigmoid": (s, s * (1 - s), s * (1 - s) * (1 - 2 * s)),
        "silu": (
            H * s,
            s + H * s * (1 - s),
            2 * s * (1 - s) + H * s * (1 - s) * (1 - 2 * s),
        ),
        "erf": (torch.erf(H), bell, -2 * H * bell),
        "identity": (H, one, zero),
        "square": (H**2, 2 * H, 2 * one),
    }


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_and_derivatives_in_closed_form(name):
    for found, expected in zip(activation_derivatives(name, H), closed_forms()[name], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["gelu", "relu", "softplus", "silu"])
def test_names_are_those_of_torch(name):
    theirs = getattr(functional, name)(H)
    torch.testing.assert_close(ACTIVATIONS[name](H), theirs, rtol=1e-12, atol=1e-13)


def test_every_name_is_typed_and_can_be_configured():
    literal, _ = get_args(Activation)
    assert set(get_args(literal)) == set(ACTIVATIONS) == set(get_args(ActivationName))


def test_a_function_serves_as_the_name_does():
    h = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    v = torch.tensor([1.0, -2.0], dtype=torch.float64)
    by_name, by_function = TwoLayerHead(2, "tanh"), TwoLayerHead(2, torch.tanh)
    assert torch.equal(by_function.output(h, v), by_name.output(h, v))


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("step", "activation: expected one of .* got 'step'"),
        (lambda h: h.sum(), "activation: expected a name or a torch function, entry by entry"),
        (lambda h: h / h.sum(), "activation: .*mixes the entries"),
        (lambda h: h.abs().sqrt().log() * math.inf, "activation: .*twice differentiable"),
        (math.tanh, "activation: .*built-in function tanh"),
    ],
)
def test_bad_activations_are_refused_by_name(activation, message):
    with pytest.raises(ValueError, match=message):
        TwoLayerHead(2, activation)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_slopes_by_hand_are_the_automatic_ones(name):
    h = torch.cat([torch.linspace(-9, 9, 181, dtype=torch.float64), torch.tensor([-40.0, 40.0])])
    leaf = h.clone().requires_grad_()
    value = ACTIVATIONS[name](leaf)
    (first,) = torch.autograd.grad(value.sum(), leaf)
    torch.testing.assert_close(
        activation_slope(name, h), (value.detach(), first), rtol=1e-12, atol=1e-15
    )
