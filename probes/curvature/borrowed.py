"""Samples of another process: for one that has none, so that it can take part in every product."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import register_pytree_node, tree_map

from .batches import Batch, Batched, batches_of, first_samples, halved, is_empty, together
from .processes import Processes

__all__ = ["Borrowed", "borrowed_if_empty", "counted", "in_halves", "of_all"]

# Batch norm has no statistics of one.
_LENT = 2


class Borrowed(tuple[Any, Any]):
    """A batch (inputs, targets) that counts by 0: all is computed as with samples of one's own."""

    __slots__ = ()


register_pytree_node(Borrowed, lambda batch: (list(batch), None), lambda parts, _: Borrowed(parts))


def counted(batch: Batched, weight: float) -> float:
    """What the batch counts by among those of all processes."""
    return 0.0 if isinstance(batch, Borrowed) else weight


def borrowed_if_empty(batch: Batched, processes: Processes) -> Batched:
    """The batch, or where it has no sample the first two of the first process that has some.

    Raises:
        ValueError: on all processes, if none of them has one.
    """
    counts = processes.gather([float(not is_empty(batch))])[:, 0]
    if counts.all():
        return batch
    if not counts.any():
        raise ValueError("sample: expected at least one sample on some process, got none on any")
    lender = int(counts.argmax())
    own = first_samples(batches_of(batch)[0], _LENT) if processes.rank == lender else None
    lent = processes.told(_moved(own, "cpu"), by=lender)
    return batch if counts[processes.rank] else Borrowed(_moved(lent, processes.device))


def in_halves(batch: Batched, generator: torch.Generator) -> tuple[Batched, Batched]:
    """Two halves of the samples at random; borrowed ones, which count by 0, are in both.

    Raises:
        ValueError: for a single sample.
    """
    if isinstance(batch, Borrowed):
        return batch, batch
    return halved(together(batch), generator)


def of_all(batch: Batched, processes: Processes) -> Batch | None:
    """The samples of all processes in one batch on the first one that has some; None on others.

    Raises:
        ValueError: if batches cannot be put together.
    """
    if processes.alone:
        return together(batch)
    first = int(processes.gather([counted(batch, 1.0)])[:, 0].argmax())
    own: Batch | None = None
    with processes.agreed():
        if not isinstance(batch, Borrowed):
            own = _moved(together(batch), "cpu")
    shares = [share for share in processes.collected(own, by=first) if share is not None]
    whole: Batch | None = None
    with processes.agreed():
        if shares:
            whole = _moved(together(shares), processes.device)
    return whole


def _moved(batch: Any, device: Any) -> Any:
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, batch)
