"""Measurements by random signs and cosine transforms, in the memory of one matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .cosine_transform import CosineTransform
from .measurements import VectorMeasurements, require_measurements

__all__ = ["StructuredMeasurements"]

_ROUNDS = 2


class StructuredMeasurements(VectorMeasurements):
    """A = (p/m)^(1/2) P C_2 D_2 C_1 D_1 on `SymmetricVectors`, so that A A* = (p/m) 1.

    D are random signs, C_1 and C_2 the cosine transform of the first and of the last L of the
    p = n (n + 1) / 2 coordinates, laid out as a rectangle, P a choice of m of them: rows of a
    rotation that is as good as uniform, in O(n^2) memory. L is the largest number up to p with
    factors 2, 3 and 5 alone: transforms of lengths with a large prime take ten times as long.

    Args:
        size: n.
        count: m <= p.
        generator: source of all randomness, on the device.
        dtype: of matrices and outcomes.
        device: likewise.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    def __init__(
        self,
        size: int,
        count: int,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        require_measurements(size, count, size * (size + 1) // 2)
        super().__init__(size, count, dtype, device)
        p = self.symmetric.length
        drawn = torch.randint(2, (_ROUNDS, p), generator=generator, device=device)
        self._signs = 1 - 2 * drawn.to(dtype)
        self._rows = torch.randperm(p, generator=generator, device=device)[:count]
        self._scale = (p / count) ** 0.5
        length = _fast_length(p)
        rows = max(each for each in range(1, math.isqrt(length) + 1) if length % each == 0)
        self._sides = rows, length // rows
        self._cosines = [CosineTransform(side, dtype, device) for side in self._sides]
        self._mixed = slice(0, length), slice(p - length, p)

    @property
    def noise_share(self) -> float:
        """n / (2 m) (1 - m/p)."""
        return super().noise_share * (1 - self.count / self.symmetric.length)

    def apply(self, vectors: Tensor) -> Tensor:
        """(..., p) to (..., m)."""
        for signs, mixed in zip(self._signs, self._mixed, strict=True):
            vectors = vectors * signs
            rectangle = vectors[..., mixed].reshape(*vectors.shape[:-1], *self._sides)
            for cosine in reversed(self._cosines):
                rectangle = cosine.forward(rectangle).mT
            vectors[..., mixed] = rectangle.flatten(-2)
        chosen: Tensor = vectors.index_select(-1, self._rows) * self._scale
        return chosen

    def transposed(self, outcomes: Tensor) -> Tensor:
        """(..., m) to (..., p)."""
        vectors = outcomes.new_zeros(*outcomes.shape[:-1], self.symmetric.length)
        vectors[..., self._rows] = outcomes * self._scale
        for signs, mixed in zip(self._signs.flip(0), self._mixed[::-1], strict=True):
            rectangle = vectors[..., mixed].reshape(*vectors.shape[:-1], *self._sides)
            for cosine in reversed(self._cosines):
                rectangle = cosine.inverse(rectangle).mT
            vectors[..., mixed] = rectangle.flatten(-2)
            vectors = vectors * signs
        return vectors


def _fast_length(most: int) -> int:
    """The largest number up to this one that has no prime factor above 5."""
    for length in range(most, 0, -1):
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
    raise ValueError(f"most: expected at least 1, got {most}")
