"""Samples read from datasets and loaders, past the loader: the training never sees it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import IOBase
from itertools import islice
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
)

from .curvature.batches import sample_number
from .reading import data_roots, streams, untouched

__all__ = ["Loaded", "loaded"]

# Samples in a batch of a dataset that comes without a loader.
_BATCH = 64
_INSTEAD = "pass batches, list(itertools.islice(loader, n)), taken before the training, instead"


@dataclass(frozen=True)
class Loaded:
    """What a loader, or a dataset alone, is read by.

    Items are fetched from the dataset in this process and put together by the loader's own
    ``collate_fn``; the loader itself is never iterated over. Indices come from a copy of its
    sampler with generators of the probe's. Where it goes in order, indices are drawn at random: the
    first of data that are sorted by class would be a bad sample. Of an `IterableDataset` a copy is
    iterated over.

    Attributes:
        dataset: by index, or iterable.
        indices: sampler of lists of indices, or of an index where the dataset gives batches.
        batch_size: of an iterable dataset; None if it gives batches.
        collate: makes a batch of a list of items, or of what the dataset gives where that is one.
        whole: whether the dataset gives batches.
        limit: most samples that are read.
    """

    dataset: Any
    indices: Iterable[Any] | None
    batch_size: int | None
    collate: Any
    whole: bool
    limit: int

    @property
    def varies(self) -> bool:
        """Whether another draw has other samples."""
        try:
            return self.indices is not None and self.limit < len(self.dataset)
        except TypeError:
            return self.indices is not None

    def read(self, seed: int, draw: int) -> list[Any]:
        """Batches as the collate function makes them, of ``limit`` samples where it can be counted.

        Raises:
            ValueError: if the dataset cannot be read without a trace.
        """
        roots = data_roots(self.dataset, self.indices, self.collate)
        if self.indices is None:
            dataset = _second(self.dataset, roots)
            with untouched(roots, seed):
                return list(self._streamed(iter(dataset)))
        _refuse(
            [each for each in streams(roots, (Iterator,)) if not isinstance(each, IOBase)],
            "a dataset",
        )
        with untouched(roots, seed):
            sampler = self._own_sampler(seed, draw)
            return [self._fetched(indices) for indices in self._limited(sampler)]

    def _streamed(self, items: Iterator[Any]) -> Iterator[Any]:
        left = self.limit
        while left > 0:
            some = list(islice(items, min(left, self.batch_size or 1)))
            if not some:
                return
            yield self.collate(some[0] if self.whole else some)
            left -= sample_number(((), some[0])) if self.whole else len(some)

    def _limited(self, sampler: Iterable[Any]) -> Iterator[Any]:
        left = self.limit
        for indices in sampler:
            if left <= 0:
                return
            many = isinstance(indices, Sequence)
            yield indices[:left] if many else indices
            left -= len(indices) if many else 1

    def _fetched(self, indices: Any) -> Any:
        if self.whole:
            return self.collate(self.dataset[indices])
        together = getattr(self.dataset, "__getitems__", None)
        items = together(indices) if together else [self.dataset[index] for index in indices]
        return self.collate(items)

    def _own_sampler(self, seed: int, draw: int) -> Iterable[Any]:
        try:
            sampler = copy.deepcopy(self.indices, {id(self.dataset): self.dataset})
        except Exception as error:
            raise ValueError(
                f"sample: expected a loader whose sampler can be copied, got {error}: {_INSTEAD}"
            ) from error
        assert sampler is not None
        if type(sampler) is BatchSampler:
            sampler.drop_last = False
            if type(sampler.sampler) is SequentialSampler and self.varies:
                sampler.sampler = RandomSampler(sampler.sampler.data_source)
        each: Any = sampler
        while each is not None:
            if isinstance(getattr(each, "generator", None), torch.Generator):
                each.generator.manual_seed(seed)
            if hasattr(each, "set_epoch"):  # where the order follows from the epoch
                each.set_epoch(draw)
            each = getattr(each, "batch_sampler", None) or getattr(each, "sampler", None)
        return sampler


def loaded(source: Any, max_samples: int) -> Loaded:
    """How a `DataLoader`, or a dataset alone, is read."""
    if isinstance(source, DataLoader):
        dataset, collate = source.dataset, source.collate_fn
        whole, size = source.batch_sampler is None and source.batch_size is None, source.batch_size
        indices: Iterable[Any] | None = source.batch_sampler
        indices = source.sampler if indices is None else indices
    else:
        dataset, collate, whole, size = source, default_collate, False, _BATCH
        indices = BatchSampler(SequentialSampler(dataset), _BATCH, False)
    if isinstance(dataset, IterableDataset):
        indices = None
    return Loaded(dataset, indices, size, collate, whole, max_samples)


def _second(dataset: Any, roots: dict[str, Any]) -> Any:
    """A copy of an iterable dataset, from which nothing is lost to the first."""
    kind = "an IterableDataset"
    try:
        second = copy.deepcopy(dataset)
    except Exception as error:
        raise ValueError(
            f"sample: expected {kind} that can be copied, got {type(dataset).__name__} that holds "
            f"what cannot, as an open stream ({error}): {_INSTEAD}"
        ) from error
    copied = {id(each) for each in streams(data_roots(second))}
    _refuse([each for each in streams(roots) if id(each) in copied], kind)
    return second


def _refuse(found: list[Any], kind: str) -> None:
    if found:
        names = ", ".join(sorted({type(each).__name__ for each in found}))
        raise ValueError(
            f"sample: expected {kind} that can be read twice, got one whose code reads from "
            f"{names}, which the training would miss: {_INSTEAD}"
        )
