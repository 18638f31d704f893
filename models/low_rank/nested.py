"""Runs that have different numbers of measurements in common: the first of one draw."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .gaussian import GaussianMeasurements

__all__ = ["NestedMeasurements"]

# Rows that stay in a core's cache between a product with them and one with their transpose.
_ROWS = 64


class NestedMeasurements:
    """A_k(S)_i = <A_i, S> / m_k^(1/2), i <= m_k: of B matrices each sees m_k of the same A_i.

    A row is read once for all that see it.

    Args:
        whole: the A_i, at least as many as any m_k.
        counts: m_k, falling, (B,).

    Raises:
        ValueError: if the counts are not falling, from the number of rows down to 1.
    """

    def __init__(self, whole: GaussianMeasurements, counts: Sequence[int]) -> None:
        ordered = [whole.count, *counts, 1]
        if not counts or sorted(ordered, reverse=True) != ordered:
            raise ValueError(
                f"counts: expected falling numbers from {whole.count} down to 1, got {counts}"
            )
        self._whole, self._counts = whole, tuple(counts)
        made = torch.tensor(counts, dtype=whole.dtype, device=whole.device)
        self._weights = (whole.count / made)[:, None]
        self._blocks: list[tuple[slice, int]] = []  # rows, and how many matrices see them
        first = 0
        for last in sorted(set(counts)):
            seen = sum(count >= last for count in counts)
            pieces = 1 if seen == 1 else -((first - last) // _ROWS)
            for piece in range(pieces):
                ends = (first + (last - first) * (piece + k) // pieces for k in (0, 1))
                self._blocks.append((slice(*ends), seen))
            first = last

    def normal(self, matrices: Tensor) -> Tensor:
        """A_k*A_k(S_k), symmetric, of symmetric matrices (B, n, n); same shape."""
        symmetric = self._whole.symmetric
        vectors = symmetric.vectors(matrices)
        back = torch.zeros_like(vectors)
        for rows, seen in self._blocks:
            block = self._whole.matrix[rows]
            back[:seen].addmm_(vectors[:seen] @ block.T, block)
        return symmetric.matrices(back.mul_(self._weights))
