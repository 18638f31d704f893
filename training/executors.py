"""Calls of one function, here or by any executor of `concurrent.futures`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from typing import Any, TypeVar

__all__ = ["outcomes"]

T = TypeVar("T")


def outcomes(
    function: Callable[..., T], calls: Sequence[tuple[Any, ...]], executor: Executor | None = None
) -> Iterator[tuple[int, T]]:
    """The result of each call with its place, in the order in which they end.

    What an executor loses with its workers (`BrokenExecutor`) is done in this process.

    Args:
        function: of the module level of an importable module.
        calls: arguments.
        executor: does the calls; None for this process, one after the other. It stays open.

    Raises:
        Exception: what a call raises; those that have not begun are then cancelled.
    """
    left: list[int] = []
    if executor is None:
        left = list(range(len(calls)))
    else:
        futures: dict[Future[T], int] = {}
        try:
            for place, call in enumerate(calls):
                try:
                    futures[executor.submit(function, *call)] = place
                except BrokenExecutor:
                    left.append(place)
            for future in as_completed(futures):
                place = futures[future]
                try:
                    result = future.result()
                except BrokenExecutor:
                    left.append(place)
                    continue
                yield place, result
        finally:
            for future in futures:
                future.cancel()
        if left:
            warnings.warn(
                f"executor: expected workers that live, but lost {len(left)} of {len(calls)} "
                "calls with them; these are done in this process",
                RuntimeWarning,
                stacklevel=2,
            )
    for place in sorted(left):
        yield place, function(*calls[place])
