"""Statistics whose fields are the quantities that are recorded of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any, Self, cast

import numpy as np

from .quantity import Quantity
from .spectrum import FloatArray

__all__ = ["FieldStatistics", "numbered"]


class FieldStatistics:
    """To be extended by a frozen dataclass of numbers and arrays, each with its unit as metadata.

    A field of the unit "none" is not recorded: it has a default, which what is restored gets.
    """

    def quantities(self) -> tuple[Quantity, ...]:
        """One for each field, under its name."""
        return tuple(
            numbered(part.name, getattr(self, part.name), part.metadata["unit"])
            for part in _recorded(type(self))
        )

    @classmethod
    def restored(cls, quantities: Sequence[Quantity]) -> Self:
        """From all of these quantities, others aside."""
        found = {each.name: each.values for each in quantities}
        values = {part.name: found[part.name] for part in _recorded(cls)}
        return cls(**{name: each if each.ndim else float(each) for name, each in values.items()})


def numbered(name: str, value: float | FloatArray, unit: str) -> Quantity:
    """A number, or an array whose entries along each axis are counted from 1."""
    array = np.asarray(value, dtype=np.float64)
    axes = tuple(tuple(str(k + 1) for k in range(length)) for length in array.shape)
    return Quantity(name, array, unit, axes)


def _recorded(statistics: type[FieldStatistics]) -> list[Field[Any]]:
    found = fields(cast(Any, statistics))
    return [part for part in found if part.metadata["unit"] != "none"]
