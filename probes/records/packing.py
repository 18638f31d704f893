"""The arrays of a record, packed: all numbers of one width together, compressed."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["PACKING", "Packed", "Packing", "Place"]

PACKING = {
    "$arrays": "of a record: for each width all the numbers of its packed arrays, one array behind "
    "the other. f8 are float64, f4 float32, i8 int64, all little-endian. Written are the bits of "
    "each number, as an unsigned integer of that width, minus those of the number before, without "
    "carry: first the lowest bytes of all, then the second ones, and so on; compressed by zlib, in "
    "base64",
    "packed array": '{"$f8": [start, *shape]}: those of the numbers f8 from start on (counted from '
    '0), as many as the shape has, in C order; likewise "$f4" and "$i8"',
    "width": "float64 numbers are written as f4 where float32 changes none of them, or none by "
    'more than its own error. Under "kept" the schema names the field that has the errors, or says '
    "float32 of errors, of which seven digits are kept. All others are written as f8",
}

Array = NDArray[Any]

_WIDTHS = ("f8", "f4", "i8")
_KEYS = {f"${width}": width for width in _WIDTHS}

_ROUNDING = float(np.finfo(np.float32).eps)


class Place(NamedTuple):
    """Where an array is: its numbers are ``width``, from ``start`` on."""

    width: str
    start: int
    shape: tuple[int, ...]

    @staticmethod
    def of(value: Mapping[str, Any]) -> Place | None:
        """The place that a JSON object of one key says, or None if it is no place."""
        ((key, numbers),) = value.items()
        width = _KEYS.get(key)
        return None if width is None else Place(width, numbers[0], tuple(numbers[1:]))

    def rows(self, start: int, stop: int) -> Place:
        """Where a part of the array is, along its first axis."""
        inner = self.shape[1:]
        return Place(self.width, self.start + start * math.prod(inner), (stop - start, *inner))


class Packing:
    """Takes arrays and gives what is written of them."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Array]] = {width: [] for width in _WIDTHS}
        self._sizes = dict.fromkeys(_WIDTHS, 0)

    def add(self, array: Array, error: Array | float | None = 0.0) -> dict[str, list[int]] | None:
        """What stands for an array; None if it is neither float64 nor int64.

        Args:
            array: of any shape.
            error: by how much its numbers may be changed; None for so much as float32 rounds.
        """
        if isinstance(error, np.ndarray) and error.shape != array.shape:
            error = 0.0  # they are not the errors of these
        if array.dtype not in (np.float64, np.int64):
            return None
        width = "i8" if array.dtype == np.int64 else _float_width(array, error)
        start = self._sizes[width]
        self._parts[width].append(array.ravel().astype(f"<{width}"))
        self._sizes[width] += array.size
        return {f"${width}": [start, *array.shape]}

    def content(self) -> dict[str, str]:
        """The text of each width that has numbers."""
        return {
            width: _compressed(np.concatenate(parts))
            for width, parts in self._parts.items()
            if parts
        }


class Packed:
    """What `Packing.content` gave; arrays are made of it when they are asked for."""

    def __init__(self, content: Mapping[str, str]) -> None:
        self._bytes = {width: base64.b64decode(text) for width, text in content.items()}

    def array(self, place: Place) -> Array:
        """The array at a place: float64 or int64."""
        width, start, shape = place
        size = math.prod(shape)
        numbers = _numbers(self._bytes[width], width) if size else np.zeros(0, width)
        kind = np.int64 if width == "i8" else np.float64
        # A copy: it does not keep all the others.
        return numbers[start : start + size].astype(kind).reshape(shape)


def _float_width(array: Array, error: Array | float | None) -> str:
    with np.errstate(over="ignore", invalid="ignore"):
        change = np.abs(array.astype(np.float32) - array)
        limit = _ROUNDING * np.abs(array) if error is None else error
        fits = change <= limit
        if not fits.all():  # where one of them is NaN, or both infinite
            fits |= (change == 0) | ~np.isfinite(array)
    return "f4" if fits.all() else "f8"


def _compressed(numbers: Array) -> str:
    bits = numbers.view(f"<u{numbers.itemsize}")
    steps = np.diff(bits, prepend=bits.dtype.type(0))
    planes = steps.view(np.uint8).reshape(-1, numbers.itemsize).T
    return base64.b64encode(zlib.compress(planes.tobytes())).decode("ascii")


# Arrays are asked for record by record: the last record's numbers are those that are asked for.
@lru_cache(maxsize=len(_WIDTHS))
def _numbers(packed: bytes, width: str) -> Array:
    size = int(width[1:])
    planes = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(size, -1)
    steps = np.ascontiguousarray(planes.T).view(f"<u{size}").ravel()
    return np.cumsum(steps, dtype=steps.dtype).view(f"<{width}")
