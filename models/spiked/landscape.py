"""A planted landscape on the sphere, drawn with its noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments import require_arguments

__all__ = ["LocalEnergy", "SpikedLandscape"]


@dataclass(frozen=True)
class LocalEnergy:
    """Energy and its derivatives at one point, from one pass over the tensor.

    Attributes:
        point: x, (N,).
        energy: H, ().
        gradient: dH/dx in all N coordinates, (N,).
        hessian: d^2 H / dx^2 likewise, (N, N).
    """

    point: Tensor
    energy: Tensor
    gradient: Tensor
    hessian: Tensor

    @property
    def multiplier(self) -> Tensor:
        """mu = -x.grad H / |x|^2, ()."""
        return -(self.point @ self.gradient) / (self.point @ self.point)

    @property
    def tangent_gradient(self) -> Tensor:
        """P grad H = grad H + mu x, (N,)."""
        return self.gradient + self.multiplier * self.point


class SpikedLandscape:
    """H(x) = x^T J x / 2 + S x^p / p - N Q(m),  m = x.x*/N,  on |x|^2 = N.

    J and S are symmetric Gaussian noise with E Hn(x) Hn(x') = N Q(x.x'/N) and
    Q(q) = q^2 / (2 Delta_2) + q^p / (p Delta_p); arXiv 1902.00139 up to factors.

    Args:
        signal: x*, (N,), |x*|^2 = N; its dtype and device are all others'.
        matrix_noise: Delta_2; None for no matrix.
        tensor_noise: Delta_p; None for no tensor.
        order: p.
        generator: source of all randomness, on the device of ``signal``.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    def __init__(
        self,
        signal: Tensor,
        matrix_noise: float | None,
        tensor_noise: float | None,
        generator: torch.Generator,
        order: int = 3,
    ) -> None:
        require_arguments(SpikedLandscape.__init__, locals())
        if signal.ndim != 1 or not signal.is_floating_point() or len(signal) < 2:
            raise ValueError(
                "signal: expected a floating tensor of shape (N,), N >= 2, "
                f"got {signal.dtype} of shape {tuple(signal.shape)}"
            )
        length = float(signal.double().square().mean())
        if not abs(length - 1) < 1e-4:
            raise ValueError(f"signal: expected |x*|^2 = N, got {length:.6g} N")
        for name, noise in (("matrix_noise", matrix_noise), ("tensor_noise", tensor_noise)):
            if noise is not None and not (math.isfinite(noise) and noise > 0):
                raise ValueError(f"{name}: expected a positive number or None, got {noise}")
        if matrix_noise is None and tensor_noise is None:
            raise ValueError("matrix_noise, tensor_noise: expected at least one, got None for both")
        if isinstance(order, bool) or not isinstance(order, int) or order < 3:
            raise ValueError(f"order: expected an integer of at least 3, got {order}")
        self.signal, self.order = signal, order
        self.matrix_noise, self.tensor_noise = matrix_noise, tensor_noise
        n = len(signal)
        self._matrix = self._tensor = None
        if matrix_noise is not None:
            self._matrix = _symmetric_noise(signal, 2, (2 / matrix_noise / n) ** 0.5, generator)
        if tensor_noise is not None:
            scale = (order / tensor_noise) ** 0.5 * n ** ((1 - order) / 2)
            self._tensor = _symmetric_noise(signal, order, scale, generator)
        self._last: LocalEnergy | None = None

    @property
    def dimension(self) -> int:
        """N."""
        return len(self.signal)

    def overlap(self, point: Tensor) -> Tensor:
        """m = x.x*/N, ()."""
        return point @ self.signal / self.dimension

    def covariance(self, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Q(q), Q'(q), Q''(q), in the shape of q."""
        matrix = 0.0 if self.matrix_noise is None else 1 / self.matrix_noise
        tensor = 0.0 if self.tensor_noise is None else 1 / self.tensor_noise
        power = tensor * q ** (self.order - 2)
        value = q * q * (matrix / 2 + power / self.order)
        return value, q * (matrix + power), matrix + (self.order - 1) * power

    def at(self, point: Tensor) -> LocalEnergy:
        """Energy, gradient and Hessian at x (N,); a second call at the same x repeats nothing."""
        point = point.detach()
        if self._last is None or not torch.equal(self._last.point, point):
            self._last = self._local(point.clone())
        return self._last

    def _local(self, point: Tensor) -> LocalEnergy:
        n = self.dimension
        value, slope, curvature = self.covariance(self.overlap(point))
        energy, gradient = -n * value, -slope * self.signal
        hessian = torch.outer(self.signal, (-curvature / n) * self.signal)
        if self._matrix is not None:
            pulled = self._matrix @ point
            energy, gradient = energy + point @ pulled / 2, gradient + pulled
            hessian += self._matrix
        if self._tensor is not None:
            contracted = self._tensor
            while contracted.ndim > 2:
                shape = contracted.shape[:-1]
                contracted = (contracted.reshape(-1, n) @ point).view(shape)
            pulled = contracted @ point
            energy, gradient = energy + point @ pulled / self.order, gradient + pulled
            hessian.add_(contracted, alpha=self.order - 1)
        return LocalEnergy(point, energy, gradient, hessian)


def _symmetric_noise(like: Tensor, order: int, scale: float, generator: torch.Generator) -> Tensor:
    """The mean of a Gaussian tensor over all orders of its axes, times a scale; (N,) * order.

    One axis after the other joins those before it, in p (p - 1) / 2 sums instead of p! - 1.
    """
    shape = (len(like),) * order
    noise = torch.randn(shape, dtype=like.dtype, device=like.device, generator=generator)
    for axis in range(1, order):
        total = noise.clone()
        for other in range(axis):
            total += noise.transpose(axis, other)
        noise = total
    return noise.mul_(scale / math.factorial(order))
