"""One probing: what was said before it against what it took, and passes that warm starts save."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from spectrain import SGD, GaussianMixture, Measurement, MixtureTheory, SoftmaxRegression
from spectrain.probes.probe import SpectralProbe

from .timing import duration, machine, once

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments beyond those of all suites."""


def run(arguments: argparse.Namespace) -> None:
    """Print both tables."""
    print(machine())
    print("\n| probing | estimated | took | ratio | passes at most | passes |")
    print("|---|---|---|---|---|---|")
    for name, make in SYSTEMS.items():
        for density in (True, False):
            probe = make(Measurement(density=density))
            estimate = probe.estimate()
            probe(0)
            took = once(lambda probe=probe: probe(1))
            record = probe(2)
            passes = [track.passes for track in record.tracks]
            # Blocks of a head share their passes.
            total = max(passes) if record.operator.startswith("head") else sum(passes)
            label = f"{name}, {'with' if density else 'without'} density"
            print(
                f"| {label} | {duration(estimate.seconds)} | {duration(took)} | "
                f"{estimate.seconds / took:.2f} | {estimate.passes} | {total} |"
            )
    print("\n| steps in between | cold passes | warm passes | top space kept |")
    print("|---|---|---|---|")
    for steps in (0, 1, 10, 100):
        print("| {} | {} | {} | {:.2f} |".format(steps, *_warm(steps)))


def _softmax(measurement: Measurement) -> SpectralProbe:
    """Six blocks (three classes, two matrices), d = 1000 and n = 4000, with their predictions."""
    d, n = 1000, 4000
    law = GaussianMixture(torch.eye(3, d), (0.4, 0.35, 0.25), (0, 1, 2), 3.0)
    model = SoftmaxRegression(d, 3, 0.5, torch.Generator().manual_seed(0))
    theory = MixtureTheory(law, model.head, n / d, SGD(0.5))
    return SpectralProbe(
        model,
        model.head.criterion,
        lambda generator: law.sample(n, generator),
        theory=theory,
        measurement=measurement,
    )


def _convolutions(measurement: Measurement) -> SpectralProbe:
    """A small network on images of 8 x 8 points, about 6,000 parameters."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 8)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(512, 10),
    )
    batch = torch.randn(300, 8, 8), torch.randint(10, (300,))
    return SpectralProbe(model, nn.CrossEntropyLoss(), batch, measurement=measurement)


SYSTEMS: dict[str, Callable[[Measurement], SpectralProbe]] = {
    "softmax with theory": _softmax,
    "convolutions": _convolutions,
}


def _warm(steps: int) -> tuple[int, int, float]:
    """Passes of ten probings of a small network, cold and warm, and what is kept of the top."""
    torch.manual_seed(1)
    centres = 0.6 * torch.randn(4, 64)

    def batch(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(4, (count,))
        return centres[labels] + torch.randn(count, 64), labels

    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh())
    model.append(nn.Linear(16, 4))
    loss, data = nn.CrossEntropyLoss(), batch(500)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    measurement = Measurement(eigenvalues=10, smallest=0, density=False)
    warm = SpectralProbe(model, loss, data, measurement=measurement)
    passes, kept = [0, 0], 0.0
    for probing in range(11):
        # A new probe starts cold.
        cold = SpectralProbe(model, loss, data, measurement=measurement)
        tracks = [probe(probing).tracks for probe in (cold, warm)]
        if probing:
            for i in range(2):
                passes[i] += sum(track.passes for track in tracks[i])
            kept += float(tracks[1][0].top.subspace_overlap[-1]) / 10
        for _ in range(steps):
            inputs, labels = batch(32)
            optimiser.zero_grad()
            loss(model(inputs), labels).backward()
            optimiser.step()
    return passes[0], passes[1], kept
