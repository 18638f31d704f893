"""Products that Krylov runs may take: where they are spent, a run ends with the space it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["allowance", "taken"]

_ALLOWANCE: ContextVar[Callable[[int], bool] | None] = ContextVar("_ALLOWANCE", default=None)


@contextmanager
def allowance(spend: Callable[[int], bool]) -> Iterator[None]:
    """A block whose Krylov runs tell of their products.

    Args:
        spend: hears how many were taken; whether no more may be.
    """
    token = _ALLOWANCE.set(spend)
    try:
        yield
    finally:
        _ALLOWANCE.reset(token)


def taken(products: int) -> bool:
    """Tell of products that were taken; whether the run has to end."""
    spend = _ALLOWANCE.get()
    return spend is not None and spend(products)
