"""Scalars as TensorBoard's events have them, of which all but the numbers is encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from operator import add

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary

__all__ = ["scalar_summary"]


def scalar_summary(scalars: Mapping[str, float]) -> bytes:
    """A serialised `Summary` with a simple value (float32) for each scalar, in order.

    Several of them behind one another, or before other values, are one `Summary` too.
    """
    with np.errstate(over="ignore"):  # infinite in float32
        numbers = np.fromiter(scalars.values(), "<f4", len(scalars))
    return b"".join(map(add, _starts(tuple(scalars)), numbers.view("V4").tolist()))


# Of a few runs at a time, most records of which have the same scalars.
@lru_cache(maxsize=32)
def _starts(tags: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(map(_start, tags))


@lru_cache(maxsize=8192)
def _start(tag: str) -> bytes:
    """What stands before the four bytes of the number, the last of its message."""
    one: bytes = Summary(value=[Summary.Value(tag=tag, simple_value=1.0)]).SerializeToString()
    return one[:-4]
