"""Products with transposed Jacobians on a graph that stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .interception import Operations

__all__ = ["Pullback", "SavedTensors", "made_tensors", "saved_tensors"]


class Pullback:
    """w -> J^T w,  J the Jacobian of ``outputs`` by ``inputs``; the result is a constant.

    Weights (..., *shape) of a panel have one leading axis, and so has then each part of the result.

    Args:
        outputs: tensors on a graph; one without a gradient counts as constant.
        inputs: tensors that the graph begins at.
    """

    def __init__(self, outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
        self._outputs, self._inputs = outputs, inputs
        self._varying = [i for i, output in enumerate(outputs) if output.requires_grad]

    @property
    def constant(self) -> bool:
        """Whether J = 0 because no output has a gradient."""
        return not self._varying

    def __call__(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """J^T w by input, zeros where nothing depends on it."""
        lead = weights[0].shape[: weights[0].ndim - self._outputs[0].ndim]
        found: Sequence[Tensor | None] = [None] * len(self._inputs)
        if self._varying:
            found = torch.autograd.grad(
                [self._outputs[i] for i in self._varying],
                self._inputs,
                [weights[i] for i in self._varying],
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=bool(lead),
            )
        return [
            part.new_zeros(*lead, *part.shape) if product is None else product
            for part, product in zip(self._inputs, found, strict=True)
        ]


class SavedTensors:
    """Sizes of what graphs hold for their backward passes, in bytes by memory."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}

    @property
    def total(self) -> int:
        """Bytes of all together."""
        return sum(self.sizes.values())

    @property
    def largest(self) -> int:
        """Bytes of the largest."""
        return max(self.sizes.values(), default=0)


@contextmanager
def saved_tensors(but: Sequence[Tensor]) -> Iterator[SavedTensors]:
    """What graphs built inside hold, without what shares memory with these tensors.

    The graphs are of no use afterwards. Sizes are right as long as the graphs live: memory that is
    freed may be counted again.
    """
    held = SavedTensors()
    known = {memory[0] for tensor in but if (memory := _memory(tensor)) is not None}
    packed: list[list[Tensor]] = []

    def keep(tensor: Tensor) -> list[Tensor]:
        memory = _memory(tensor)
        if memory is not None and memory[0] not in known:
            held.sizes[memory[0]] = memory[1]
        packed.append([tensor])
        return packed[-1]

    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda pack: pack[0]):
            yield held
    finally:
        # What a node saves of its own output refers to the node: a cycle that nothing collects.
        for pack in packed:
            pack.clear()


@contextmanager
def made_tensors(but: Sequence[Tensor]) -> Iterator[SavedTensors]:
    """All that is made inside, a bound of what graphs hold: where they are not to be asked.

    In code that takes derivatives by `torch.func` there must be no hooks on what graphs save.
    """
    held = SavedTensors()
    with _Made(held, but):
        yield held


class _Made(Operations):
    """Counts what operations return, but for what shares memory with some tensors."""

    def __init__(self, held: SavedTensors, but: Sequence[Tensor]) -> None:
        super().__init__()
        self._held = held
        self._but = {memory[0] for tensor in but if (memory := _memory(tensor)) is not None}

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            memory = _memory(leaf) if isinstance(leaf, Tensor) else None
            if memory is not None and memory[0] not in self._but:
                self._held.sizes[memory[0]] = memory[1]
        return result


def _memory(tensor: Tensor) -> tuple[int, int] | None:
    """Address and bytes; None for what has no memory, as inside of torch.func's transforms."""
    try:
        storage = tensor.untyped_storage()
        return storage.data_ptr(), storage.nbytes()
    except (NotImplementedError, RuntimeError):
        return None
