"""Where the batches of a training come from: fresh samples of a law, a fixed set, all of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice, repeat
from typing import Any, Protocol

import torch
from torch import Tensor

from ..models.arguments import require_arguments
from ..probes.curvature.batches import Batch, Inputs

__all__ = ["Batches", "Draw", "DrawnBatches", "FixedData", "FreshSamples", "FullBatch"]

# Draws samples of a law: inputs (size, ...) and targets (size, ...).
Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]

# Samples are drawn that many at once: a draw for each batch would cost more than its step.
_CHUNK = 1024


class Batches(Protocol):
    """An endless source of batches whose place can be saved and restored exactly."""

    def __iter__(self) -> Iterator[Batch]:
        """The batches from the present place on; each that is taken moves it."""

    def state_dict(self) -> dict[str, Any]:
        """The place, of tensors and plain types."""

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Go on where `state_dict` was taken."""


class FullBatch:
    """The same batch at every step, for full-batch descent.

    Args:
        inputs: of all samples.
        targets: of all samples.
    """

    def __init__(self, inputs: Inputs, targets: Any) -> None:
        require_arguments(FullBatch.__init__, locals())
        self._batch = inputs, targets

    def __iter__(self) -> Iterator[Batch]:
        return repeat(self._batch)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: every place is the same."""
        return {}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Nothing to go back to."""


class DrawnBatches(ABC):
    """An endless iterator over batches that are decided by a generator's state.

    Args:
        batch_size: number of samples of a batch, at least 1.
        generator: source of all randomness; nothing else may draw from it.
    """

    def __init__(self, batch_size: int, generator: torch.Generator) -> None:
        require_arguments(DrawnBatches.__init__, locals())
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1 sample, got {batch_size}")
        self.batch_size = batch_size
        self._generator = generator
        self._begin_chunk()

    @abstractmethod
    def _draw(self) -> Iterator[Batch]:
        """The batches of the next chunk: what they are is decided by the generator's state."""

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = next(self._chunk, None)
        if batch is None:
            self._begin_chunk()
            batch = next(self._chunk)
        self._position += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The generator's state at the start of the chunk, and how many batches of it are taken."""
        return {"generator": self._start, "position": self._position}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Go on where `state_dict` was taken."""
        self._generator.set_state(state["generator"])
        self._begin_chunk(state["position"])

    def _begin_chunk(self, position: int = 0) -> None:
        self._start = self._generator.get_state()
        self._position = position
        self._chunk: Iterator[Batch] = islice(self._draw(), position, None)


class FreshSamples(DrawnBatches):
    """Every batch is drawn anew, so that no sample is seen twice.

    Args:
        draw: so many samples of the law, from a generator.
        batch_size: number of samples of a batch, at least 1.
        generator: source of all randomness, on the device of what is drawn.
    """

    def __init__(self, draw: Draw, batch_size: int, generator: torch.Generator) -> None:
        require_arguments(FreshSamples.__init__, locals())
        self._draw_samples = draw
        super().__init__(batch_size, generator)

    def together(self, count: int) -> tuple[Tensor, Tensor]:
        """The next batches, one after another in one, (count * batch_size, ...) and their targets.

        They need not be cut out one by one and joined again.
        """
        parts: list[tuple[Tensor, Tensor]] = []
        while count:
            next(self)  # of a new chunk, if the last one is used up
            inputs, targets = self._samples
            first = self._position - 1
            taken = min(count, len(targets) // self.batch_size - first)
            chosen = slice(first * self.batch_size, (first + taken) * self.batch_size)
            parts.append((inputs[chosen], targets[chosen]))
            self._position = first + taken
            self._chunk = self._cut(self._position)
            count -= taken
        return torch.cat([inputs for inputs, _ in parts]), torch.cat([part for _, part in parts])

    def _draw(self) -> Iterator[Batch]:
        size = max(1, _CHUNK // self.batch_size) * self.batch_size
        self._samples = self._draw_samples(size, self._generator)
        yield from self._cut(0)

    def _cut(self, position: int) -> Iterator[Batch]:
        """The batches of the present chunk from a place on."""
        inputs, targets = self._samples
        for first in range(position * self.batch_size, len(targets), self.batch_size):
            chosen = slice(first, first + self.batch_size)
            yield inputs[chosen], targets[chosen]


class FixedData(DrawnBatches):
    """Passes over the same samples, shuffled anew each time; the last batch may be short.

    Args:
        inputs: (N, ...), N >= 1.
        targets: (N, ...).
        batch_size: number of samples of a batch, at least 1.
        generator: source of the shuffles, on the device of ``inputs``.
    """

    def __init__(
        self, inputs: Tensor, targets: Tensor, batch_size: int, generator: torch.Generator
    ) -> None:
        require_arguments(FixedData.__init__, locals())
        if len(inputs) == 0 or len(inputs) != len(targets):
            raise ValueError(
                "inputs, targets: expected equally many samples, at least 1, "
                f"got {len(inputs)} and {len(targets)}"
            )
        self._inputs = inputs
        self._targets = targets
        super().__init__(batch_size, generator)

    def _draw(self) -> Iterator[Batch]:
        order = torch.randperm(
            len(self._inputs), generator=self._generator, device=self._inputs.device
        )
        for first in range(0, len(order), self.batch_size):
            chosen = order[first : first + self.batch_size]
            yield self._inputs[chosen], self._targets[chosen]
