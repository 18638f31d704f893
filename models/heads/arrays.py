"""Heads are written once, for tensors, which are trained, and for arrays, which theory needs."""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

import numpy as np

__all__ = ["Array", "Functions", "diagonal", "functions"]

# A torch.Tensor or an array of NumPy; all arguments of a function are of one kind, and so is what
# it returns. Type checkers know no arithmetic of such a choice.
Array = Any


class Functions(Protocol):
    """What heads use beside arithmetic, entry by entry unless it says otherwise."""

    def tanh(self, h: Array) -> Array:
        """tanh h."""

    def exp(self, h: Array) -> Array:
        """e^h."""

    def square(self, h: Array) -> Array:
        """h^2."""

    def erf(self, h: Array) -> Array:
        """2/sqrt(pi) times the integral of e^(-t^2) from 0 to h."""

    def erfc(self, h: Array) -> Array:
        """1 - erf h."""

    def ndtr(self, h: Array) -> Array:
        """Standard normal distribution function."""

    def sigmoid(self, h: Array) -> Array:
        """1/(1 + e^-h)."""

    def silu(self, h: Array) -> Array:
        """h/(1 + e^-h)."""

    def softplus(self, h: Array) -> Array:
        """log(1 + e^h)."""

    def relu(self, h: Array) -> Array:
        """max(h, 0)."""

    def softmax(self, h: Array) -> Array:
        """e^h over its sum along the last axis."""

    def logsumexp(self, h: Array) -> Array:
        """log of the sum of e^h along the last axis."""

    def zeros_like(self, h: Array) -> Array:
        """0."""

    def ones_like(self, h: Array) -> Array:
        """1."""

    def concatenate(self, parts: list[Array], axis: int) -> Array:
        """The parts one after another along an axis."""

    def broadcast_to(self, h: Array, shape: tuple[int, ...]) -> Array:
        """A view of a larger shape."""

    def constant(self, h: Array) -> Array:
        """The same numbers, not to be differentiated."""

    def contiguous(self, h: Array) -> Array:
        """The same numbers, row by row in memory."""

    def cast(self, values: Array, like: Array) -> Array:
        """Numbers or truth values in the dtype of ``like``."""

    def values(self, numbers: Any, like: Array) -> Array:
        """A sequence of numbers in the dtype, and on the device, of ``like``."""

    def zeros(self, shape: tuple[int, ...], like: Array) -> Array:
        """Zeros of the shape, likewise."""

    def whole_numbers(self, count: int, like: Array) -> Array:
        """0 to count - 1, on the device of ``like``."""

    def add_product(self, to: Array, first: Array, second: Array, scale: float = 1) -> Array:
        """to <- to + scale first second, in its place."""


def functions(array: Array) -> Functions:
    """The functions of arrays of this kind."""
    return _array_functions() if isinstance(array, np.ndarray) else _tensor_functions()


def diagonal(matrices: Array, row: int, column: int, size: int) -> Array:
    """View of the diagonal (n, size) of the square block of matrices that starts at a place.

    Args:
        matrices: (n, P, P), row by row in memory.
        row: first row of the block.
        column: its first column.
        size: its rows.
    """
    n, p = matrices.shape[:2]
    start = row * p + column
    return matrices.reshape(n, p * p)[:, start : start + size * (p + 1) : p + 1]


# Each is loaded at its first use: training does without SciPy, and theory without torch.
@cache
def _array_functions() -> Functions:
    from . import numpy_functions

    return numpy_functions


@cache
def _tensor_functions() -> Functions:
    from . import tensor_functions

    return tensor_functions
