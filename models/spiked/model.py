"""The position on the sphere as a module whose output is the energy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..arguments import require_arguments
from .landscape import LocalEnergy, SpikedLandscape

__all__ = ["SpikedModel"]


class SpikedModel(nn.Module):
    """x -> H(x), (): what descends is one parameter ``x`` (N,) with |x|^2 = N.

    Gradient and Hessian products take the one pass over the tensor that the energy took.

    Args:
        landscape: H.
        start: x, (N,), in the landscape's dtype and on its device.

    Raises:
        ValueError: if the start is not on the sphere of the landscape.
    """

    def __init__(self, landscape: SpikedLandscape, start: Tensor) -> None:
        require_arguments(SpikedModel.__init__, locals())
        super().__init__()
        n = landscape.dimension
        if start.shape != (n,) or start.dtype != landscape.signal.dtype:
            raise ValueError(
                f"start: expected {landscape.signal.dtype} of shape ({n},), "
                f"got {start.dtype} of shape {tuple(start.shape)}"
            )
        length = float(start.double().square().mean())
        if not abs(length - 1) < 1e-4:
            raise ValueError(f"start: expected |x|^2 = N, got {length:.6g} N")
        self.landscape = landscape
        self.x = nn.Parameter(start.clone())

    def forward(self, inputs: object = None) -> Tensor:
        """H(x), (); there are no data, and inputs are not looked at."""
        energy: Tensor = _Energy.apply(self.x, self.landscape.at(self.x))  # type: ignore[no-untyped-call]
        return energy


class _Energy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, local: LocalEnergy) -> Tensor:
        ctx.local = local
        ctx.save_for_backward(x)
        return local.energy.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        gradient: Tensor = _Gradient.apply(x, ctx.local)  # type: ignore[no-untyped-call]
        return outer[0] * gradient, None


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, local: LocalEnergy) -> Tensor:
        ctx.local = local
        return local.gradient.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:
        return ctx.local.hessian @ outer[0], None
