"""Products with transposed Jacobians on a graph that stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["Pullback", "SavedTensors", "saved_tensors"]


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
    known = {tensor.untyped_storage().data_ptr() for tensor in but}
    packed: list[list[Tensor]] = []

    def keep(tensor: Tensor) -> list[Tensor]:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            held.sizes[storage.data_ptr()] = storage.nbytes()
        packed.append([tensor])
        return packed[-1]

    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda pack: pack[0]):
            yield held
    finally:
        # What a node saves of its own output refers to the node: a cycle that nothing collects.
        for pack in packed:
            pack.clear()
