"""How the columns of a panel go through graphs: kept or built again, one by one or together."""

from __future__ import annotations

from typing import Literal

import torch

__all__ = ["CACHE", "MANY", "Strategy", "column_spans", "columns_together"]

Strategy = Literal["kept graph", "kept graph, vmap", "rebuilt graph", "rebuilt graph, vmap"]

# Bytes that the largest intermediate tensor of a panel product may take: within the cores' caches.
CACHE = 2**22
# Columns below which torch.vmap costs more than it saves: operations on the larger tensors of fewer
# take longer than their calls. Those of accelerators take less.
_FEWEST, _FEWEST_LAUNCHED = 16, 4
# Columns from which on one of them costs at most half as much as one of eight.
MANY = 64
# Columns at once where vmap is asked for.
_ASKED = 8


def columns_together(strategy: Strategy | None, largest: float, device: torch.device) -> int:
    """How many columns go through a graph at once.

    Args:
        strategy: what was asked for; None for what is fastest.
        largest: bytes of the largest intermediate tensor of one column.
        device: of the graph.
    """
    fitting = int(CACHE / max(1.0, largest))
    if strategy is None:
        fewest = _FEWEST if device.type == "cpu" else _FEWEST_LAUNCHED
        return fitting if fitting >= fewest else 1
    return max(_ASKED, fitting) if strategy.endswith("vmap") else 1


def column_spans(width: int, most: int) -> list[slice]:
    """As few ranges of at most so many columns as there can be, of like length."""
    parts = max(1, -(-width // most))
    return [slice(i * width // parts, (i + 1) * width // parts) for i in range(parts)]
