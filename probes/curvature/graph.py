"""What one batch contributes to a curvature matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Graph"]


@dataclass(frozen=True)
class Graph:
    """One batch's part of a curvature matrix.

    Attributes:
        value: sum over the samples of their losses, ().
        samples: how many they are.
        weight: what they count by in the mean: their number, or the sum of the terms' weights.
        product: from a vector, or rows of vectors, by leaf (..., *shape) to its product, likewise.
        constant: whether the product is 0 for want of a second derivative.
        gradient: sum over the samples of their gradients by leaf, where the product squares them.
    """

    value: Tensor
    samples: int
    weight: float
    product: Callable[[Sequence[Tensor]], list[Tensor]]
    constant: bool = False
    gradient: Callable[[], list[Tensor]] = list
