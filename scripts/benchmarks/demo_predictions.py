"""Predictions and forecasts of the demo's two-layer network, beside an earlier build's."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch

from spectrain.training.loop import fit
from spectrain.training.systems.two_layer_mixture import TwoLayerMixtureConfig

from .earlier import TODAY, build_of, run_with

__all__ = ["demo_grams", "print_demo_predictions"]

BEFORE = "656595e"
TARGET = 0.6


def print_demo_predictions(epochs: int) -> None:
    """Train as the demo does, predict with both builds, and print their processor times.

    Args:
        epochs: of the training; the demo has 30. Fewer have a larger share of whole layers.
    """
    config = TwoLayerMixtureConfig(epochs=epochs)
    with build_of(BEFORE) as before, tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "grams.json"
        place.write_text(json.dumps(demo_grams(config)))
        then, now = (
            json.loads(run_with(build, "benchmarks.one_prediction", str(place)).splitlines()[-1])
            for build in (before, TODAY)
        )
    print(f"\nThe demo's two-layer network, {epochs + 1} probings: processor time\n")
    print(f"{'job':12} {BEFORE:>9} {'today':>9} {'ratio':>7} {'target':>7}")
    for name in then:
        old, new = sum(then[name]), sum(now[name])
        print(f"{name:12} {old:7.1f} s {new:7.1f} s {new / old:7.2f} {TARGET:7g}", flush=True)


def demo_grams(config: TwoLayerMixtureConfig) -> list[list[list[float]]]:
    """The Gram matrix of a training at the start and after each epoch."""
    system = config.build(torch.Generator().manual_seed(0))
    theory, batches = system.theory, system.batches(torch.Generator().manual_seed(1))
    assert theory is not None
    found = [theory.statistics(system.model, ()).gram.tolist()]
    for _ in range(config.epochs):
        fit(
            *(system.model, system.loss, batches, system.optimiser),
            epochs=1,
            steps_per_epoch=config.steps_per_epoch,
        )
        found.append(theory.statistics(system.model, ()).gram.tolist())
    return found
