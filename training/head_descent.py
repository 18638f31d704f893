"""Many runs of one head model side by side: the steps of all are a few tensor operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import cast

import torch
from torch import Tensor

from .data import FreshSamples
from .head_sgd import HeadSGD
from .system import Running

__all__ = ["HeadDescent"]

_NUMBERS = 2**22  # of inputs that are held at once


class HeadDescent:
    """SGD of provided models that differ in their seeds, see `Descent` and `HeadSGD`."""

    @property
    def free(self) -> frozenset[str]:
        """The seed."""
        return frozenset(("seed",))

    def __call__(self, runs: Sequence[Running]) -> Callable[[int], Tensor]:
        """Begin with some runs.

        Raises:
            ValueError: if a model is not a provided one under plain SGD.
        """
        sgd = HeadSGD([run.system.model for run in runs], [run.system.optimiser for run in runs])
        streams = [iter(run.batches) for run in runs]

        def advance(steps: int) -> Tensor:
            for inputs, targets in _together(streams, steps):
                sgd.step(inputs, targets)
            return sgd.losses()

        return advance


def _together(streams: Sequence[Iterator[object]], steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs (R, B, d) and targets (R, B) of each step; B may be short at the end of a pass."""
    taken, count = 0, 1
    while taken < steps:
        count = min(count, steps - taken)
        held = [_joined(each, count) for each in streams]
        inputs = torch.stack([each for each, _, _ in held])
        targets = torch.stack([each for _, each, _ in held])
        sizes = held[0][2]
        yield from zip(torch.split(inputs, sizes, 1), torch.split(targets, sizes, 1), strict=True)
        taken += count
        count = max(1, _NUMBERS // (len(held) * sizes[0] * inputs[0, 0].numel()))


def _joined(stream: Iterator[object], count: int) -> tuple[Tensor, Tensor, list[int]]:
    """Inputs and targets of the next batches of a run, one after another, and their sizes."""
    if isinstance(stream, FreshSamples):
        return *stream.together(count), [stream.batch_size] * count
    batches = cast(list[tuple[Tensor, Tensor]], list(islice(stream, count)))
    inputs, targets = (torch.cat([batch[part] for batch in batches]) for part in (0, 1))
    return inputs, targets, [len(each) for _, each in batches]
