"""Autocast is left wherever the code enters it; low precision is refused at once."""

import functools
from types import MethodType

import pytest
import torch
from torch import nn
from torch.nn import functional

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import HessianOperator, InformationOperator
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe

ALL = Block("all")
CE = functional.cross_entropy


def data():
    g = torch.Generator().manual_seed(0)
    return torch.randn(20, 4, generator=g), torch.randint(3, (20,), generator=g)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))

    def forward(self, x):
        return self.body(x).float()


class Decorated(Net):
    @torch.autocast("cpu", dtype=torch.bfloat16)
    def forward(self, x):
        return self.body(x).float()


class Region(Net):
    def forward(self, x):
        with torch.amp.autocast("cpu", dtype=torch.bfloat16):
            return self.body(x).float()


class Switched(Net):
    def forward(self, x):
        torch.set_autocast_dtype("cpu", torch.bfloat16)
        torch.set_autocast_enabled("cpu", True)
        try:
            return self.body(x).float()
        finally:
            torch.set_autocast_enabled("cpu", False)


def wrapped():
    """As frameworks do it: another forward on the instance, the old one beside it."""
    model = Net()
    model._original_forward = model.forward
    inner = torch.autocast("cpu", dtype=torch.bfloat16)(model.forward.__func__)

    @functools.wraps(inner)
    def forward(self, x):
        return inner(self, x).float()

    model.forward = MethodType(forward, model)
    return model


@pytest.mark.parametrize("kind", [HessianOperator, InformationOperator])
@pytest.mark.parametrize("make", [Decorated, Region, Switched, wrapped])
def test_autocast_in_the_code_is_left(make, kind):
    model = make()
    rounded = CE(model(data()[0]), data()[1])
    expected = kind(Net(), CE, data(), ALL).dense()
    assert torch.equal(kind(model, CE, data(), ALL).dense(), expected)
    # And is there afterwards.
    assert torch.equal(CE(model(data()[0]), data()[1]), rounded)
    assert not torch.equal(rounded, CE(Net()(data()[0]), data()[1]))


def test_autocast_around_the_loss_is_left():
    @torch.autocast("cpu", dtype=torch.bfloat16)
    def loss(outputs, targets):
        return CE(outputs @ torch.eye(3), targets)

    found = HessianOperator(Net(), loss, data(), ALL).dense()
    torch.testing.assert_close(found, HessianOperator(Net(), CE, data(), ALL).dense())


@pytest.mark.parametrize("part", ["body", "body.0"])
def test_low_and_mixed_precision_are_refused_at_construction(part):
    model = Net()
    model.get_submodule(part).to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"got .*torch\.bfloat16 \(body\.0\.weight, \.\.\.\)"):
        SpectralProbe(model, CE, data(), measurement=Measurement(density=False))
    with pytest.raises(ValueError, match=r"float32 or float64, got .*torch\.bfloat16"):
        HessianOperator(model, CE, data(), Block("head", ("body.2.*",)))
