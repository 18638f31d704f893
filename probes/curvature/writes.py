"""Writes into tensors that must stay as they are, refused before they happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .reach import Data
from .stand_ins import address

__all__ = ["Forbidden", "WriteError"]


class WriteError(RuntimeError):
    """A write that was refused."""


class Forbidden(TorchDispatchMode):
    """Refuses operations that write into the memory of these tensors.

    Views of them are seen, ``.data`` and ``detach()`` too; what goes past torch's operators, as
    through a NumPy view, is not. Every operation inside passes through Python.

    Attributes:
        broken: what was about to be written to. Code that catches the error does not hide it.
    """

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled inside: the wrapper against that takes longer than an operation.
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.broken: list[Data] = []
        self._known: dict[int | None, Data] = {}
        self._kept: list[Tensor] = []

    def protect(self, tensor: Tensor, data: Data) -> None:
        """From now on no write reaches the memory of this tensor."""
        where = address(tensor)
        if where is not None:
            self._known.setdefault(where, data)
            self._kept.append(tensor)  # so that no other memory gets its address

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        for place, name in _written(func):
            value = args[place] if place < len(args) else kwargs.get(name)
            for tensor in tree_leaves(value):
                data = self._known.get(address(tensor)) if isinstance(tensor, Tensor) else None
                if data is not None:
                    self.broken.append(data)
                    raise WriteError(f"{func} writes to {data.kind} {data.name}")
        return func(*args, **kwargs)


@cache
def _written(func: Callable[..., Any]) -> tuple[tuple[int, str], ...]:
    """Arguments that an operation writes to, by position and name."""
    if not isinstance(func, torch._ops.OpOverload):
        return ()
    return tuple(
        (place, argument.name)
        for place, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
