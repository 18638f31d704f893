"""Correlation and response of all past steps, kept as the products that a step needs."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..spectrum import FloatArray

__all__ = ["Coarsening", "ExactMemory", "Memory"]

_BLOCK = 96  # rows compressed together
_WIDTH = 200  # of rows at first; no multiple of a power of two, which caches do not like
_PRECISION = 1e-15  # of their compression, relative to their largest singular value
_SKETCH = 8  # columns of a random sketch beyond the rank that is guessed
_RANK = 16  # that is guessed first


class Coarsening(Protocol):
    """How past steps were merged into fewer."""

    def values(self, row: FloatArray) -> FloatArray:
        """A function of the steps, (n,) -> (k,), read where they stay."""

    def weights(self, row: FloatArray) -> FloatArray:
        """Weights of the steps, (n,) -> (k,), handed to those that stay; the sum is kept."""


class Memory(Protocol):
    """C(u, s) and R(u, s) of the past steps u, s, n of them."""

    def products(self, forward: FloatArray, backward: FloatArray, out: FloatArray) -> None:
        """sum_u w_u C(u, s),  sum_u w_u R(u, s),  sum_u R(s, u) v_u  for each s.

        Args:
            forward: w, (n,).
            backward: v, (n,).
            out: where they are written, (3, n).
        """

    def append(
        self, time: float, rate: float, correlation: FloatArray, response: FloatArray
    ) -> None:
        """Add the step of this rate from this time: C(., s), R(., s) of all past s, (n,) each."""

    def coarsen(self) -> Coarsening | None:
        """Merge steps if it is time to; None if nothing was merged."""


class ExactMemory:
    """All steps, in blocks of rows with what stands left of their diagonal block factored.

    C(u, s) = sum_k U(u, k) V(k, s),  u in the block, s before it:  old rows are so smooth that 96
    of them have a rank near 16 in double precision, which is all that is given up. A product of n
    steps takes a fifth of the time of a dense one at n = 2000, and of its memory.
    """

    def __init__(self) -> None:
        self._length = self._blocks = 0
        self._rank = _RANK
        self._recent = np.zeros((2, _BLOCK, _WIDTH))  # rows of C and of R
        self._left = np.zeros((0, _BLOCK, _RANK))  # U of each block
        self._right = np.zeros((2, 0, _RANK, _WIDTH))  # V of each block
        self._diagonal = np.zeros((2, 0, _BLOCK, _BLOCK))
        self._generator = np.random.default_rng(0)

    def products(self, forward: FloatArray, backward: FloatArray, out: FloatArray) -> None:
        """See `Memory`."""
        n, old, blocks = self._length, self._blocks * _BLOCK, self._blocks
        correlation, response = self._recent[:, : n - old]
        recent = forward[old:]
        np.matmul(recent, correlation[:, :n], out=out[0])
        np.matmul(recent, response[:, :n], out=out[1])
        np.matmul(response[:, :n], backward, out=out[2, old:])
        if blocks:
            out[0, old:] += correlation[:, :old] @ forward[:old]
            right = self._right[:, :blocks, :, :old].reshape(2, -1, old)
            first = forward[:old].reshape(blocks, _BLOCK)
            second = backward[:old].reshape(blocks, _BLOCK)
            left, diagonal = self._left[:blocks], self._diagonal[:, :blocks]
            through = np.matmul(first[:, None], left).reshape(-1)
            out[0, :old] += through @ right[0]
            out[1, :old] += through @ right[1]
            back = np.stack([right[0] @ forward[:old], right[1] @ backward[:old]], -1)
            back = left @ back.reshape(blocks, self._rank, 2)
            own = np.matmul(first[:, None], diagonal)
            out[:2, :old] += own.reshape(2, old)
            out[0, :old] += back[..., 0].reshape(-1)
            out[2, :old] = (back[..., 1:] + diagonal[1] @ second[..., None]).reshape(-1)

    def append(
        self, time: float, rate: float, correlation: FloatArray, response: FloatArray
    ) -> None:
        """See `Memory`."""
        n, old = self._length, self._blocks * _BLOCK
        row = n - old
        if n >= self._recent.shape[2]:
            self._recent = _widened(self._recent)
            self._right = _widened(self._right)
        self._recent[0, row, :n] = correlation
        self._recent[0, row, n] = 1.0
        self._recent[0, :row, n] = correlation[old:]
        self._recent[1, row, :n] = response
        self._length = n + 1
        if row + 1 == _BLOCK:
            self._compress()

    def coarsen(self) -> None:
        """Every step is kept."""
        return

    def _compress(self) -> None:
        """Factor the recent rows."""
        old, new = self._blocks * _BLOCK, self._length
        wide = np.concatenate(tuple(self._recent[:, :, :old]), axis=1)
        left = np.zeros((_BLOCK, 0)) if not old else self._range(wide)
        if left.shape[1] > self._rank:
            added = left.shape[1] - self._rank
            self._left = np.pad(self._left, ((0, 0), (0, 0), (0, added)))
            self._right = np.pad(self._right, ((0, 0), (0, 0), (0, added), (0, 0)))
            self._rank += added
        if self._blocks == len(self._left):
            more = max(4, self._blocks)
            self._left = np.pad(self._left, ((0, more), (0, 0), (0, 0)))
            self._right = np.pad(self._right, ((0, 0), (0, more), (0, 0), (0, 0)))
            self._diagonal = np.pad(self._diagonal, ((0, 0), (0, more), (0, 0), (0, 0)))
        rank = left.shape[1]
        self._left[self._blocks, :, :rank] = left
        self._right[:, self._blocks, :rank, :old] = left.T @ self._recent[:, :, :old]
        self._diagonal[:, self._blocks] = self._recent[:, :, old:new]
        self._recent[:] = 0
        self._blocks += 1

    def _range(self, rows: FloatArray) -> FloatArray:
        """Orthonormal columns that span the rows' columns to the precision kept, (96, rank)."""
        for rank in (self._rank, 2 * self._rank):
            columns = min(_BLOCK, rank + _SKETCH)
            if columns == _BLOCK:
                break
            sketch = rows @ self._generator.standard_normal((rows.shape[1], columns))
            vectors, values, _ = np.linalg.svd(sketch, full_matrices=False)
            kept = int((values > _PRECISION * values[0]).sum())
            if kept <= rank:
                return np.asarray(vectors[:, :kept])
        return np.eye(_BLOCK)


def _widened(array: FloatArray) -> FloatArray:
    """Twice as long in the last axis, filled with zeros."""
    return np.concatenate([array, np.zeros_like(array)], axis=-1)
