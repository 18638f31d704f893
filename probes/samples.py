"""What a probe can be given as its sample, and the batches that are measured on."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, Dataset

from .curvature.batches import (
    Batch,
    Batched,
    first_samples,
    is_empty,
    is_graph,
    sample_number,
)
from .curvature.wrappers import unwrap
from .loaded import Loaded, loaded

__all__ = ["Drawn", "Sample", "Source", "source_of"]

# What is drawn: a batch, or what stands for one or several.
Drawn = Batch | list[Any] | Mapping[str, Any]
Sample = Drawn | DataLoader[Any] | Dataset[Any] | Callable[[torch.Generator], Any] | Any

# Of a loader or dataset, unless more are asked for.
_SAMPLES = 1024


class Source(Protocol):
    """Where a probe's batches come from."""

    @property
    def varies(self) -> bool:
        """Whether another draw has other samples."""

    def batches(self, generator: Callable[[bool], torch.Generator], draw: int) -> Batched:
        """The batches of one draw.

        Args:
            generator: a new one; True: that depends on the step too.
            draw: number of the draw.

        Raises:
            ValueError: if there are none, or they are of the wrong kind.
        """


def source_of(sample: Sample, model: nn.Module, max_samples: int | None, least: int = 1) -> Source:
    """The source that an argument ``sample`` means, of batches of at least so many samples each.

    Raises:
        ValueError: naming sample or max_samples.
    """
    if max_samples is not None and max_samples < 1:
        raise ValueError(f"max_samples: expected at least 1, got {max_samples}")
    form = _Form(model, max_samples, least)
    if _is_dataset(sample):
        source = loaded(sample, max_samples or _SAMPLES)
        if source.indices is not None and not len(source.dataset):
            raise ValueError("sample: expected at least one sample, got an empty dataset")
        return _Read(source, form)
    if callable(sample) and not isinstance(sample, Mapping) and not is_graph(sample):
        return _Called(sample, form)
    return _Given(form.batches(sample))


@dataclass(frozen=True)
class _Given:
    """Batches that are there."""

    given: Batched
    varies = False

    def batches(self, generator: Callable[[bool], torch.Generator], draw: int) -> Batched:
        return self.given


@dataclass(frozen=True)
class _Called:
    """A function that draws them: other ones at each step."""

    function: Callable[[torch.Generator], Any]
    form: _Form
    varies = True

    def batches(self, generator: Callable[[bool], torch.Generator], draw: int) -> Batched:
        return self.form.batches(self.function(generator(True)))


@dataclass(frozen=True)
class _Read:
    """A dataset: the same samples at each step."""

    loaded: Loaded
    form: _Form

    @property
    def varies(self) -> bool:
        return self.loaded.varies

    def batches(self, generator: Callable[[bool], torch.Generator], draw: int) -> Batched:
        device = next(unwrap(self.form.model).parameters()).device

        def moved(leaf: Any) -> Any:
            return leaf.to(device) if isinstance(leaf, Tensor) or is_graph(leaf) else leaf

        found = self.loaded.read(generator(False).initial_seed(), draw)
        return self.form.batches([tree_map(moved, batch) for batch in found], several=True)


@dataclass(frozen=True)
class _Form:
    """From what stands for batches to pairs (inputs, targets).

    Attributes:
        model: whose forward says what it takes.
        limit: most samples; None for all.
        least: fewest of a batch, 0 or 1.
    """

    model: nn.Module
    limit: int | None
    least: int

    def batches(self, drawn: Any, *, several: bool = False) -> Batched:
        """Pairs, of at most so many samples together; of a list of batches if that is known."""
        if several or _is_of_several(drawn):
            found = [self._pair(each) for each in drawn]
        else:
            found = [self._pair(drawn)]
        if not found:
            raise ValueError("sample: expected at least one batch, got none")
        kept: list[Batch] = []
        left = math.inf if self.limit is None else self.limit
        for batch in found:
            number = _require_samples(batch, self.least)
            if number <= left:
                kept.append(batch)
            elif is_graph(batch[1]):
                raise ValueError(
                    f"max_samples: expected whole graphs, got {self.limit} and a graph of {number}:"
                    " its nodes depend on each other"
                )
            elif left:
                kept.append(first_samples(batch, int(left)))
            left = max(0, left - number)
        return kept[0] if len(kept) == 1 else kept

    def _pair(self, value: Any) -> Batch:
        if isinstance(value, tuple | list) and len(value) == 2:
            return value[0], value[1]
        if isinstance(value, Mapping):
            fields = dict(value)
            taken, _ = self._taken(fields)
            if not taken:
                raise ValueError(
                    f"sample: expected fields that the model's forward takes, got {list(fields)}"
                )
            return {name: fields[name] for name in taken}, fields
        if is_graph(value):
            fields = value.to_dict()
            taken, enough = self._taken(fields)
            return ({name: fields[name] for name in taken} if enough else (value,)), value
        number = f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise ValueError(
            f"sample: expected (inputs, targets), got {type(value).__name__}{number}: batches of "
            "another form are given as a list of such pairs, or by a function of a generator"
        )

    def _taken(self, fields: Mapping[str, Any]) -> tuple[list[str], bool]:
        """Names of the fields that forward takes, and whether they are all that it needs."""
        parameters = inspect.signature(unwrap(self.model).forward).parameters.values()
        if any(each.kind is each.VAR_KEYWORD for each in parameters):
            return list(fields), True
        names = {each.name for each in parameters}
        needed = {each.name for each in parameters if each.default is each.empty}
        return [name for name in fields if name in names], needed <= fields.keys()


def _is_of_several(drawn: Any) -> bool:
    """Whether it is a list of batches, and no list [inputs, targets] with a tensor in it."""
    return isinstance(drawn, list) and all(
        isinstance(each, tuple | list | Mapping) or is_graph(each) for each in drawn
    )


def _is_dataset(sample: Any) -> bool:
    if isinstance(sample, DataLoader | Dataset):
        return True
    known = isinstance(sample, Tensor | Mapping | list | tuple | str | nn.Module)
    indexed = hasattr(sample, "__getitem__") and hasattr(sample, "__len__")
    return not known and not is_graph(sample) and indexed


def _require_samples(batch: Batch, least: int) -> int:
    """Number of samples of a batch, at least so many, 0 or 1."""
    targets = batch[1]
    if isinstance(targets, Tensor) and (targets.ndim == 0 or len(targets) < least):
        raise ValueError(f"sample: expected at least one sample, got {tuple(targets.shape)}")
    if not least and is_empty(batch):
        return 0
    try:
        return sample_number(batch)
    except ValueError as error:
        raise ValueError(str(error).replace("data:", "sample:", 1)) from error
