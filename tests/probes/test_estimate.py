"""What a probing costs, said before it and counted during it."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from spectrain import GaussianMixture, MixtureTheory, SoftmaxRegression
from spectrain.probes.curvature.block import Block
from spectrain.probes.estimate import LiveTensors
from spectrain.probes.krylov import block_lanczos as krylov
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe
from spectrain.probes.records.codec import encode
from spectrain.theory.mixture.dynamics import SGD

LANCZOS = Measurement(eigenvalues=3, smallest=2, width=4, max_products=100)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(12, 9), nn.Tanh(), nn.Dropout(0.5), nn.Linear(9, 3)).double()


def batch(n=50):
    inputs = torch.randn(n, 12, dtype=torch.float64, generator=generator(2))
    return inputs, torch.randint(3, (n,), generator=generator(3))


def probe(model=None, **options):
    given = {"measurement": LANCZOS} | options
    return SpectralProbe(model or network(), nn.CrossEntropyLoss(), batch(), **given)


def bases(monkeypatch):
    """The bytes of every Krylov basis and its images that are allocated from now on."""
    sizes, finish = [], krylov.Krylov.__init__

    def noted(self, *args, **kwargs):
        finish(self, *args, **kwargs)
        parts = (self.basis, self.images)
        sizes.append([0 if part is None else part.untyped_storage().nbytes() for part in parts])

    monkeypatch.setattr(krylov.Krylov, "__init__", noted)
    return sizes


@pytest.mark.parametrize("name", ["Lanczos", "whole"])
def test_the_memory_of_the_basis_is_exact_and_passes_are_bounded(name, monkeypatch):
    """A matrix of 147 rows has no room for 4 x 25 columns; one of 39 is formed."""
    block = {"Lanczos": Block("all"), "whole": Block("last", ("3.weight", "3.bias"))}[name]
    one = probe(blocks=[block], measurement=replace(LANCZOS, density=False))
    estimate = one.estimate()
    sizes = bases(monkeypatch)
    record = one(0)
    assert record.failure == ""
    assert estimate.storage["basis"] == sum(max(sizes))
    size = record.measured.spectra[0].size
    assert max(sizes) == [8 * size * min(size, 100)] * 2
    assert sum(track.passes for track in record.tracks) <= estimate.passes
    # Of the Hessian: the information matrix takes no products.
    assert estimate.passes == {"Lanczos": 25, "whole": 1}[name]
    assert estimate.storage["tracking"] == 2 * 8 * size * 5


def test_totals_are_sums_of_the_parts_that_a_record_times():
    law = GaussianMixture(torch.eye(3, 24, dtype=torch.float64), (0.4, 0.3, 0.3), (0, 1, 2), 3.0)
    model = SoftmaxRegression(24, 3, 0.5, generator(), torch.float64)
    theory = MixtureTheory(law, model.head, 4.0, SGD(0.5))
    one = SpectralProbe(
        model, model.head.criterion, lambda g: law.sample(96, g), theory=theory, measurement=LANCZOS
    )
    estimate = one.estimate()
    record = one(0)
    assert set(estimate.parts) == set(record.seconds)
    assert math.isclose(estimate.seconds, sum(estimate.parts.values()))
    assert estimate.memory == sum(estimate.storage.values())
    assert all(took > 0 for took in estimate.parts.values())
    text = str(estimate)
    assert "basis" in text
    assert f"at most {estimate.passes} passes" in text


def test_an_estimate_leaves_no_trace():
    """Neither in the training nor in what is recorded afterwards."""
    model, kept = network(), torch.get_rng_state()
    asked, other = probe(model), probe(model)
    asked.estimate()
    assert torch.equal(torch.get_rng_state(), kept)
    assert all(part.training for part in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    found, expected = (encode(replace(one(0), seconds={})) for one in (asked, other))
    assert found == expected
    assert encode(replace(asked(1), seconds={})) == encode(replace(other(1), seconds={}))


def test_an_estimate_fails_as_the_probing_would():
    model = network()
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="loss: expected a finite number"):
        probe(model).estimate()


def test_live_tensors_are_counted_while_they_live():
    given = torch.zeros(10, dtype=torch.float64)
    with LiveTensors() as live:
        first = torch.zeros(100, dtype=torch.float64)
        second = first + 1
        del second
        third = first[3:], given.view(2, 5)
        leaf = torch.ones(7, dtype=torch.float64, requires_grad=True)
        assert live.now == 8 * 107
        graph = leaf.exp().sum()
        # The result of exp is kept for its derivative.
        assert live.now == 8 * (107 + 7 + 1)
        del graph
        assert live.now == 8 * 107
        del first, third
    assert live.now == 8 * 7
    assert live.peak == 8 * 200


@pytest.mark.slow
@pytest.mark.parametrize("density", [True, False])
@pytest.mark.parametrize("count", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_probings_leave_no_tensor_behind(density, count):
    """Every tensor made in between is counted, those that only graphs hold included."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.1), nn.Linear(4, 2))
    inputs = torch.randn(8, 3, generator=generator())
    targets = torch.randint(2, (8,), generator=generator())
    small = Measurement(eigenvalues=2, smallest=1, width=2, max_products=8, density=density)
    one = SpectralProbe(model, nn.CrossEntropyLoss(), (inputs, targets), measurement=small)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=False)
    alive = []
    with LiveTensors() as live:
        for step in range(count):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimiser.step()
            assert one(step).failure == ""
            alive.append(live.now)
    assert len(set(alive[1:])) == 1
