"""Descent of parameters that live on spheres."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..arguments import require_arguments, require_least, require_positive
from ..drawing_optimiser import DrawingOptimiser

__all__ = ["SphereDescent"]


class SphereDescent(DrawingOptimiser):
    """x <- |x| (x - eta P g + (2 T eta)^(1/2) xi) / |.|,  P = 1 - x x^T / |x|^2,  xi ~ N(0, 1).

    Each parameter keeps the length that it had at its first step. At temperature 0 it is projected
    gradient descent, above it Langevin dynamics, whose law at small eta is exp(-H / T).

    Args:
        params: parameters to move.
        lr: eta.
        temperature: T.
        generator: source of xi; needed at a temperature above 0.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        require_arguments(SphereDescent.__init__, locals())
        require_positive("lr", lr)
        require_least("temperature", temperature, 0)
        if temperature > 0 and generator is None:
            raise ValueError("generator: expected one at a temperature above 0, got None")
        super().__init__(params, {"lr": lr, "temperature": temperature}, generator)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rate, temperature = group["lr"], group["temperature"]
            for x in group["params"]:
                if x.grad is None:
                    continue
                state = self.state[x]
                if not state:
                    state["length"] = x.norm()
                g = x.grad
                moved = x - rate * (g - ((x * g).sum() / (x * x).sum()) * x)
                if temperature > 0:
                    moved += (2 * temperature * rate) ** 0.5 * self._noise(x, "temperature")
                x.copy_(moved * (state["length"] / moved.norm()))
        return loss
