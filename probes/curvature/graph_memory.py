"""The memory that a graph holds, measured on a part of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.utils._pytree import tree_leaves

from .batches import Batch, first_samples, sample_number
from .pullback import SavedTensors, made_tensors, saved_tensors

__all__ = ["graph_memory"]

# Samples on which it is measured.
_MEASURED = 64


def graph_memory(
    build: Callable[[Batch], object], batch: Batch, known: Sequence[Tensor], *, carried: bool
) -> tuple[float, float]:
    """Bytes that a graph holds for each sample: in all, and in its largest tensor.

    Args:
        build: makes the graph of a batch.
        batch: the first 64 samples are taken, all of them if the model takes no others.
        known: tensors that are there anyway, besides those of the batch.
        carried: whether the batch itself is held for the graph.
    """
    own = [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]
    beside = sum(t.numel() * t.element_size() for t in own) if carried else 0
    part = first_samples(batch, _MEASURED)
    try:
        held = _held(build, part, [*known, *own])
    except Exception:  # a module that takes whole batches only; other errors come again
        part = batch
        held = _held(build, part, [*known, *own])
    samples = sample_number(part)
    total = held.total / samples + beside / sample_number(batch)
    return max(1.0, total), held.largest / samples


def _held(build: Callable[[Batch], object], batch: Batch, known: Sequence[Tensor]) -> SavedTensors:
    try:
        with saved_tensors(known) as held:
            build(batch)
    except RuntimeError as error:
        if "saved tensor hooks" not in str(error):
            raise
        with made_tensors(known) as held:
            build(batch)
    return held
