"""The data a curvature is summed over: one batch, or batches that can be gone through again."""

from __future__ import annotations

import operator
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

__all__ = [
    "Batch",
    "Batched",
    "Batches",
    "Data",
    "Inputs",
    "batches_of",
    "divided",
    "first_samples",
    "halved",
    "is_empty",
    "is_graph",
    "ordinary",
    "sample_number",
    "together",
]

# Passed to the module as model(x), model(*x) for a sequence, model(**x) for a mapping.
Inputs = Tensor | Sequence[Any] | Mapping[str, Any]
Batch = tuple[Inputs, Any]
Data = Batch | Iterable[Any]
# One batch, or several that are held in memory.
Batched = Batch | list[Batch]


class Batches:
    """Batches (inputs, targets), again on every pass.

    A pass leaves the generators of Python, NumPy and the loader as they were (those of torch are
    kept by `undisturbed`): every pass has the same samples, and a loader shared with the training
    gives the training the same batches as without.

    Args:
        data: a tuple (inputs, targets), or an iterable of such pairs that can be iterated again: a
            DataLoader, a list.

    Raises:
        ValueError: for an iterator, which gives its batches once, and for anything else.
    """

    def __init__(self, data: Data) -> None:
        expected = "data: expected a tuple (inputs, targets) or batches to iterate over repeatedly"
        if isinstance(data, tuple) and len(data) != 2:
            raise ValueError(f"{expected}, got a tuple of {len(data)}")
        if isinstance(data, Iterator):
            raise ValueError(f"{expected}, got an iterator ({type(data).__name__})")
        if isinstance(data, Tensor | Mapping | str) or not isinstance(data, Iterable):
            raise ValueError(f"{expected}, got {type(data).__name__}")
        self._data = data

    @property
    def many(self) -> bool:
        """Whether batches come from elsewhere, rather than being one that the caller holds."""
        return not isinstance(self._data, tuple)

    def __iter__(self) -> Iterator[Batch]:
        """One pass.

        Raises:
            ValueError: if there is no batch, or one that is no pair.
        """
        if isinstance(self._data, tuple):
            yield ordinary(self._data)
            return
        empty = True
        with _generators_kept(self._data):
            for batch in self._data:
                if not isinstance(batch, tuple | list) or len(batch) != 2:
                    found = type(batch).__name__
                    raise ValueError(f"data: expected batches (inputs, targets), got {found}")
                empty = False
                yield ordinary((batch[0], batch[1]))
        if empty:
            raise ValueError("data: expected at least one batch, got none")


def sample_number(batch: Batch) -> int:
    """Length of the first axis of the targets' first tensor that has one, else of the inputs'.

    Targets that are a list of mappings have one for each sample, as the boxes of images. A graph
    has as many as its ``y``.

    Raises:
        ValueError: if there is no such tensor or no sample.
    """
    if _one_each(batch[1]):
        return len(batch[1])
    for leaf in tree_leaves([_opened(leaf) for leaf in tree_leaves(batch[::-1])]):
        if isinstance(leaf, Tensor) and leaf.ndim:
            if len(leaf):
                return len(leaf)
            raise ValueError(f"data: expected at least one sample, got shape {tuple(leaf.shape)}")
    raise ValueError("data: expected tensors with samples along the first axis, got none")


def is_empty(data: Batched) -> bool:
    """Whether the tensors that tell how many samples there are have none."""
    return all(map(_is_empty, batches_of(data)))


def _is_empty(batch: Batch) -> bool:
    if _one_each(batch[1]):
        return False
    lengths = (
        len(leaf) for leaf in tree_leaves(batch[::-1]) if isinstance(leaf, Tensor) and leaf.ndim
    )
    return next(lengths, 1) == 0


def is_graph(value: Any) -> bool:
    """Whether it is an object like the ``Data`` of torch_geometric."""
    edges = ("edge_index", "edge_index_dict")
    return hasattr(value, "to_dict") and any(hasattr(value, name) for name in edges)


