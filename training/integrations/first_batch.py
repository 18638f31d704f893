"""The first batch of a loader, taken so that nobody notices."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from ...probes.curvature.generators import GENERATORS, generator_state, shared_generators

__all__ = ["first_batch"]

_INSTEAD = "; pass sample=(inputs, targets), or a function of a generator that draws one"


def first_batch(loader: Any) -> Any:
    """What the loader would give first, read from its dataset without making its iterator.

    Its workers are not started, and every generator (those of torch, Python and NumPy, and the
    loader's and samplers' own) is put back to where it was.

    Args:
        loader: a DataLoader of a dataset that can be indexed.

    Raises:
        ValueError: for anything else, whose batches the training might miss, and for an empty one.
    """
    dataset: Any = getattr(loader, "dataset", None)
    samplers: list[Any] = [getattr(loader, name, None) for name in ("batch_sampler", "sampler")]
    if not isinstance(loader, DataLoader) or isinstance(dataset, IterableDataset):
        found = type(loader if dataset is None else dataset).__name__
        raise ValueError(
            f"sample: expected a DataLoader of a dataset that can be indexed, got {found}{_INSTEAD}"
        )
    samplers.append(getattr(samplers[0], "sampler", None))
    own = [getattr(owner, "generator", None) for owner in (loader, dataset, *samplers)]
    places = [*shared_generators(), *(generator_state(g) for g in own if isinstance(g, GENERATORS))]
    before = [(place, place.read()) for place in places]
    try:
        # A loader's iterator draws the seed of its workers before its sampler begins.
        torch.empty((), dtype=torch.int64).random_(generator=loader.generator)
        indices = next(iter(samplers[0] if samplers[0] is not None else samplers[1]), None)
        if indices is None:
            raise ValueError(
                f"sample: expected a loader with at least one batch, got none{_INSTEAD}"
            )
        if samplers[0] is None:  # the loader does not make batches: each item is one
            return loader.collate_fn(dataset[indices])
        if hasattr(dataset, "__getitems__"):
            return loader.collate_fn(dataset.__getitems__(indices))
        return loader.collate_fn([dataset[index] for index in indices])
    finally:
        for place, state in before:
            place.write(state)
