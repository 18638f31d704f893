"""Numbers of a linear model that stay numbers in all that is made of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["HUGE", "TINY", "require_range"]

# Resolvents have up to the fourth power of an eigenvalue and of its inverse.
HUGE, TINY = 1e60, 1e-60


def require_range(name: str, values: ArrayLike, least: float = 0.0) -> None:
    """Refuse numbers above `HUGE`, and those that are positive and below ``least``.

    Args:
        name: of the argument.
        values: finite numbers of at least 0, of any shape.
        least: `TINY` for what is divided by.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    given = np.asarray(values, dtype=np.float64)
    if (given > HUGE).any():
        raise ValueError(f"{name}: expected at most {HUGE:g}, got {given.max():g}")
    small = given[(given > 0) & (given < least)]
    if small.size:
        raise ValueError(f"{name}: expected 0 or at least {least:g}, got {small.min():g}")
