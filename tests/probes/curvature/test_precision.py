"""Autocast is left wherever the code enters it; low precision is refused at once."""

import functools
from types import MethodType

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

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


class Checkpointed(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return checkpoint(self.body, x, use_reentrant=False)


@pytest.mark.parametrize("kind", [HessianOperator, InformationOperator])
@pytest.mark.parametrize("strategy", [None, "rebuilt graph"])
def test_what_a_checkpoint_computes_again_is_of_the_copies_dtype(kind, strategy):
    panel = torch.randn(43, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found, expected = (
        kind(model, CE, data(), ALL, strategy=strategy, dtype=torch.float64) @ panel
        for model in (Checkpointed(Net().body), Net().body)
    )
    assert (found - expected).norm() <= 1e-13 * expected.norm()


class Filtered(nn.Module):
    """A filter in frequency: a buffer, or a parameter of the same values."""

    def __init__(self, trained):
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(4, 3)
        values = torch.randn(4, dtype=torch.complex64)
        if trained:
            self.filter = nn.Parameter(values)
        else:
            self.register_buffer("filter", values)

    def forward(self, x):
        return self.last(torch.fft.ifft(torch.fft.fft(x) @ self.filter.diag()).real)


def test_complex_tensors_are_copied_with_the_others():
    panel = torch.randn(15, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    inputs, targets = data()
    double = Filtered(trained=False).double()
    double.filter = double.filter.to(torch.complex128)
    expected = HessianOperator(double, CE, (inputs.double(), targets), ALL) @ panel
    found = HessianOperator(Filtered(False), CE, data(), ALL, dtype=torch.float64) @ panel
    assert (found - expected).norm() <= 1e-13 * expected.norm()


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_complex_parameters_are_named(dtype):
    model = Filtered(trained=True)
    with pytest.raises(ValueError, match="expected real ones, got complex filter"):
        HessianOperator(model, CE, data(), ALL, dtype=dtype)
    last = HessianOperator(model, CE, data(), Block("last", ("last.*",)), dtype=dtype)
    assert last.size == 15


def test_anomaly_detection_changes_nothing_and_tells_of_nothing(capfd):
    batch = data()
    expected = HessianOperator(Net(), CE, batch, ALL)
    with torch.autograd.set_detect_anomaly(True):
        found = HessianOperator(Net(), CE, batch, ALL)
        assert torch.is_anomaly_enabled()
    assert found.strategy == expected.strategy
    assert not capfd.readouterr().err
