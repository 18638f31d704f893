"""Batched matrix products that share a factor, as one product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .interception import Operations

__all__ = ["SharedProducts"]


class SharedProducts(Operations):
    """A B_1, ..., A B_k as A [B_1 ... B_k], and likewise with B shared.

    torch.vmap leaves these as k products, each of which reads the shared factor, as a rule the
    data, again. Results differ by rounding. Every operation inside passes through Python: this
    pays where the shared factor is larger than the caches.

    Attributes:
        largest: bytes of the largest factor that was shared so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call ``func``, or one product in place of many."""
        if func is torch.ops.aten.bmm.default and len(args[0]) > 1:
            left, right = args
            if left.stride(0) == 0 != right.stride(0):
                return self._shared(left[0], right)
            if right.stride(0) == 0 != left.stride(0):
                # (A B)^T = B^T A^T
                return self._shared(right[0].mT, left.mT).mT
        return func(*args, **kwargs)

    def _shared(self, left: Tensor, right: Tensor) -> Tensor:
        """left (n, m) times right (k, m, p), (k, n, p)."""
        self.largest = max(self.largest, left.numel() * left.element_size())
        columns = right.movedim(0, -1).flatten(1)  # (m, p k)
        return (left @ columns).view(len(left), right.shape[-1], len(right)).movedim(-1, 0)
