"""The orthonormal discrete cosine transform, through a real Fourier transform of its length."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["CosineTransform"]


class CosineTransform:
    """X_k = c_k sum_j x_j cos(pi (2 j + 1) k / (2 N)),  c_0 = N^(-1/2), c_k = (2/N)^(1/2).

    Even entries forwards and then odd ones backwards have a Fourier transform V with
    exp(-i pi k / (2 N)) V_k = (X_k - i X_(N-k)) / c (Makhoul, IEEE ASSP 28, 1980).

    Args:
        length: N.
        dtype: of the vectors.
        device: of the vectors.
    """

    def __init__(self, length: int, dtype: torch.dtype, device: torch.device | str) -> None:
        n = length
        half = torch.arange(n // 2 + 1, dtype=torch.float64, device=device)
        turn = torch.polar(torch.ones_like(half), -math.pi * half / (2 * n)) * math.sqrt(2 / n)
        turn[0] = 1 / math.sqrt(n)
        self._turn = turn.to(dtype.to_complex())
        self._back = (1 / turn).to(dtype.to_complex())
        self._length = n

    def forward(self, vectors: Tensor) -> Tensor:
        """X of x: (..., N), same shape."""
        n = self._length
        ordered = torch.cat([vectors[..., ::2], vectors[..., 1::2].flip(-1)], -1)
        found = torch.fft.rfft(ordered) * self._turn
        upper = found.imag[..., 1 : (n + 1) // 2].flip(-1).neg()
        return torch.cat([found.real, upper], -1)

    def inverse(self, vectors: Tensor) -> Tensor:
        """x of X, which is the transpose too: (..., N), same shape."""
        n = self._length
        half = n // 2 + 1
        imaginary = torch.zeros_like(vectors[..., :half])
        imaginary[..., 1:] = vectors[..., n - half + 1 :].flip(-1).neg()
        found = torch.complex(vectors[..., :half].contiguous(), imaginary) * self._back
        ordered = torch.fft.irfft(found, n)
        result = torch.empty_like(ordered)
        result[..., ::2] = ordered[..., : (n + 1) // 2]
        result[..., 1::2] = ordered[..., (n + 1) // 2 :].flip(-1)
        return result
