"""One small training that every loop can run, and what a plain loop with a probe measures of it."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from spectrain import Measurement, SpectralProbe
from spectrain.views.sinks.scalars import scalars

STEPS, EPOCHS = 3, 4  # of each epoch, and how many
SMALL = Measurement(eigenvalues=2, smallest=1, width=3, max_products=30)


def needs(name):
    """Skip without the library; where the extras are promised, fail."""
    if os.environ.get("REQUIRE_INTEGRATIONS"):
        __import__(name)
        return __import__(name)
    return pytest.importorskip(name)


def network(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 3))


def samples(n, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 5, generator=generator)
    return inputs, torch.randint(3, (n,), generator=generator)


def loader(n, seed, shuffle=False):
    return DataLoader(TensorDataset(*samples(n, seed)), batch_size=8, shuffle=shuffle)


def training(dropout=0.0, shuffle=False):
    """Model, loss, optimiser, and loaders of 3 batches to train on and 2 held out."""
    model = network(dropout)
    return SimpleNamespace(
        model=model,
        loss=nn.CrossEntropyLoss(),
        optimiser=torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9),
        train=loader(8 * STEPS, 1, shuffle),
        held_out=loader(16, 2),
        sample=tuple(part[:8] for part in samples(16, 2)),
    )


def steps(parts, after_step=lambda: None):
    """One epoch of a plain loop."""
    for inputs, targets in parts.train:
        parts.optimiser.zero_grad()
        parts.loss(parts.model(inputs), targets).backward()
        parts.optimiser.step()
        after_step()


class Kept:
    """A sink that keeps records, and knows whether it is open."""

    def __init__(self):
        self.records, self.closed = [], 0

    def write(self, record):
        self.records.append(record)

    def close(self):
        self.closed += 1


def numbers(record):
    """All scalars but times, and the step."""
    found = {tag: value for tag, value in scalars(record).items() if not tag.startswith("seconds/")}
    assert "measured/hessian/all/top_1" in found
    assert not record.failures
    return found | {"step": record.step}


def weights(model):
    return torch.cat([each.detach().reshape(-1) for each in model.state_dict().values()])


@pytest.fixture(scope="session")
def reference():
    """The weights after a plain loop, and its numbers at the start and after every epoch."""
    parts, kept = training(), Kept()
    probe = SpectralProbe(
        *(parts.model, parts.loss, parts.sample),
        sinks=[kept],
        sample_kind="held-out",
        measurement=SMALL,
    )
    parts.model.train()
    probe(0)
    for epoch in range(1, EPOCHS + 1):
        steps(parts)
        probe(epoch * STEPS)
    return SimpleNamespace(
        weights=weights(parts.model), numbers=[numbers(record) for record in kept.records]
    )


@pytest.fixture
def loops():
    """What the tests of all loops have in common."""
    return SimpleNamespace(
        EPOCHS=EPOCHS,
        STEPS=STEPS,
        SMALL=SMALL,
        Kept=Kept,
        needs=needs,
        network=network,
        numbers=numbers,
        replace=replace,
        samples=samples,
        steps=steps,
        training=training,
        weights=weights,
    )
