"""What an autograd graph ends at, and what stands in the way of a gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

__all__ = ["graph_ends", "has_nodes", "next_node", "own_functions", "require_own_ends"]

# torch.utils.checkpoint with use_reentrant=True: parameters inside are not in the graph around it.
_REENTRANT = "CheckpointFunctionBackward"


def require_own_ends(
    values: Iterable[Tensor], parameters: Mapping[str, Tensor], leaves: Iterable[Tensor]
) -> None:
    """Refuse graphs that miss a dependence on these parameters, for which others stand in.

    Args:
        values: what is differentiated.
        parameters: the module's own, which no graph should end at.
        leaves: what stands in for them, in the same order.

    Raises:
        ValueError: if one does, as where a loss reads them from an optimiser; or if a part of the
            model is behind reentrant checkpointing, whose parameters have no gradient.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    found: dict[str, None] = {}
    reached, reentrant = set(), False
    for node in _nodes(values):
        reentrant |= node.name() == _REENTRANT
        variable = getattr(node, "variable", None)
        reached.add(id(variable))
        name = names.get(id(variable))
        if name is not None:
            found[name] = None
    if reentrant:
        behind = [n for n, leaf in zip(parameters, leaves, strict=True) if id(leaf) not in reached]
        raise ValueError(
            "model: expected parameters with a gradient path, got "
            f"{', '.join(behind) or 'some of other blocks'} behind torch.utils.checkpoint with "
            "use_reentrant=True, which torch.autograd.grad does not reach: use use_reentrant=False"
        )
    if found:
        raise ValueError(
            "loss: expected one that reads parameters through the model, or where others can be "
            f"put in their place, got {', '.join(found)} read elsewhere, as from an optimiser: "
            "their part would be missing"
        )


def own_functions(value: Tensor) -> list[str]:
    """Names of the `torch.autograd.Function` on the graph of a value: what they say, it has."""
    found = [type(node) for node in _nodes([value]) if isinstance(node, BackwardCFunction)]
    return list(dict.fromkeys(each.__name__.removesuffix("Backward") for each in found))


def graph_ends(value: Tensor) -> list[Tensor]:
    """The tensors that the graph of a value ends at, by which it can be differentiated."""
    return [node.variable for node in _nodes([value]) if hasattr(node, "variable")]


def next_node() -> int:
    """The number that the next node of a graph gets: they are numbered as they are made."""
    node: Any = torch.zeros((), requires_grad=True).view(()).grad_fn
    return int(node._sequence_nr()) + 1


def has_nodes(value: Tensor, first: int, stop: int) -> bool:
    """Whether the graph of a value has nodes with numbers from first on, below stop."""
    return any(first <= node._sequence_nr() < stop for node in _nodes([value]))


def _nodes(values: Iterable[Tensor]) -> Iterator[Any]:
    """Every node of the graphs."""
    ahead = [value.grad_fn for value in values if value.grad_fn is not None]
    seen = set(ahead)
    while ahead:
        node: Any = ahead.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                ahead.append(following)
