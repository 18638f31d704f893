"""Filters of warnings for a block, after which the training warns as if it had not been."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

__all__ = ["filtered_warnings"]


@contextmanager
def filtered_warnings(
    action: Literal["error", "ignore"], category: type[Warning] = Warning
) -> Iterator[None]:
    """A block whose warnings of a category are errors, or ignored.

    Unlike `warnings.catch_warnings` it does not make Python forget which warnings were given
    before, so that those of the training are not given again after every probing. One that was
    given once before, from the same line, is then no error either.
    """
    held: Any = warnings.filters
    own = (action, None, category, None, 0)
    held.insert(0, own)
    try:
        yield
    finally:
        held[:] = [each for each in held if each is not own]
