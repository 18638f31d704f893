"""Quantities: named numbers and arrays with axes, unit, error and band."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .deferred import Deferred
from .spectrum import FloatArray

__all__ = ["Quantity", "quantity_named"]

_OWN_UNIT = {"unit": "that of the quantity"}
# An error in float32 is as good.
_OWN_ERROR = _OWN_UNIT | {"kept": "float32"}


def _unknown() -> FloatArray | None:
    return None


@dataclass(frozen=True)
class Quantity(Deferred):
    """A number or an array under a name, measured, predicted or forecast alike.

    Attributes:
        name: the same for the same quantity, however it is had.
        values: of any shape; () for a single number. They are kept as float64.
        unit: of values, errors and band.
        axes: names of the entries along each axis; empty for a single number.
        errors: of the shape of ``values``: standard error of what is measured on a sample,
            numerical error of what is predicted; None where nothing is said of it.
        band: standard deviation over runs, of the shape of ``values``; NaN where it is unknown.
        symmetric: whether entries with the two axes exchanged are the same number.
        threshold: of the shape of ``values``: beyond it something else happens, as for a sharpness
            at which steps grow; NaN where there is none.
        total: name of the number whose parts the entries of a vector are; empty for none.

    Raises:
        ValueError: if the name is empty or the shapes do not fit.
    """

    name: str = field(metadata={"unit": "none"})
    values: FloatArray = field(metadata=_OWN_UNIT)
    unit: str = field(metadata={"unit": "none"})
    axes: tuple[tuple[str, ...], ...] = field(default=(), metadata={"unit": "none"})
    errors: FloatArray | None = field(default_factory=_unknown, metadata=_OWN_ERROR)
    band: FloatArray | None = field(default_factory=_unknown, metadata=_OWN_ERROR)
    symmetric: bool = field(default=False, metadata={"unit": "none"})
    threshold: FloatArray | None = field(default_factory=_unknown, metadata=_OWN_UNIT)
    total: str = field(default="", metadata={"unit": "none"})

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name: expected one for the quantity, got an empty text")
        shape = tuple(len(names) for names in self.axes)
        for part in ("values", "errors", "band", "threshold"):
            given = getattr(self, part)
            if given is None and part != "values":
                continue
            array = np.asarray(given, dtype=np.float64)
            if array.shape != shape:
                raise ValueError(
                    f"{part} of {self.name!r}: expected the shape {shape} of its axes, "
                    f"got {array.shape}"
                )
            object.__setattr__(self, part, array)
        if self.total and len(shape) != 1:
            raise ValueError(
                f"axes of {self.name!r}: expected one, of the parts of {self.total!r}, "
                f"got {len(shape)}"
            )
        if self.symmetric and (len(shape) != 2 or self.axes[0] != self.axes[1]):
            raise ValueError(
                f"axes of {self.name!r}: expected two equal ones of a symmetric quantity, "
                f"got {self.axes}"
            )

    @classmethod
    def number(
        cls,
        name: str,
        value: float,
        unit: str,
        error: float = math.nan,
        threshold: float = math.nan,
    ) -> Quantity:
        """A single number; an error or a threshold that is NaN is unknown."""

        def known(number: float) -> FloatArray | None:
            return None if math.isnan(number) else np.array(float(number))

        values = np.array(float(value))
        return cls(name, values, unit, errors=known(error), threshold=known(threshold))

    def entries(self) -> tuple[str, ...]:
        """A name for each number, "gram/x0.mu1"; of a symmetric quantity of the upper half."""
        return _entries(self.name, self.axes, self.symmetric)

    def column(self, part: FloatArray | None) -> list[float] | None:
        """Of values, errors, band or threshold the numbers in the order of `entries`."""
        if part is None or not self.symmetric:
            return None if part is None else part.ravel().tolist()
        found: list[float] = part[_upper(len(part))].tolist()
        return found


# Quantities of the same name have the same entries from record to record.
@lru_cache(256)
def _entries(name: str, axes: tuple[tuple[str, ...], ...], symmetric: bool) -> tuple[str, ...]:
    return tuple(
        "/".join([name, ".".join(axis[i] for axis, i in zip(axes, place, strict=True))])
        if place
        else name
        for place in np.ndindex(*map(len, axes))
        if not symmetric or place[0] <= place[1]
    )


@lru_cache(256)
def _upper(size: int) -> tuple[NDArray[np.int64], ...]:
    """Places of the upper half of a matrix, row by row."""
    found: tuple[NDArray[np.int64], ...] = np.triu_indices(size)
    return found


def quantity_named(name: str, quantities: Iterable[Quantity]) -> Quantity | None:
    """The quantity of that name, or None if it is not among them."""
    return next((quantity for quantity in quantities if quantity.name == name), None)
