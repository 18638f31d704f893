"""Tensors that stand in for others while code runs that may do anything to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["Copies", "address", "alias", "dtype_of"]


def address(tensor: Tensor) -> int | None:
    """What tensors have in common that share memory; None for one without memory of its own."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse, or inside of torch.func's transforms
        return None


def dtype_of(tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    """That of a copy of a tensor where floating ones are to have this one; None: its own."""
    if dtype is not None and tensor.is_complex():
        return dtype.to_complex()
    return dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype


def alias(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Another tensor on the same memory: hooks, ``.grad``, shape and version are its own.

    Off the graph; one made under inference mode is copied, as autograd cannot use it, and so is a
    floating or complex one of another dtype, if one is asked for.
    """
    if tensor.dtype != dtype_of(tensor, dtype):
        return _like(tensor.detach().to(dtype_of(tensor, dtype)), tensor)
    # Not detach(): what is done to the other would count as a write to this one.
    other = tensor.clone() if tensor.is_inference() else tensor.data
    return _like(other, tensor)


def _like(other: Tensor, tensor: Tensor) -> Tensor:
    """The other as a leaf of the kind of this one, a parameter or not."""
    grad = tensor.requires_grad and tensor.is_leaf
    if isinstance(tensor, nn.Parameter):
        other = nn.Parameter(other, grad)
        other.__dict__.update(tensor.__dict__)  # what optimisers and frameworks note there
        return other
    return other.requires_grad_() if grad else other


class Copies:
    """Copies of tensors, off the graph, that share memory where the tensors do.

    Args:
        tensors: all that there will be copies of.
        dtype: of the copies of floating tensors, see `dtype_of`; those of another then share
            nothing.
    """

    def __init__(self, tensors: Iterable[Tensor], dtype: torch.dtype | None = None) -> None:
        self._dtype = dtype
        self._made: list[tuple[Tensor, Tensor]] = []
        self._sharing = Counter(map(address, tensors))
        self._memory: dict[int, torch.UntypedStorage] = {}

    def of(self, tensor: Tensor) -> Tensor:
        """The copy of one."""
        where = address(tensor)
        if tensor.dtype != dtype_of(tensor, self._dtype):
            made = tensor.detach().to(dtype_of(tensor, self._dtype))
        elif where is None or self._sharing[where] < 2:
            made = tensor.detach().clone()
        else:
            if where not in self._memory:
                self._memory[where] = tensor.untyped_storage().clone()  # type: ignore[no-untyped-call]
            made = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
            made.set_(self._memory[where], tensor.storage_offset(), tensor.shape, tensor.stride())
        made = _like(made, tensor)
        self._made.append((made, tensor))
        return made

    def again(self) -> dict[int, Tensor]:
        """Copies of the copies as they are now, on their graph, by the identity of these."""
        return {id(made): made.clone() for made, _ in self._made}

    @property
    def written(self) -> bool:
        """Whether one of them is no longer equal to its original."""
        # Not by their versions: batch norm does not count what it writes.
        return not all(torch.equal(made, tensor.to(made.dtype)) for made, tensor in self._made)
