"""When a growing Krylov space is looked at."""

from __future__ import annotations

import math

__all__ = ["Checkpoints"]

# Columns up to which the eigenproblem of T costs less than a product.
_SMALL = 64


class Checkpoints:
    """When to look at the eigenproblem of T, which costs the cube of its size.

    A small one costs less than a product. For the others, residuals fall geometrically: the next
    look is at the step where the last two say it is done.
    """

    def __init__(self, first: int) -> None:
        self._first = self._next = first
        self._last: tuple[int, float] | None = None

    def due(self, step: int, columns: int) -> bool:
        """Whether to look now, at a T of so many columns."""
        return step >= self._next or (step >= self._first and columns <= _SMALL)

    def note(self, step: int, worst: float) -> None:
        """The worst residual found at a step, in units of the tolerance; inf if there is none."""
        ahead = max(4, step // 4)
        if self._last is not None and worst < self._last[1] < math.inf:
            rate = math.log(self._last[1] / worst) / (step - self._last[0])
            expected = round(math.log(max(worst, 1.0)) / rate)
            ahead = min(max(1, step // 10, expected), 2 * ahead)
        self._last = (step, worst)
        self._next = step + ahead
