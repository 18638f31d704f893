"""A batch in smaller and smaller parts, as memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from .curvature.batches import Batch, Batched, batches_of, divided, first_samples, sample_number
from .curvature.borrowed import Borrowed
from .curvature.division import same_in_parts
from .curvature.losses import Loss
from .curvature.observe import undisturbed
from .curvature.out_of_memory import is_out_of_memory, let_go
from .curvature.processes import Processes

__all__ = ["MicroBatches"]

T = TypeVar("T")


class MicroBatches:
    """Takes what is a mean over samples from parts of a batch, where the whole is too large.

    Parts are halved each time memory runs out, down to one sample, as long as outputs and loss of
    two of them together are those of one after the other. Where that was in vain, as where it is a
    Krylov basis that takes the memory, it is not tried again.

    Args:
        module: unwrapped.
        loss: of (outputs, targets).
        processes: each has parts of its own; all of them halve theirs together.

    Attributes:
        samples: of a part at most; 0 as long as batches are taken as they are.
        largest: of any process.
    """

    def __init__(self, module: nn.Module, loss: Loss, processes: Processes) -> None:
        self.samples = self.largest = 0
        self._in_vain = False
        self._module, self._loss, self._processes = module, loss, processes

    def of(self, data: Batched) -> Batched:
        """The data in parts."""
        if not self.samples or isinstance(data, Borrowed):
            return data
        return [part for batch in batches_of(data) for part in divided(batch, self.samples)]

    def taken(self, data: Batched, take: Callable[[Batched], T]) -> T:
        """What ``take`` makes of the data, in parts that fit.

        Raises:
            Exception: what it fails with other than for want of memory; or for that, where parts
                cannot be smaller.
        """
        before = self.samples, self.largest
        while True:
            try:
                return take(self.of(data))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                let_go(error)
                if self._in_vain or not self._halved(data):
                    self.samples, self.largest = before
                    self._in_vain = True
                    raise

    def _halved(self, data: Batched) -> bool:
        """Whether there are smaller parts now; the same on all processes."""
        with self._processes.agreed():
            size = 0 if isinstance(data, Borrowed) else self._smaller(data)
        sizes = self._processes.gather([size or 0, float(size is None)])
        if sizes[:, 1].any() or not sizes[:, 0].any():
            return False
        self.samples, self.largest = size or self.samples, int(sizes[:, 0].max())
        return True

    def _smaller(self, data: Batched) -> int | None:
        """Samples of the next smaller parts; 0 if they are of one, None if there must be none."""
        first = max(batches_of(data), key=sample_number)
        size = self.samples or sample_number(first)
        while size > 1:
            size = -(-size // 2)
            for together in (2 * size, size):
                try:
                    return size if self._alike(first_samples(first, together)) else None
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    let_go(error)
        return 0

    def _alike(self, batch: Batch) -> bool:
        """Whether the batch is its halves, one after the other."""
        number = sample_number(batch)
        if number < 2:
            return False
        with undisturbed(self._module, self._loss) as observed:
            return same_in_parts(observed, observed.total, batch, divided(batch, -(-number // 2)))
