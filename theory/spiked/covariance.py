"""The function that the spiked matrix-tensor model is known by."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import overload

from ...models.arguments import require_fields
from ..spectrum import FloatArray

__all__ = ["Covariance"]

_LARGEST = 1e50  # noise whose fourth power is a number


@dataclass(frozen=True)
class Covariance:
    """Q(q) = q^2 / (2 Delta_2) + q^p / (p Delta_p):  E Hn(x) Hn(x') = N Q(x.x'/N).

    The energy is H = Hn - N Q(m) on |x|^2 = N, with m = x.x*/N. See arXiv 1902.00139.

    Attributes:
        matrix_noise: Delta_2, variance of the matrix's noise; None without a matrix.
        tensor_noise: Delta_p, of the tensor's; None without a tensor.
        order: p, of the tensor.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    matrix_noise: float | None = field(metadata={"unit": "1"})
    tensor_noise: float | None = field(metadata={"unit": "1"})
    order: int = field(default=3, metadata={"unit": "1"})

    def __post_init__(self) -> None:
        require_fields(self)
        for name in ("matrix_noise", "tensor_noise"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: expected a positive number or None, got {value}")
            if value is not None and not 1 / _LARGEST <= value <= _LARGEST:
                bounds = f"{1 / _LARGEST:.0e} to {_LARGEST:.0e}"
                raise ValueError(f"{name}: expected a number from {bounds}, got {value}")
        if self.matrix_noise is None and self.tensor_noise is None:
            raise ValueError("matrix_noise, tensor_noise: expected at least one, got None for both")
        if isinstance(self.order, bool) or not isinstance(self.order, int) or self.order < 3:
            raise ValueError(f"order: expected an integer of at least 3, got {self.order}")

    @property
    def matrix_weight(self) -> float:
        """1 / Delta_2, 0 without a matrix."""
        return 0.0 if self.matrix_noise is None else 1 / self.matrix_noise

    @property
    def tensor_weight(self) -> float:
        """1 / Delta_p, 0 without a tensor."""
        return 0.0 if self.tensor_noise is None else 1 / self.tensor_noise

    @property
    def homogeneous(self) -> bool:
        """Whether there is a matrix or a tensor alone, so that the multiplier fixes the energy."""
        return self.matrix_noise is None or self.tensor_noise is None

    @property
    def degree(self) -> int:
        """Largest power in Q."""
        return 2 if self.tensor_noise is None else self.order

    @property
    def sigma(self) -> float:
        """Q''(1)^(1/2): the bulk of the Hessian is a semicircle of radius 2 sigma."""
        return math.sqrt(self.curvature(1.0))

    @property
    def multiplier_variance(self) -> float:
        """V = Q'(1) + Q''(1) = N Var mu at a fixed point of the sphere."""
        return self.slope(1.0) + self.curvature(1.0)

    def edges(self, multiplier: float) -> tuple[float, float]:
        """mu -+ 2 sigma, the ends of the Hessian's bulk."""
        return multiplier - 2 * self.sigma, multiplier + 2 * self.sigma

    @overload
    def value(self, q: float) -> float: ...
    @overload
    def value(self, q: FloatArray) -> FloatArray: ...
    def value(self, q: float | FloatArray) -> float | FloatArray:
        """Q(q), of any shape."""
        return q * q * (self.matrix_weight / 2 + self.tensor_weight / self.order * self._power(q))

    @overload
    def slope(self, q: float) -> float: ...
    @overload
    def slope(self, q: FloatArray) -> FloatArray: ...
    def slope(self, q: float | FloatArray) -> float | FloatArray:
        """Q'(q), of any shape."""
        return q * (self.matrix_weight + self.tensor_weight * self._power(q))

    @overload
    def curvature(self, q: float) -> float: ...
    @overload
    def curvature(self, q: FloatArray) -> FloatArray: ...
    def curvature(self, q: float | FloatArray) -> float | FloatArray:
        """Q''(q), of any shape."""
        return self.matrix_weight + (self.order - 1) * self.tensor_weight * self._power(q)

    def slope_and_curvature(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Q'(q) and Q''(q), which share a power."""
        power = self.tensor_weight * self._power(q)
        both = power + self.matrix_weight
        more = power if self.order == 3 else (self.order - 2) * power
        return q * both, both + more

    @overload
    def third(self, q: float) -> float: ...
    @overload
    def third(self, q: FloatArray) -> FloatArray: ...
    def third(self, q: float | FloatArray) -> float | FloatArray:
        """Q'''(q), of any shape."""
        p = self.order
        return (p - 1) * (p - 2) * self.tensor_weight * q ** (p - 3)

    @overload
    def _power(self, q: float) -> float: ...
    @overload
    def _power(self, q: FloatArray) -> FloatArray: ...
    def _power(self, q: float | FloatArray) -> float | FloatArray:
        """q^(p - 2) by products, which NumPy's own power is much slower than."""
        result = q
        for _ in range(self.order - 3):
            result = result * q
        return result
