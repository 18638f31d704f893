"""Reading data without a trace: the training then reads what it would have read without."""

from __future__ import annotations

import queue
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import IOBase
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from .curvature.generators import seeded, shared_generators, torch_generators
from .curvature.reach import Data
from .curvature.walk import met, reached

__all__ = ["data_roots", "streams", "untouched"]

# Containers with more values than this hold data, such as the paths of files.
_MANY = 1000
# Arrays above this size are data, not state: bytes.
_LARGE = 2**24
_LIBRARIES = frozenset({"numpy", "torch"}) | sys.stdlib_module_names
_STREAMS = (Iterator, IOBase, queue.Queue, queue.SimpleQueue, socket.socket)


@contextmanager
def untouched(roots: dict[str, Any], seed: int) -> Iterator[None]:
    """A block that runs code of datasets and leaves all that this code can reach as it was.

    The generators of torch, Python and NumPy start from the seed, so that random transforms are the
    same in every block; at the end they, and attributes, containers, generators and small arrays of
    the objects, hold what they held before.

    Args:
        roots: whose code runs, by name; see `data_roots`.
        seed: of the generators that all code shares.

    Raises:
        RuntimeError: at the end, for large tensors that were written to.
    """
    shared = shared_generators()
    before = [place.read() for place in shared]
    reach = reached(roots)
    own = {key: _copy(data.value) for key, data in reach.data.items() if _is_state(data)}
    try:
        with reach.replaced(own), torch.no_grad():
            for place, state in zip(torch_generators(), seeded(seed), strict=True):
                place.write(state)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        for place, state in zip(shared, before, strict=True):
            place.write(state)
    written = sorted({data.name for data in reach.data.values() if data.written})
    if written:
        raise RuntimeError(
            f"sample: expected a dataset that is read without being changed, got writes to "
            f"{', '.join(written)}: pass batches instead"
        )


def data_roots(*objects: Any) -> dict[str, Any]:
    """These objects, and those that they are made of: datasets inside, transforms, ...

    Not what is of Python, NumPy or torch, but for its datasets and samplers.
    """
    roots: dict[str, Any] = {}
    seen: dict[int, Any] = {}
    ahead: list[tuple[str, Any]] = [("", each) for each in reversed(objects)]
    while ahead:
        name, value = ahead.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, dict | list | tuple | set):
            if len(value) <= _MANY:
                inside = value.items() if isinstance(value, dict) else enumerate(value)
                ahead += [(f"{name}[{key!r}]", part) for key, part in inside]
        elif isinstance(value, partial):
            ahead.append((name, (value.func, value.args, value.keywords)))
        elif _is_root(value):
            roots[name or type(value).__name__] = value
            if not isinstance(value, FunctionType):
                ahead += [(f"{name}.{key}", part) for key, part in _attributes(value).items()]
    return roots


def streams(roots: dict[str, Any], kinds: tuple[type, ...] = _STREAMS) -> list[Any]:
    """What is used up by reading, of all that the code of these objects can reach."""
    return [each for each in met(roots) if isinstance(each, kinds)]


def _is_root(value: Any) -> bool:
    if isinstance(value, Tensor | np.ndarray | type):
        return False
    if isinstance(value, Dataset | Sampler | FunctionType | MethodType):
        return True
    home = str(type(value).__module__).partition(".")[0]
    return home not in _LIBRARIES and hasattr(value, "__dict__")


def _attributes(value: Any) -> dict[str, Any]:
    if isinstance(value, MethodType):
        return {"self": value.__self__}
    return dict(vars(value))


def _is_state(data: Data) -> bool:
    value = data.value
    if isinstance(value, Tensor) and (value.is_inference() or isinstance(value, nn.Parameter)):
        return False
    return bool(value.nbytes <= _LARGE)


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value.copy()
