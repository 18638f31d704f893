"""Writes into tensors that must stay as they are, refused before they happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .interception import Operations
from .reach import Data
from .stand_ins import address

__all__ = ["Forbidden", "WriteError"]


class WriteError(RuntimeError):
    """A write that was refused."""


class Forbidden(Operations):
    """Refuses operations that write into the memory of these tensors.

    Views of them are seen, ``.data`` and ``detach()`` too; what goes past torch's operators, as
    through a NumPy view, is not. Every operation inside passes through Python.

    Attributes:
        broken: what was about to be written to. Code that catches the error does not hide it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broken: list[Data] = []
        self._known: dict[int | None, Data] = {}
        self._kept: list[Tensor] = []

    def protect(self, tensor: Tensor, data: Data) -> None:
        """From now on no write reaches the memory of this tensor."""
        where = address(tensor)
        if where is not None:
            self._known.setdefault(where, data)
            self._kept.append(tensor)  # so that no other memory gets its address

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call ``func`` unless it writes there."""
        for written, only_if in _written(func):
            given = _Arguments(args, kwargs)
            if only_if is not None and not given[only_if]:
                continue
            for tensor in tree_leaves(given[written]):
                data = self._known.get(address(tensor)) if isinstance(tensor, Tensor) else None
                if data is not None:
                    self.broken.append(data)
                    raise WriteError(f"{func} writes to {data.kind} {data.name}")
        return func(*args, **kwargs)


# An argument: its position and name.
_Argument = tuple[int, str]


class _Arguments:
    """Arguments of a call, by position and name."""

    def __init__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._args, self._kwargs = args, kwargs

    def __getitem__(self, argument: _Argument) -> Any:
        place, name = argument
        return self._args[place] if place < len(self._args) else self._kwargs.get(name)


@cache
def _written(func: Callable[..., Any]) -> tuple[tuple[_Argument, _Argument | None], ...]:
    """Arguments that an operation writes to, each with a flag without which it does not."""
    if not isinstance(func, torch._ops.OpOverload):
        return ()
    found: list[tuple[_Argument, _Argument | None]] = []
    names = {argument.name: place for place, argument in enumerate(func._schema.arguments)}
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            found.append(((place, argument.name), None))
        elif argument.name in ("running_mean", "running_var"):
            # Batch norm's schemas do not say so.
            if "training" in names:
                found.append(((place, argument.name), (names["training"], "training")))
            elif func._schema.name.endswith(("update_stats", "gather_stats", "with_counts")):
                found.append(((place, argument.name), None))
    return tuple(found)
