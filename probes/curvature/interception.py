"""Standing between code and torch: at every operation, or at every function of its interface."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Functions", "Operations"]

_Function = Callable[..., Any]
_Named = Mapping[str, Any]


class Operations(TorchDispatchMode):
    """Every operation inside, those of backward passes too, goes through `call`."""

    supports_higher_order_operators = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled inside: the wrapper against that takes longer than an operation.
        return False

    def __torch_dispatch__(
        self,
        func: _Function,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: _Named | None = None,
    ) -> Any:
        return self.call(func, args, kwargs or {})

    @abstractmethod
    def call(self, func: _Function, args: Sequence[Any], kwargs: _Named) -> Any:
        """What the code gets for this operation."""


class Functions(TorchFunctionMode):
    """Every function and method of torch that code calls inside goes through `call`."""

    def __torch_function__(
        self,
        func: _Function,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: _Named | None = None,
    ) -> Any:
        """Hand it to `call`."""
        return self.call(func, args, kwargs or {})

    @abstractmethod
    def call(self, func: _Function, args: Sequence[Any], kwargs: _Named) -> Any:
        """What the code gets for this function."""
