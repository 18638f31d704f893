"""What optimisers share that evaluate the gradient several times a step and draw numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Closure", "ClosureOptimiser", "require"]

# Zeroes the gradients, computes the loss, calls backward and returns the loss.
Closure = Callable[[], Any]


class ClosureOptimiser(torch.optim.Optimizer):
    """An optimiser whose `step` needs a closure, as that of `torch.optim.LBFGS` does.

    Args:
        params: parameters or groups of them.
        defaults: of every group.
        ranges: of the numbers in a group, by name: the least value, and whether that is allowed.
        generator: source of all numbers drawn; its state is in `state_dict`.

    Raises:
        ValueError: naming a number of a group that is out of range.
    """

    needs_closure = True

    def __init__(
        self,
        params: Iterable[Any],
        defaults: dict[str, Any],
        ranges: dict[str, tuple[float, bool]],
        generator: torch.Generator | None,
    ) -> None:
        self._ranges, self._generator = ranges, generator
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As of any optimiser.

        Raises:
            ValueError: naming a number that is out of range.
        """
        for name, (least, allowed) in self._ranges.items():
            value = param_group.get(name, self.defaults[name])
            if not (math.isfinite(value) and (value > least or (allowed and value == least))):
                words = "at least" if allowed else "above"
                raise ValueError(f"{name}: expected a number {words} {least:g}, got {value}")
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """As of any optimiser, with the state of the generator."""
        state = super().state_dict()
        if self._generator is not None:
            state["generator"] = self._generator.get_state()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state: what is drawn next is what would have been drawn."""
        state = dict(state_dict)
        drawn = state.pop("generator", None)
        super().load_state_dict(state)
        if self._generator is not None and drawn is not None:
            self._generator.set_state(drawn.cpu())

    def _noise(self, like: Tensor, name: str) -> Tensor:
        """N(0, 1) in the shape of a tensor."""
        if self._generator is None:
            raise ValueError(f"generator: expected one at a {name} above 0, got None")
        return torch.empty_like(like).normal_(generator=self._generator)

    def _trained(self) -> list[tuple[dict[str, Any], Tensor]]:
        """Every parameter that is trained, with its group."""
        return [
            (group, p) for group in self.param_groups for p in group["params"] if p.requires_grad
        ]


def require(closure: Closure | None) -> Closure:
    """The closure.

    Raises:
        ValueError: if there is none.
    """
    if closure is None:
        raise ValueError("closure: expected one that returns the loss after backward, got None")
    return closure
