"""Descent of parameters that live on spheres."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ..arguments import require_arguments, require_least, require_positive

__all__ = ["SphereDescent"]


class SphereDescent(torch.optim.Optimizer):
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
        super().__init__(params, {"lr": lr, "temperature": temperature})
        self._generator = generator

    def state_dict(self) -> dict[str, Any]:
        """As of any optimiser, with the state of the generator."""
        state = super().state_dict()
        if self._generator is not None:
            state["generator"] = self._generator.get_state()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state: the noise that follows is that which would have followed."""
        state = dict(state_dict)
        drawn = state.pop("generator", None)
        super().load_state_dict(state)
        if self._generator is not None and drawn is not None:
            self._generator.set_state(drawn.cpu())

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
                    noise = torch.empty_like(x).normal_(generator=self._generator)
                    moved += (2 * temperature * rate) ** 0.5 * noise
                x.copy_(moved * (state["length"] / moved.norm()))
        return loss
