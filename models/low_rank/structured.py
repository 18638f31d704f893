"""Measurements by random signs and cosine transforms, in the memory of one matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .cosine_transform import CosineTransform
from .subsampled import SubsampledMeasurements

__all__ = ["StructuredMeasurements"]

_ROUNDS = 2


class StructuredMeasurements(SubsampledMeasurements):
    """A = (p/m)^(1/2) P C_2 D_2 C_1 D_1 on `SymmetricVectors`, so that A A* = (p/m) 1.

    D are random signs, C_1 and C_2 the cosine transform of the first and of the last L of the
    p = n (n + 1) / 2 coordinates, laid out as a rectangle, P a choice of m of them: rows of a
    rotation that is as good as uniform, in O(n^2) memory. L is the largest number up to p with
    factors 2, 3 and 5 alone: transforms of lengths with a large prime take ten times as long.
    """

    def draw(self, generator: torch.Generator) -> None:
        """D, then P."""
        dtype, device, p = self.dtype, self.device, self.symmetric.length
        drawn = torch.randint(2, (_ROUNDS, p), generator=generator, device=device)
        self._signs = 1 - 2 * drawn.to(dtype)
        super().draw(generator)
        length = _fast_length(p)
        rows = max(each for each in range(1, math.isqrt(length) + 1) if length % each == 0)
        self._sides = rows, length // rows
        self._cosines = [CosineTransform(side, dtype, device) for side in self._sides]
        self._mixed = slice(0, length), slice(p - length, p)

    def rotated(self, vectors: Tensor) -> Tensor:
        """C_2 D_2 C_1 D_1 x."""
        for signs, mixed in zip(self._signs, self._mixed, strict=True):
            vectors = vectors * signs
            rectangle = vectors[..., mixed].reshape(*vectors.shape[:-1], *self._sides)
            for cosine in reversed(self._cosines):
                rectangle = cosine.forward(rectangle).mT
            vectors[..., mixed] = rectangle.flatten(-2)
        return vectors

    def rotated_back(self, vectors: Tensor) -> Tensor:
        """D_1 C_1^T D_2 C_2^T x; writes over x."""
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
