"""Losses of a head and their derivatives for many samples at once: of tensors, or of arrays.

Arrays of NumPy are what theory has. Torch is loaded for them only if the head needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from .arrays import Array, functions
from .head import ArrayHead, DifferentiatedHead, Head, OutputHead

__all__ = [
    "curvature_factors",
    "gradient_factors",
    "joint_curvature_factors",
    "sample_classified",
    "sample_losses",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _of_arrays_too(function: _Function) -> _Function:
    """Arrays become tensors for heads that know tensors alone."""

    @wraps(function)
    def of_either(head: Head, h: Array, v: Array, y: Array) -> Any:
        takes_arrays = isinstance(head, ArrayHead) and head.takes_arrays
        if isinstance(h, np.ndarray) and not takes_arrays:
            from .automatic import on_tensors

            return on_tensors(function, head, h, v, y)
        return function(head, h, v, y)

    return cast(_Function, of_either)


@_of_arrays_too
def sample_losses(head: Head, h: Array, v: Array, y: Array) -> Array:
    """ell(h_l, v; y_l) for each sample: h (n, C), v (q,), y (n,) int64 -> (n,)."""
    if isinstance(head, ArrayHead):
        return head.sample_losses(h, v, y)
    from .automatic import automatic_losses

    return automatic_losses(head, h, v, y)


@_of_arrays_too
def sample_classified(head: Head, h: Array, v: Array, y: Array) -> Array | None:
    """Whether each sample's label is predicted, (n,) bool; None if labels have no meaning.

    Shapes of h, v, y as in `sample_losses`, n >= 1.
    """
    if isinstance(head, ArrayHead):
        return head.sample_classified(h, v, y)
    if head.classified(h[0], v, y[0]) is None:
        return None
    if isinstance(head, OutputHead):  # the same, several times as fast
        return head.correct(head.output(h, v), y)
    from .automatic import automatic_classified

    return automatic_classified(head, h, v, y)


@_of_arrays_too
def gradient_factors(head: Head, h: Array, v: Array, y: Array) -> tuple[Array, Array]:
    """d ell/dh (n, C) and d ell/dv (n, q) for h (n, C), v (q,), y (n,) int64.

    All C columns, also those of teachers, which are not trained.
    """
    if isinstance(head, DifferentiatedHead):
        gradient = head.gradient(h, v, y)
    else:
        from .automatic import automatic_gradient

        gradient = automatic_gradient(head, h, v, y)
    c, f = h.shape[1], functions(h)
    return f.contiguous(gradient[:, :c]), f.contiguous(gradient[:, c:])


@_of_arrays_too
def curvature_factors(head: Head, h: Array, v: Array, y: Array) -> Array:
    """D = d^2 ell/dh^2 of each sample, (n, C, C), for h (n, C), v (q,), y (n,) int64.

    All C rows and columns, also those of teachers, which are not trained.
    """
    return _curvature(head, h, v, y, joint=False)


@_of_arrays_too
def joint_curvature_factors(head: Head, h: Array, v: Array, y: Array) -> Array:
    """M = d^2 ell/d(h, v)^2 of each sample, (n, C + q, C + q); arguments and rows as for D."""
    return _curvature(head, h, v, y, joint=True)


def _curvature(head: Head, h: Array, v: Array, y: Array, joint: bool) -> Array:
    if isinstance(head, DifferentiatedHead):
        return head.curvature(h, v, y, joint=joint)
    from .automatic import automatic_curvature

    return automatic_curvature(head, h, v, y, joint)
