"""Asymmetric factorisation as a symmetric one: measurements of an off-diagonal block."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..arguments import require_least, require_whole
from .measurements import Measurements, require_measurements

__all__ = ["BlockMeasurements"]


class BlockMeasurements(Measurements):
    """A(S)_i = (2/m)^(1/2) <B_i, S_12>,  B_i ~ N(0, 1) of shape (a, b), S of size n = a + b.

    For W = (U; V) the block of W W^T is U V^T, so that the symmetric loss |A(W W^T) - y|^2 / 4 is
    |B(U V^T - X)|^2 / 2 for B = <B_i, .> / m^(1/2), and the gradients are those of U and V. A*A(S)
    has B*B(S_12) off its diagonal and nothing on it: its eigenvalues are plus and minus the
    singular values of that.

    Args:
        rows: a, of the measured matrix.
        columns: b.
        count: m.
        generator: source of all randomness, on the device.
        dtype: of matrices and outcomes.
        device: likewise.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        count: int,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        for name, value in (("rows", rows), ("columns", columns)):
            require_least(name, value, 1)
        require_whole("count", count, 1)
        require_measurements(rows + columns, count)
        self.size, self.count, self.dtype = rows + columns, count, dtype
        self.device = torch.device(device)
        self.rows, self.columns = rows, columns
        shape = count, rows * columns
        self.matrix = torch.randn(shape, generator=generator, dtype=dtype, device=device)
        self.matrix *= count**-0.5

    @property
    def noise_share(self) -> float:
        """(a^(1/2) + b^(1/2))^2 / (8 m): noise (a, b) has singular values up to 2 sigma."""
        return (math.sqrt(self.rows) + math.sqrt(self.columns)) ** 2 / (8 * self.count)

    def forward(self, matrices: Tensor) -> Tensor:
        """A(S), (..., m)."""
        block = matrices[..., : self.rows, self.rows :].flatten(-2)
        return 2**0.5 * (block @ self.matrix.T)

    def adjoint(self, outcomes: Tensor) -> Tensor:
        """A*(y), (..., n, n)."""
        block = (outcomes @ self.matrix).view(*outcomes.shape[:-1], self.rows, self.columns)
        block = block / 2**0.5
        whole = outcomes.new_zeros(*outcomes.shape[:-1], self.size, self.size)
        whole[..., : self.rows, self.rows :] = block
        whole[..., self.rows :, : self.rows] = block.mT
        return whole