def _opened(leaf: Any) -> Any:
    """The fields of a graph, its labels first."""
    if isinstance(leaf, Tensor) or not is_graph(leaf):
        return leaf
    fields = leaf.to_dict()
    return [fields.get("y"), fields]


def batches_of(data: Batched) -> list[Batch]:
    """One batch or several as several."""
    return data if isinstance(data, list) else [data]


def together(data: Batched) -> Batch:
    """Several batches as one: tensors one after another along their first axis.

    Raises:
        ValueError: if they are not of the same tree, with tensors that fit.
    """
    batches = batches_of(data)
    if len(batches) == 1:
        return batches[0]
    leaves, trees = zip(*(tree_flatten(batch) for batch in batches), strict=True)

    def joined(parts: tuple[Any, ...]) -> Any:
        if all(isinstance(part, Tensor) and part.ndim for part in parts):
            return torch.cat(parts)
        first = parts[0]
        same = torch.equal if isinstance(first, Tensor) else operator.eq
        if not all(type(part) is type(first) and same(part, first) for part in parts):
            raise TypeError(f"got {type(first).__name__} that is another in each")
        return first

    try:
        if any(tree != trees[0] for tree in trees):
            raise TypeError("got batches of different trees")
        whole = tree_unflatten([joined(parts) for parts in zip(*leaves, strict=True)], trees[0])
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"sample: expected batches that can be put together for this, {error}"
        ) from error
    return cast(Batch, whole)


def divided(batch: Batch, samples: int) -> list[Batch]:
    """The batch in parts of at most so many samples; what has another first axis is in each."""
    number = sample_number(batch)
    parts = (slice(start, start + samples) for start in range(0, number, samples))
    return [_part(batch, number, part) for part in parts]


def first_samples(batch: Batch, samples: int) -> Batch:
    """The first of the parts of `divided`."""
    return _part(batch, sample_number(batch), slice(samples))


def _part(batch: Batch, number: int, part: slice) -> Batch:
    def rows(leaf: Any) -> Any:
        whole = not isinstance(leaf, Tensor) or leaf.ndim == 0 or len(leaf) != number
        return leaf if whole else leaf[part]

    inputs, targets = batch
    return tree_map(rows, inputs), targets[part] if _one_each(targets) else tree_map(rows, targets)


def halved(batch: Batch, generator: torch.Generator) -> tuple[Batch, Batch]:
    """Two halves of the samples at random; what has another first axis is in both.

    Raises:
        ValueError: for a single sample.
    """
    number = sample_number(batch)
    if number < 2:
        raise ValueError("sample: expected at least two samples to halve, got one")
    order = torch.randperm(number, device=generator.device, generator=generator)

    def of(places: Tensor) -> Batch:
        def rows(leaf: Any) -> Any:
            whole = not isinstance(leaf, Tensor) or leaf.ndim == 0 or len(leaf) != number
            return leaf if whole else leaf[places.to(leaf.device)]

        if _one_each(batch[1]):
            return (tree_map(rows, batch[0]), [batch[1][place] for place in places.tolist()])
        return (tree_map(rows, batch[0]), tree_map(rows, batch[1]))

    first, second = order.tensor_split(2)
    return of(first), of(second)


def _one_each(targets: Any) -> bool:
    return (
        isinstance(targets, list)
        and bool(targets)
        and all(isinstance(each, Mapping) for each in targets)
    )


def ordinary(batch: Any) -> Any:
    """The batch with tensors made under inference mode replaced by copies autograd can use."""

    def cloned(leaf: Any) -> Any:
        return leaf.clone() if isinstance(leaf, Tensor) and leaf.is_inference() else leaf

    return tree_map(cloned, batch)


@contextmanager
def _generators_kept(loader: Any) -> Iterator[None]:
    """Put the states of every generator that a pass may advance back afterwards."""
    owners = (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None))
    found = [getattr(owner, "generator", None) for owner in owners]
    states = [(g, g.get_state()) for g in found if isinstance(g, torch.Generator)]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        for generator, state in states:
            generator.set_state(state)
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
