"""Optimisers that draw numbers, from a generator that goes with their state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["DrawingOptimiser"]


class DrawingOptimiser(torch.optim.Optimizer):
    """An optimiser whose checkpoint says what is drawn next.

    Args:
        params: parameters or groups of them.
        defaults: of every group.
        generator: source of all numbers drawn; None where none are.
    """

    def __init__(
        self,
        params: Iterable[Any],
        defaults: dict[str, Any],
        generator: torch.Generator | None,
    ) -> None:
        self._generator = generator
        super().__init__(params, defaults)

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
        """N(0, 1) in the shape of a tensor; a ``name`` above 0 is what it is needed for."""
        if self._generator is None:
            raise ValueError(f"generator: expected one at a {name} above 0, got None")
        return torch.empty_like(like).normal_(generator=self._generator)
