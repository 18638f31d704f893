"""The factors of a matrix as a module whose output is the loss on its measurements."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..arguments import require_arguments
from .factorisation import LocalLoss, local_loss
from .measurements import Measurements

__all__ = ["FactorisedMatrix"]


class FactorisedMatrix(nn.Module):
    """U -> f(U) = |A(U U^T) - y|^2 / 4, (): what is trained is one parameter ``u`` (n, q).

    Gradient and Hessian products are those of `LocalLoss`; what a point has cost is kept for it.

    Args:
        measurements: A.
        outcomes: y, (m,).
        start: U, (n, q).

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    def __init__(self, measurements: Measurements, outcomes: Tensor, start: Tensor) -> None:
        require_arguments(FactorisedMatrix.__init__, locals())
        super().__init__()
        n, m, dtype = measurements.size, measurements.count, measurements.dtype
        if outcomes.shape != (m,) or outcomes.dtype != dtype:
            raise ValueError(
                f"outcomes: expected {dtype} of shape ({m},), "
                f"got {outcomes.dtype} of shape {tuple(outcomes.shape)}"
            )
        if start.ndim != 2 or len(start) != n or start.dtype != dtype:
            raise ValueError(
                f"start: expected {dtype} of shape ({n}, factors), "
                f"got {start.dtype} of shape {tuple(start.shape)}"
            )
        self.measurements, self.outcomes = measurements, outcomes
        self.u = nn.Parameter(start.clone())
        self._last: LocalLoss | None = None

    def at(self, point: Tensor) -> LocalLoss:
        """Loss and derivatives at U (n, q); a second call at the same U repeats nothing."""
        point = point.detach()
        if self._last is None or not torch.equal(self._last.point, point):
            self._last = local_loss(self.measurements, self.outcomes, point.clone())
        return self._last

    def forward(self, inputs: object = None) -> Tensor:
        """f(U), (); there are no further data, and inputs are not looked at."""
        loss: Tensor = _Loss.apply(self.u, self.at(self.u))  # type: ignore[no-untyped-call]
        return loss


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, local: LocalLoss) -> Tensor:
        ctx.local = local
        ctx.save_for_backward(u)
        return local.loss.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        gradient: Tensor = _Gradient.apply(u, ctx.local)  # type: ignore[no-untyped-call]
        return outer[0] * gradient, None


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, local: LocalLoss) -> Tensor:
        ctx.local = local
        return local.gradient

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:
        return ctx.local.hessian_product(outer[0]), None
