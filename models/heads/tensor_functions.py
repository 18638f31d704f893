"""`Functions` of torch's tensors."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import (
    broadcast_to,
    concatenate,
    erf,
    erfc,
    exp,
    ones_like,
    relu,
    sigmoid,
    square,
    tanh,
    zeros_like,
)
from torch.nn.functional import silu, softplus
from torch.special import ndtr

__all__ = [
    "add_product",
    "broadcast_to",
    "cast",
    "concatenate",
    "constant",
    "contiguous",
    "erf",
    "erfc",
    "exp",
    "logsumexp",
    "ndtr",
    "ones_like",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "square",
    "tanh",
    "values",
    "whole_numbers",
    "zeros",
    "zeros_like",
]


def softmax(h: Any) -> Any:
    """e^h over its sum along the last axis."""
    return torch.softmax(h, -1)


def logsumexp(h: Any) -> Any:
    """log of the sum of e^h along the last axis."""
    return torch.logsumexp(h, -1)


def contiguous(h: Any) -> Any:
    """The same numbers, row by row in memory."""
    return h.contiguous()


def constant(h: Any) -> Any:
    """Without its graph."""
    return h.detach()


def cast(values: Any, like: Any) -> Any:
    """In the dtype of ``like``."""
    return values.to(like.dtype)


def values(numbers: Any, like: Any) -> Any:
    """A tensor in the dtype, and on the device, of ``like``."""
    return torch.tensor(numbers, dtype=like.dtype, device=like.device)


def zeros(shape: tuple[int, ...], like: Any) -> Any:
    """Zeros in the dtype, and on the device, of ``like``."""
    return like.new_zeros(shape)


def whole_numbers(count: int, like: Any) -> Any:
    """0 to count - 1, on the device of ``like``."""
    return _whole_numbers(count, like.device)


def add_product(to: Any, first: Any, second: Any, scale: float = 1) -> Any:
    """to <- to + scale first second, in its place."""
    return to.addcmul_(first, second, value=scale)


# To make them takes as long as to use them.
@lru_cache(maxsize=64)
def _whole_numbers(count: int, device: torch.device) -> torch.Tensor:
    return torch.arange(count, device=device)
