"""Values computed from parameters without a gradient, which derivatives take for constants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .stand_ins import address

__all__ = ["Constants"]


class Constants(TorchDispatchMode):
    """Sees what has a gradient meet what was computed from parameters and has none.

    By ``detach()`` or ``.data``, under ``no_grad``, or by fake quantisation, whose gradient is not
    that of its values. A meeting says nothing of its weight: where a loss does not depend on the
    constant, as on a maximum that is taken off logits, its derivatives are right. What is not of a
    floating type, as an index, is constant nearby, and what `torch.autograd.Function` computes has
    the gradient that it says.

    Attributes:
        found: the operations that made such constants.
    """

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as for `Forbidden`

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: dict[str, None] = {}
        # By address: a weak reference to the memory, which keeps others from that address, and what
        # was written there first.
        self._known: dict[int, tuple[StorageWeakRef, str]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = list(_floating((args, kwargs)))
        moving = any(tensor.requires_grad for tensor in given)
        constants = [] if not self._known else [*filter(None, map(self._made_by, given))]
        if not moving and not constants:
            return result
        name = _name(func)
        if moving and name != "detach" and torch.is_grad_enabled():
            self.found.update(dict.fromkeys(constants))
            if "fake_quant" in name:
                self.found[name] = None
        elif not name.endswith("_like") and not name.startswith("new_"):
            made_by = constants[0] if constants else name
            for tensor in given if result is None else _floating(result):
                self._note(tensor, made_by)
        return result

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


def _floating(tree: Any) -> Iterable[Tensor]:
    for leaf in tree_leaves(tree):
        if isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex()):
            yield leaf


def _name(func: Callable[..., Any]) -> str:
    """Of an operation: "mv" for ``aten.mv.default``."""
    return str(getattr(func, "overloadpacket", func)).rpartition(".")[2]
