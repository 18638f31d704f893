"""What optimisers share that evaluate the gradient several times a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ..models.drawing_optimiser import DrawingOptimiser

__all__ = ["Closure", "ClosureOptimiser", "require"]

# Zeroes the gradients, computes the loss, calls backward and returns the loss.
Closure = Callable[[], Any]


class ClosureOptimiser(DrawingOptimiser):
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
        self._ranges = ranges
        super().__init__(params, defaults, generator)

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
