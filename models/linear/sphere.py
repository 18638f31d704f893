"""Dot-product kernels on the sphere, whose eigenfunctions are the spherical harmonics.

    k(x . x') = sum_l s_l dim_l P_l(x . x'),   s_l = E_t [ k(t) P_l(t) ],   t ~ (1 - t^2)^((d-3)/2)

with P_l the Gegenbauer polynomial of degree l that is 1 at t = 1, dim_l harmonics of degree l.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import roots_jacobi
from torch import Tensor

from ..arguments import require_arguments, require_fields, require_least

__all__ = ["SphereLaw", "SphereRisk", "harmonics", "kernel_spectrum"]

Numbers = TypeVar("Numbers", NDArray[np.float64], Tensor)

_NODES = 400


def harmonics(dimension: int, degree: int) -> int:
    """Number of spherical harmonics of a degree on the sphere of R^d, d >= 3."""
    count = math.comb(degree + dimension - 1, degree)
    return count - (math.comb(degree + dimension - 3, degree - 2) if degree >= 2 else 0)


def kernel_spectrum(
    kernel: Callable[[NDArray[np.float64]], NDArray[np.float64]], dimension: int, degrees: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues s_l of degrees 0, ..., L-1 and their multiplicities, (L,) each.

    Args:
        kernel: k of the cosine t.
        dimension: d >= 3.
        degrees: L.

    Raises:
        ValueError: if a dimension is too small.
    """
    require_arguments(kernel_spectrum, locals())
    require_least("dimension", dimension, 3)
    power = (dimension - 3) / 2
    nodes, weights = roots_jacobi(_NODES, power, power)
    values = kernel(nodes) * weights / weights.sum()
    eigenvalues = np.array([values @ p for p in _gegenbauer(nodes, dimension, degrees)])
    # Degrees whose part is a rounding error of the whole have none.
    eigenvalues[np.abs(eigenvalues) < 1e-15 * np.abs(values).sum()] = 0.0
    counts = [harmonics(dimension, degree) for degree in range(degrees)]
    return eigenvalues, np.array(counts, dtype=float)


def _gegenbauer(cosines: Numbers, dimension: int, degrees: int) -> list[Numbers]:
    """P_0, ..., P_(L-1) by their recurrence, which stays below 1."""
    found = [0 * cosines + 1, cosines]
    for degree in range(1, degrees):
        rise = (2 * degree + dimension - 2) * cosines * found[-1] - degree * found[-2]
        found.append(rise / (degree + dimension - 2))
    return found[:degrees]


@dataclass(frozen=True, eq=False)
class SphereLaw:
    """x uniform on the unit sphere of R^d,  y = sum_l f_l(x) + noise^(1/2) g,  f_l of degree l.

    f_l is a sum of P_l(x . u_j) over random centres u_j, with E f_l^2 = ``powers``[l].

    Attributes:
        centres: (J, d) unit vectors; their dtype and device are the samples'.
        powers: E f_l^2 for l = 0, 1, ...
        noise: variance of the label noise.
    """

    centres: Tensor
    powers: tuple[float, ...]
    noise: float = 0.0

    def __post_init__(self) -> None:
        require_fields(self)
        if self.centres.ndim != 2 or self.centres.shape[1] < 3:
            raise ValueError(
                f"centres: expected shape (J, d), d >= 3, got {tuple(self.centres.shape)}"
            )
        if not all(math.isfinite(power) and power >= 0 for power in self.powers):
            raise ValueError(f"powers: expected numbers of at least 0, got {self.powers}")
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise ValueError(f"noise: expected a variance of at least 0, got {self.noise}")

    @classmethod
    def random(
        cls,
        dimension: int,
        powers: tuple[float, ...],
        generator: torch.Generator,
        noise: float = 0.0,
        centres: int = 64,
        dtype: torch.dtype = torch.float64,
    ) -> SphereLaw:
        """With centres that are uniform themselves."""
        return cls(_uniform(centres, dimension, generator, dtype), powers, noise)

    def targets(self, inputs: Tensor) -> Tensor:
        """sum_l f_l, (n,), without noise."""
        return self.parts(inputs, [1.0] * len(self.powers))

    def parts(self, inputs: Tensor, factors: Sequence[float]) -> Tensor:
        """sum_l factors[l] f_l, (n,), over as many degrees as both have."""
        dimension, degrees = inputs.shape[1], min(len(self.powers), len(factors))
        among = _gegenbauer(self.centres @ self.centres.T, dimension, degrees)
        across = _gegenbauer(inputs @ self.centres.T, dimension, degrees)
        total = torch.zeros(len(inputs), dtype=inputs.dtype, device=inputs.device)
        for degree in range(degrees):
            # The mean of P_l(x . u) P_l(x . u') is P_l(u . u') / dim_l.
            norm = among[degree].sum() / harmonics(dimension, degree)
            scale = factors[degree] * (self.powers[degree] / norm).sqrt()
            total = total + scale * across[degree].sum(1)
        return total

    def sample(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs (n, d) and targets (n,)."""
        if size < 1:
            raise ValueError(f"size: expected at least 1 sample, got {size}")
        inputs = _uniform(size, self.centres.shape[1], generator, self.centres.dtype)
        targets = self.targets(inputs)
        if self.noise > 0:
            noise = torch.randn(size, generator=generator, dtype=inputs.dtype, device=inputs.device)
            targets = targets + self.noise**0.5 * noise
        return inputs, targets


class SphereRisk:
    """E_x (sum_i c_i k(x . x_i) - sum_l f_l(x))^2  =  c^T K2 c - 2 c^T m + sum_l E f_l^2.

    K2 = sum_l s_l^2 dim_l P_l(x_i . x_j),  m_i = sum_l s_l f_l(x_i),  since P_l reproduces the
    harmonics of degree l: E_x P_l(x . u) f_l(x) = f_l(u) / dim_l. In double precision.

    Args:
        law: of inputs and targets.
        eigenvalues: (L,) s_l of k, see `kernel_spectrum`, all that are not negligible.
        points: (P, d) the x_i.
    """

    def __init__(self, law: SphereLaw, eigenvalues: Sequence[float], points: Tensor) -> None:
        require_arguments(SphereRisk.__init__, locals())
        points = points.double()
        dimension, degrees = points.shape[1], len(eigenvalues)
        cosines = points @ points.T
        self._square = torch.zeros_like(cosines)
        for degree, p in enumerate(_gegenbauer(cosines, dimension, degrees)):
            self._square += eigenvalues[degree] ** 2 * harmonics(dimension, degree) * p
        wide = replace(law, centres=law.centres.double())
        self._mean, self._power = wide.parts(points, eigenvalues), sum(law.powers)

    def __call__(self, coefficients: Tensor) -> Tensor:
        """The risk at c, (P,), without label noise."""
        c = coefficients.double()
        return c @ self._square @ c - 2 * c @ self._mean + self._power


def _uniform(size: int, dimension: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    normal = torch.randn(size, dimension, generator=generator, dtype=dtype, device=generator.device)
    unit: Tensor = normal / normal.norm(dim=1, keepdim=True)
    return unit
