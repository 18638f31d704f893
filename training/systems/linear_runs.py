"""Many runs of one linear model side by side: their weights are rows of one matrix.

    v_s <- v_s - lr_s [ (2/B) sum_b phi_sb (phi_sb . v_s - y_sb) + weight_decay v_s ]

is torch's SGD on nn.MSELoss for each run s, without a graph and without a loop over the runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import islice
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ...probes.curvature.batches import Batch
from ...theory.quantity import Quantity
from ..config import TrainingConfig
from ..data import FullBatch
from ..seeds import Seeds
from ..system import System
from .linear_training import LinearTrainingConfig

__all__ = ["LinearRuns"]

_NUMBERS = 2**22  # of inputs that are held at once
_FREE = {"seed", "lr"}


class LinearRuns:
    """Test loss of runs that differ in seed and learning rate, see `BatchedRuns`."""

    def __call__(
        self, configs: Sequence[TrainingConfig], steps: Sequence[int]
    ) -> tuple[Quantity, ...]:
        """The quantity test_loss, (runs, steps): without label noise, under the test covariance.

        Args:
            configs: alike but for seed and lr.
            steps: increasing numbers of steps.

        Raises:
            ValueError: naming a key in which the runs differ.
        """
        chosen = [cast(LinearTrainingConfig, config) for config in configs]
        first = chosen[0]
        for name in (each.name for each in fields(first) if each.name not in _FREE):
            if any(getattr(config, name) != getattr(first, name) for config in chosen):
                raise ValueError(f"{name}: expected the same in every run, got another")
        seeds = [Seeds.of(config.seed) for config in chosen]
        systems = [
            config.build(torch.Generator(config.device).manual_seed(seed.weights))
            for config, seed in zip(chosen, seeds, strict=True)
        ]
        rates = [config.learning_rate() for config in chosen]
        weights = [each.model.get_parameter("weight") for each in systems]
        v = torch.stack([each.detach() for each in weights])
        lr = torch.tensor(rates, dtype=v.dtype, device=v.device)[:, None]
        batches = _batches(systems, chosen, seeds, steps[-1])
        found = np.empty((len(chosen), len(steps)))
        place = 0
        for step in range(steps[-1] + 1):
            while place < len(steps) and steps[place] == step:
                for run, (system, weight) in enumerate(zip(systems, weights, strict=True)):
                    weight.data.copy_(v[run])
                    found[run, place] = _test_loss(system)
                place += 1
            if step == steps[-1]:
                break
            phi, y = next(batches)
            missed = torch.einsum("sbn,sn->sb", phi, v) - y
            slope = torch.einsum("sbn,sb->sn", phi, missed) * (2 / y.shape[1])
            v = v - first.rate_factor(step) * lr * (slope + first.weight_decay * v)
        axes = tuple(str(run) for run in range(len(chosen))), tuple(map(str, steps))
        return (Quantity("test_loss", found, "squared output", axes),)


def _batches(
    systems: Sequence[System],
    configs: Sequence[LinearTrainingConfig],
    seeds: Sequence[Seeds],
    last: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features (runs, B, N) and targets (runs, B) of each step."""
    sources = [
        system.batches(torch.Generator(config.device).manual_seed(seed.data))
        for system, config, seed in zip(systems, configs, seeds, strict=True)
    ]
    streams = [iter(source) for source in sources]
    if isinstance(sources[0], FullBatch):
        whole = _stacked(systems, [[_tensors(next(stream))] for stream in streams])[0]
        for _ in range(last):
            yield whole
        return
    taken = 0
    chunk = 1
    while taken < last:
        count = min(chunk, last - taken)
        held = [[_tensors(batch) for batch in islice(stream, count)] for stream in streams]
        yield from _stacked(systems, held)
        taken += len(held[0])
        numbers = len(held) * max(held[0][0][0].numel(), len(held[0][0][1]) * _width(systems[0]))
        chunk = max(1, _NUMBERS // numbers)


def _stacked(
    systems: Sequence[System], held: Sequence[Sequence[tuple[Tensor, Tensor]]]
) -> list[tuple[Tensor, Tensor]]:
    """Of each step (B may be short at the end of a pass) the features and targets of all runs."""
    features = []
    with torch.no_grad():
        for system, own in zip(systems, held, strict=True):
            sizes = [len(y) for _, y in own]
            phi = system.model.features(torch.cat([x for x, _ in own]))  # type: ignore[operator]
            features.append(phi.split(sizes))
    return [
        (
            torch.stack([own[step] for own in features]),
            torch.stack([own[step][1] for own in held]),
        )
        for step in range(len(held[0]))
    ]


def _tensors(batch: Batch) -> tuple[Tensor, Tensor]:
    inputs, targets = batch
    assert isinstance(inputs, Tensor)
    return inputs, targets


def _width(system: System) -> int:
    return system.model.get_parameter("weight").numel()


def _test_loss(system: System) -> float:
    assert system.theory is not None
    (quantity,) = system.theory.statistics(system.model, None).quantities()
    return float(quantity.values)
