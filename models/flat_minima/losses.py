"""Losses of the margin y f(x) of a binary classifier, y = -1, 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

__all__ = ["MarginLoss", "margin_loss"]

MarginLoss = Literal["squared", "hinge", "cross-entropy"]

_LOSSES: dict[MarginLoss, Callable[[Tensor], Tensor]] = {
    "squared": lambda margin: (1 - margin).square() / 2,
    "hinge": lambda margin: torch.nn.functional.softplus(_SHARP * (1 - margin)) / _SHARP,
    "cross-entropy": lambda margin: torch.nn.functional.softplus(-margin),
}
_SHARP = 4.0  # of the hinge, whose corner has a width of 1 / 4


def margin_loss(name: MarginLoss) -> Callable[[Tensor, Tensor], Tensor]:
    """Mean over samples of (1 - t)^2 / 2, log(1 + e^(4 (1 - t))) / 4 or log(1 + e^-t), t = y f.

    Args:
        name: "squared", "hinge" (with a round corner) or "cross-entropy".

    Returns:
        a function of scores f (n,) and labels y (n,) of -1 and 1.

    Raises:
        ValueError: if the name is none of these.
    """
    if name not in _LOSSES:
        raise ValueError(f"loss: expected one of {list(_LOSSES)}, got {name!r}")
    of_margin = _LOSSES[name]

    def mean(scores: Tensor, labels: Tensor) -> Tensor:
        return of_margin(scores * labels).mean()

    return mean
