"""What only differences of the gradient can tell."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import HessianOperator
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe
from spectrain.probes.second_derivative import second_derivative

CE = functional.cross_entropy
QUICK = Measurement(density=False)


class Grown(torch.autograd.Function):
    """exp, whose derivative is kept as a number: the second derivative lacks a symmetric part."""

    @staticmethod
    def forward(ctx, x):
        ctx.value = x.detach().exp()
        return x.exp()

    @staticmethod
    def backward(ctx, slope):
        return slope * ctx.value


class Exp(nn.Module):
    def __init__(self, own):
        super().__init__()
        self.own = own

    def forward(self, x):
        return Grown.apply(x) if self.own else x.exp()


def network(middle):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), middle, nn.Linear(5, 3))


def data():
    g = torch.Generator().manual_seed(0)
    return torch.randn(20, 4, generator=g), torch.randint(3, (20,), generator=g)


def generator():
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(
    "middle", [nn.Tanh(), nn.ReLU(), Exp(own=False), nn.BatchNorm1d(5), nn.Dropout(0.5)]
)
def test_right_second_derivatives_agree_with_differences(middle, mode):
    model = network(middle)
    found = second_derivative(model, CE, data(), Block("all"), generator(), mode=mode)
    assert found.agrees
    assert found.difference < 1e-6
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_a_symmetric_part_that_is_missing_is_found():
    model = network(Exp(own=True))
    HessianOperator(model, CE, data(), Block("all"))  # nothing is seen
    probe = SpectralProbe(
        model, CE, data(), measurement=QUICK, blocks=[Block("all"), Block("head", ("2.*",))]
    )
    every, head = probe.check()
    assert not every.agrees
    assert every.difference > 0.05
    assert head.agrees
    # A function with a derivative of its own is looked at whether it was asked for or not.
    for first in (False, True):
        probe = SpectralProbe(model, CE, data(), measurement=QUICK, check_first=first)
        with pytest.warns(
            RuntimeWarning, match=r"check: ValueError: .* all \(0\.\d+ apart\): Grown may have"
        ):
            records = [probe(0), probe(1)]
        for record in records:
            assert [failure.part for failure in record.failures] == ["check"]
            assert len(record.measured.spectra) == 2


def test_a_checked_probing_is_the_same_probing():
    records = []
    for check in (False, True):
        torch.manual_seed(3)
        probe = SpectralProbe(
            network(nn.Dropout()), CE, data(), mode="train", measurement=QUICK, check_first=check
        )
        records.append(probe(0))
    assert records[1].failure == ""
    first, second = (record.measured.spectra[0].top[0].value for record in records)
    assert first == second
