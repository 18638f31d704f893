"""A quantity as a checkpoint can hold it: plain containers and tensors."""

from __future__ import annotations

from typing import Any

import torch

from ..theory.quantity import Quantity

__all__ = ["quantity_of", "quantity_state"]


def quantity_state(quantity: Quantity) -> dict[str, Any]:
    """All that the quantity is; its values as a tensor."""
    return {
        "name": quantity.name,
        "values": torch.from_numpy(quantity.values),
        "unit": quantity.unit,
        "axes": [list(axis) for axis in quantity.axes],
        "symmetric": quantity.symmetric,
        "total": quantity.total,
    }


def quantity_of(state: dict[str, Any]) -> Quantity:
    """The quantity that had this state."""
    return Quantity(
        state["name"],
        state["values"].numpy(),
        state["unit"],
        tuple(map(tuple, state["axes"])),
        symmetric=state["symmetric"],
        total=state.get("total", ""),  # states of earlier versions have none
    )
