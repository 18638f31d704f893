"""Symmetric matrices as vectors, so that inner products stay what they are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["SymmetricVectors"]


class SymmetricVectors:
    """svec(S) = (S_ii; sqrt(2) S_ij, i < j),  <svec S, svec T> = Tr S T.

    Args:
        size: n; a vector has p = n (n + 1) / 2 entries.
        dtype: of the matrices.
        device: of the matrices.
    """

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device | str) -> None:
        rows, columns = torch.triu_indices(size, size, device=device)
        self.size = size
        self._places = rows * size + columns
        off = rows != columns
        self._weights = (1 + (math.sqrt(2) - 1) * off.double()).to(dtype)
        entry = torch.empty(size, size, dtype=torch.long, device=device)
        entry[rows, columns] = torch.arange(len(rows), device=device)
        entry[columns, rows] = entry[rows, columns]
        self._entries = entry.reshape(-1)

    @property
    def length(self) -> int:
        """p = n (n + 1) / 2."""
        return len(self._places)

    def vectors(self, matrices: Tensor) -> Tensor:
        """Svec of the symmetric part's upper half: (..., n, n) to (..., p)."""
        return _chosen(matrices.flatten(-2), self._places).mul_(self._weights)

    def matrices(self, vectors: Tensor) -> Tensor:
        """The symmetric matrices of vectors: (..., p) to (..., n, n)."""
        spread = _chosen(vectors / self._weights, self._entries)
        whole: Tensor = spread.view(*spread.shape[:-1], self.size, self.size)
        return whole


def _chosen(rows: Tensor, places: Tensor) -> Tensor:
    # One row is copied fastest by `index_select`, several take two to three times as long by it.
    if rows.ndim == 1:
        return rows.index_select(0, places)
    return rows.gather(-1, places.expand(*rows.shape[:-1], -1))
