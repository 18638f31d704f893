"""`Functions` of arrays of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf, erfc, ndtr
from scipy.special import expit as sigmoid

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

tanh, exp, square = np.tanh, np.exp, np.square
zeros_like, ones_like, concatenate = np.zeros_like, np.ones_like, np.concatenate
broadcast_to = np.broadcast_to


def silu(h: Any) -> Any:
    """h/(1 + e^-h)."""
    return h * sigmoid(h)


def softplus(h: Any) -> Any:
    """log(1 + e^h), without overflow."""
    return np.maximum(h, 0) + np.log1p(np.exp(-np.abs(h)))


def relu(h: Any) -> Any:
    """max(h, 0)."""
    return np.maximum(h, 0)


def softmax(h: Any) -> Any:
    """e^h over its sum along the last axis."""
    shares = np.exp(h - h.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def logsumexp(h: Any) -> Any:
    """log of the sum of e^h along the last axis."""
    largest = h.max(-1, keepdims=True)
    return np.log(np.exp(h - largest).sum(-1)) + largest[..., 0]


def contiguous(h: Any) -> Any:
    """The same numbers, row by row in memory."""
    return np.ascontiguousarray(h)


def constant(h: Any) -> Any:
    """The array itself."""
    return h


def cast(values: Any, like: Any) -> Any:
    """In the dtype of ``like``."""
    return values.astype(like.dtype)


def values(numbers: Any, like: Any) -> Any:
    """An array in the dtype of ``like``."""
    return np.array(numbers, dtype=like.dtype)


def zeros(shape: tuple[int, ...], like: Any) -> Any:
    """Zeros in the dtype of ``like``."""
    return np.zeros(shape, dtype=like.dtype)


def whole_numbers(count: int, like: Any) -> Any:
    """0 to count - 1."""
    return np.arange(count)


def add_product(to: Any, first: Any, second: Any, scale: float = 1) -> Any:
    """to <- to + scale first second, in its place."""
    product = first * second
    if scale != 1:
        product *= scale
    to += product
    return to
