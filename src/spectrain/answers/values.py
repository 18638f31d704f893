"""Values as JSON and TOML hold them, read into checked Python ones.

A reader is a function of a key and a value that returns the checked value, or raises a ValueError
`key: expected ..., got ...`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Reader",
    "Specification",
    "Table",
    "choice",
    "integer",
    "list_of",
    "matrix",
    "nonnegative",
    "nullable",
    "number",
    "positive",
    "refusal",
    "schedule",
    "table",
    "text",
    "vector",
]

T = TypeVar("T")
Reader = Callable[[str, object], T]

_LIKE = 0.8  # how like a key one must be that was misspelt
_SHOWN = 60  # characters of a refused value
_EXACT = 2**53  # integers below are exact as floating numbers
LONGEST = 100_000  # items of a list


def refusal(key: str, expected: str, value: object) -> ValueError:
    """The error `key: expected ..., got ...`, with the value as JSON writes it."""
    got = json.dumps(value, default=str)
    got = got if len(got) <= _SHOWN else f"{got[:_SHOWN]}..."
    return ValueError(f"{key}: expected {expected}, got {got}")


class Table:
    """Keys and values, taken one after the other; what is left over is refused by `finish`.

    Args:
        values: the table.
        prefix: before its keys in errors, with its dot.
    """

    def __init__(self, values: Mapping[str, object], prefix: str = "") -> None:
        self._values = dict(values)
        self._known: list[str] = []
        self._prefix = prefix

    def required(self, key: str, reader: Reader[T]) -> T:
        """Take the value of a key that must be there.

        Raises:
            ValueError: if it is not, naming a key like it if there is one that is not known, or if
                the reader refuses its value.
        """
        if key not in self._values:
            # A key that was misspelt, where it can be told.
            near = get_close_matches(key, list(self._values), n=1, cutoff=_LIKE)
            if near:
                raise ValueError(
                    f"{self._prefix}{near[0]}: no such key; did you mean {self._prefix}{key}?"
                )
            raise ValueError(f"{self._prefix}{key}: expected a value, got none")
        self._known.append(key)
        return reader(self._prefix + key, self._values.pop(key))

    def optional(self, key: str, reader: Reader[T], default: T) -> T:
        """Take the value of a key that may be missing.

        Raises:
            ValueError: if the reader refuses its value.
        """
        if key in self._values:
            return self.required(key, reader)
        self._known.append(key)
        return default

    def finish(self, ignoring: Collection[str] = ()) -> None:
        """Check that every key has been taken, except those to be ignored.

        Raises:
            ValueError: naming the first key that has not.
        """
        unknown = [key for key in self._values if key not in ignoring]
        if unknown:
            known = ", ".join(self._known)
            raise ValueError(f"{self._prefix}{unknown[0]}: expected a key among {known}, got this")


class Specification(Table):
    """A whole specification, as a system reads it: that it is asked has been read already.

    Args:
        values: keys and values; "system" is passed over.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        super().__init__({key: value for key, value in values.items() if key != "system"})


def number(key: str, value: object) -> float:
    """A finite number."""
    return _number(key, value, "a finite number")


def positive(key: str, value: object) -> float:
    """A finite number > 0."""
    return _number(key, value, "a positive number", lambda x: x > 0)


def nonnegative(key: str, value: object) -> float:
    """A finite number >= 0."""
    return _number(key, value, "a number >= 0", lambda x: x >= 0)


def _number(
    key: str, value: object, expected: str, valid: Callable[[float], bool] = lambda _: True
) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal(key, expected, value)
    try:
        result = float(value)
    except OverflowError as error:
        raise refusal(key, expected, value) from error
    if not (math.isfinite(result) and valid(result)):
        raise refusal(key, expected, value)
    return result


def integer(minimum: int, most: int = _EXACT - 1) -> Reader[int]:
    """Reader of an integer from a minimum on, up to one; 3.0 is 3, as in JSON."""
    expected = f"an integer >= {minimum}"
    if most < _EXACT - 1:
        expected = f"an integer from {minimum} to {most}"

    def read(key: str, value: object) -> int:
        result = _number(key, value, expected, lambda x: x == int(x) and minimum <= x <= most)
        return int(result)

    return read


def choice(*names: str) -> Reader[str]:
    """Reader of one of a few names."""

    def read(key: str, value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise refusal(key, f"one of {', '.join(json.dumps(name) for name in names)}", value)
        return value

    return read


def text(key: str, value: object) -> str:
    """Any string."""
    if not isinstance(value, str):
        raise refusal(key, "a string", value)
    return value


def nullable(reader: Reader[T]) -> Reader[T | None]:
    """Reader of a value that may be null."""

    def read(key: str, value: object) -> T | None:
        return None if value is None else reader(key, value)

    return read


def list_of(reader: Reader[T], *, least: int = 0, most: int = LONGEST) -> Reader[tuple[T, ...]]:
    """Reader of a list of so many items with one reader; key[0], key[1], ... by name."""

    def read(key: str, value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise refusal(key, "a list", value)
        if len(value) < least:
            raise ValueError(f"{key}: expected at least {least}, got {len(value) or 'none'}")
        if len(value) > most:
            raise ValueError(f"{key}: expected at most {most}, got {len(value)}")
        return tuple(reader(f"{key}[{i}]", item) for i, item in enumerate(value))

    return read


def schedule(key: str, value: object) -> tuple[tuple[float, float], ...]:
    """A list of [time, factor] by increasing time."""
    entries = list_of(_entry)(key, value)
    for (earlier, _), (later, _) in itertools.pairwise(entries):
        if later <= earlier:
            raise ValueError(f"{key}: expected increasing times >= 0, got {later} after {earlier}")
    return entries


def _entry(key: str, value: object) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise refusal(key, "a pair [time, factor]", value)
    return nonnegative(f"{key}[0]", value[0]), nonnegative(f"{key}[1]", value[1])


def vector(size: int, meaning: str) -> Reader[NDArray[np.float64]]:
    """Reader of a list of so many finite numbers, (size,)."""

    def read(key: str, value: object) -> NDArray[np.float64]:
        numbers = list_of(number)(key, value)
        if len(numbers) != size:
            raise ValueError(f"{key}: expected {size} numbers ({meaning}), got {len(numbers)}")
        return np.array(numbers, dtype=np.float64)

    return read


def matrix(key: str, value: object) -> NDArray[np.float64]:
    """A list of rows of finite numbers of one length, (rows, columns), both at least 1."""
    rows = list_of(list_of(number))(key, value)
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1 or lengths == [0]:
        raise ValueError(
            f"{key}: expected rows of equal length, at least one, got {len(rows)} rows "
            f"of lengths {lengths}"
        )
    return np.array(rows, dtype=np.float64)


def table(key: str, value: object) -> Table:
    """Keys and values."""
    if not isinstance(value, dict):
        raise refusal(key, "keys and values", value)
    return Table(value, f"{key}.")
