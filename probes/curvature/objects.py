"""Objects that hold tensors: dataclasses, distributions, whatever a model returns or is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from .interception import Functions
from .walk import reached

__all__ = ["flattened", "with_others"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, np.ndarray)


class _Copied(Functions):
    """Inside, a deep copy has another tensor in the place of each."""

    def __init__(self, other: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._other = other

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The other one, which the copy remembers."""
        if func is not Tensor.__deepcopy__:
            return func(*args, **kwargs)
        tensor, memo = args
        memo[id(tensor)] = self._other(tensor)
        return memo[id(tensor)]


def with_others(
    value: Any, other: Callable[[Tensor], Tensor], known: Mapping[int, Any] | None = None
) -> Any:
    """A copy of an object with other tensors in the place of those in it.

    Args:
        value: the object.
        other: of a tensor.
        known: what is in the place of some objects, by their identity.

    Raises:
        Exception: if it has no copies.
    """
    with _Copied(other):
        return deepcopy(value, dict(known or {}))


def flattened(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of a tree, tensors in objects among them, and what puts others in their places.

    Raises:
        ValueError: for an object with tensors on a graph that has no copy with others in their
            places, as a function that reads them.
    """
    leaves, spec = tree_flatten(tree)
    found: list[Any] = []
    opened: list[tuple[Any, list[int], int]] = []
    for leaf in leaves:
        inside = [] if isinstance(leaf, (Tensor, nn.Module, *_PLAIN)) else _tensors(leaf)
        opened.append((leaf, [id(tensor) for tensor in inside], len(found)))
        found += inside or [leaf]

    def rebuilt(others: Sequence[Any]) -> Any:
        parts = [
            with_others(leaf, _itself, dict(zip(keys, others[start:], strict=False)))
            if keys
            else others[start]
            for leaf, keys, start in opened
        ]
        return tree_unflatten(parts, spec)

    return found, rebuilt


def _tensors(value: Any) -> list[Tensor]:
    """Those that a copy of the object has others in the place of."""
    found: list[Tensor] = []

    def noted(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    inside = [data.value for data in reached({"": value}).data.values()]
    kept = {id(tensor): tensor for tensor in inside if isinstance(tensor, nn.Parameter)}
    try:
        with_others(value, noted, kept)
    except Exception as error:  # of the object's own
        raise _no_copy(value) from error
    known = {id(tensor) for tensor in found}
    for tensor in inside:
        if isinstance(tensor, Tensor) and tensor.grad_fn is not None and id(tensor) not in known:
            raise _no_copy(value)
    return found


def _no_copy(value: Any) -> ValueError:
    return ValueError(
        "model: expected outputs that can be copied with other tensors in their place, got "
        f"{type(value).__name__}"
    )


def _itself(tensor: Tensor) -> Tensor:
    return tensor
