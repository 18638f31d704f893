"""Values computed from parameters without a gradient, which derivatives take for constants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.multiprocessing.reductions import StorageWeakRef

from .interception import Functions, Operations
from .stand_ins import address

__all__ = ["Constants"]


# What makes numbers or copies of tensors past torch's operations.
_READS = ("item", "tolist", "numpy", "__float__", "__complex__", "__array__", "__deepcopy__")


class Constants:
    """Sees what has a gradient meet what was computed from parameters and has none.

    By ``detach()`` or ``.data``, under ``no_grad``, or by fake quantisation, whose gradient is not
    that of its values. A meeting says nothing of its weight: where a loss does not depend on the
    constant, as on a maximum that is taken off logits, its derivatives are right. What is not of a
    floating type, as an index, is constant nearby, and what `torch.autograd.Function` computes has
    the gradient that it says.

    Attributes:
        found: the operations that made such constants.
        read: the methods by which numbers were taken out of torch, wherever they went.
        forward: whether derivatives were taken in forward mode: some of them have wrong derivatives
            (torch 2.13).
    """

    def __init__(self) -> None:
        self.found: dict[str, None] = {}
        self.read: dict[str, None] = {}
        self.forward = False
        # By address: a weak reference to the memory, which keeps others from that address, and what
        # was written there first.
        self._known: dict[int, tuple[StorageWeakRef, str]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A block whose operations are seen."""
        with _Methods(self), _Operators(self):
            yield

    def operation(self, name: str, given: Sequence[Tensor], result: Any) -> None:
        """Note what an operation on tensors has made."""
        moving = any(tensor.requires_grad for tensor in given)
        constants = [] if not self._known else [*filter(None, map(self._made_by, given))]
        if not moving and not constants:
            return
        if moving and name != "detach" and torch.is_grad_enabled():
            self.found.update(dict.fromkeys(constants))
            if "fake_quant" in name:
                self.found[name] = None
        elif not name.endswith("_like") and not name.startswith("new_"):
            made_by = constants[0] if constants else name
            for tensor in given if result is None else _floating((result,)):
                self._note(tensor, made_by)

    def method(self, name: str, tensor: Tensor) -> None:
        """Note a number that was read."""
        if tensor.is_floating_point() and (tensor.requires_grad or self._made_by(tensor)):
            self.read[name] = None

    def _made_by(self, tensor: Tensor) -> str:
        """What made this constant; empty for what is none."""
        if tensor.requires_grad:
            return ""
        memory, name = self._known.get(address(tensor) or 0, (None, ""))
        if memory is None:
            return ""
        return "" if memory.expired() else name  # type: ignore[no-untyped-call]

    def _note(self, tensor: Tensor, name: str) -> None:
        where = address(tensor)
        if where is not None:
            memory = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
            self._known[where] = memory, name


class _Operators(Operations):
    """Those of torch, also inside of its functions."""

    def __init__(self, constants: Constants) -> None:
        super().__init__()
        self._constants = constants

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        result = func(*args, **kwargs)
        self._constants.operation(
            _name(func), [*_floating(args), *_floating(kwargs.values())], result
        )
        return result


class _Methods(Functions):
    """Those of tensors that torch's operations are not told of."""

    def __init__(self, constants: Constants) -> None:
        super().__init__()
        self._constants = constants

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call ``func``."""
        name = getattr(func, "__name__", "")
        if forward_ad._current_level >= 0:
            self._constants.forward = True
        if name in _READS and args and isinstance(args[0], Tensor):
            self._constants.method(name.strip("_"), args[0])
        return func(*args, **kwargs)


def _floating(values: Iterable[Any]) -> Iterator[Tensor]:
    """Those of a floating type among what operations are given or return, also in lists of it."""
    for value in values:  # torch's tree_leaves takes several times as long
        if isinstance(value, Tensor):
            if value.is_floating_point() or value.is_complex():
                yield value
        elif isinstance(value, list | tuple):
            yield from _floating(value)


def _name(func: Callable[..., Any]) -> str:
    """Of an operation: "mv" for ``aten.mv.default``."""
    return str(getattr(func, "overloadpacket", func)).rpartition(".")[2]
