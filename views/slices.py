"""Quantities of three axes and more as matrices, so that whatever draws matrices draws them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from ..probes.records.numbers import KINDS
from ..probes.records.record import Geometry, Record
from ..theory.quantity import Quantity

__all__ = ["SLICES", "in_matrices", "slices"]

# Of one quantity; all its numbers are in tables and exports.
SLICES = 6


def in_matrices(record: Record) -> Record:
    """The record with the `slices` of each quantity in its place."""
    geometries: dict[str, Any] = {kind: getattr(record, kind) for kind in KINDS}
    if not any(
        len(quantity.axes) > 2
        for geometry in geometries.values()
        for quantity in (geometry.quantities if geometry is not None else ())
    ):
        return record
    found: dict[str, Any] = {kind: _sliced(each) for kind, each in geometries.items()}
    return replace(record, **found)


def slices(quantity: Quantity) -> tuple[Quantity, ...]:
    """Matrices over the last two axes, one for each entry of the others: the first six.

    Their names are that of the quantity with the entry behind it, "attention, layer 1". One of up
    to two axes stays as it is.
    """
    if len(quantity.axes) <= 2:
        return (quantity,)
    return tuple(islice(_matrices(quantity), SLICES))


def _matrices(quantity: Quantity) -> Iterator[Quantity]:
    *others, rows, columns = quantity.axes
    for place in np.ndindex(*map(len, others)):
        entry = "·".join(axis[i] for axis, i in zip(others, place, strict=True))
        yield replace(
            quantity,
            name=f"{quantity.name}, {entry}",
            axes=(rows, columns),
            values=quantity.values[place],
            errors=None if quantity.errors is None else quantity.errors[place],
            band=None if quantity.band is None else quantity.band[place],
        )


def _sliced(geometry: Geometry | None) -> Geometry | None:
    if geometry is None:
        return None
    found = (matrix for each in geometry.quantities for matrix in slices(each))
    return replace(geometry, quantities=tuple(found))
