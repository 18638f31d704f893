"""Quantities: named numbers and arrays with axes, unit, error and band."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from .deferred import Deferred
from .spectrum import FloatArray

__all__ = ["Entry", "Quantity", "quantity_named"]

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

    def entries(self) -> Iterator[Entry]:
        """Each number under a name of its own, "gram/x0.mu1"; of a symmetric one the upper half."""
        for place in np.ndindex(*self.values.shape):
            if self.symmetric and place[0] > place[1]:
                continue
            names = ".".join(axis[i] for axis, i in zip(self.axes, place, strict=True))
            yield Entry(
                f"{self.name}/{names}" if names else self.name,
                float(self.values[place]),
                math.nan if self.errors is None else float(self.errors[place]),
                math.nan if self.band is None else float(self.band[place]),
                math.nan if self.threshold is None else float(self.threshold[place]),
            )


@dataclass(frozen=True)
class Entry:
    """One number of a quantity.

    Attributes:
        name: of the quantity, and of its place there.
        value: the number.
        error: see `Quantity`; NaN where nothing is said of it.
        band: likewise.
        threshold: likewise.
    """

    name: str
    value: float
    error: float
    band: float
    threshold: float = math.nan


def quantity_named(name: str, quantities: Iterable[Quantity]) -> Quantity | None:
    """The quantity of that name, or None if it is not among them."""
    return next((quantity for quantity in quantities if quantity.name == name), None)
