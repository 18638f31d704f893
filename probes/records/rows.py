"""Objects of one type as tables: a column for each field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from ...theory.spectrum import Eigenpair
from .kept import allowed, is_default
from .packing import Packed, Packing, Place

__all__ = ["ROWS", "Rows", "Table", "Tables", "are_rows"]

ROWS = {
    "$tables": 'of a record: {"$type": name in the schema, field: packed array, ...}, a table of '
    "such objects: the first axis of each array counts them; a field that is not there has its "
    "default in all",
    "list of objects in a table": '{"$rows": [table, start, stop]}: those from start on before '
    "stop, of the table with that number (all counted from 0)",
}


class Rows(NamedTuple):
    """Some rows of a table: where it is among the tables, the first row, and the one behind."""

    table: int
    start: int
    stop: int


def are_rows(value: Sequence[object]) -> bool:
    """Whether there are tables of such objects."""
    return bool(value) and all(type(each) is Eigenpair for each in value)


class Tables:
    """Takes eigenpairs and gives what is written of them; arrays in a table have equal shapes."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Any, ...], list[Eigenpair]] = {}

    def add(self, rows: Sequence[Eigenpair]) -> dict[str, Rows] | None:
        """What stands for a list; None if the arrays in it are not of equal shapes."""
        shapes = [(np.shape(each.alignment), np.shape(each.draws)) for each in rows]
        if len(set(shapes)) > 1:
            return None
        held = self._rows.setdefault(shapes[0], [])
        held += rows
        number = list(self._rows).index(shapes[0])
        return {"$rows": Rows(number, len(held) - len(rows), len(held))}

    def content(self, packing: Packing) -> list[dict[str, Any]]:
        """The tables, their numbers packed."""
        return [_columns(rows, packing) for rows in self._rows.values()]


def _columns(rows: Sequence[Eigenpair], packing: Packing) -> dict[str, Any]:
    content: dict[str, Any] = {"$type": type(rows[0]).__name__}
    for field in fields(rows[0]):
        values = [getattr(row, field.name) for row in rows]
        if not all(is_default(field, value) for value in values):
            content[field.name] = packing.add(np.array(values, np.float64), allowed(field, rows[0]))
    return content


class Table(NamedTuple):
    """Where the columns are of objects of one type."""

    kind: type
    names: tuple[str, ...]
    places: tuple[Place, ...]

    def rows(self, packed: Packed, start: int, stop: int) -> tuple[Any, ...]:
        """The objects from ``start`` on before ``stop``."""
        found = (packed.array(place.rows(start, stop)) for place in self.places)
        values = (each.tolist() if each.ndim == 1 else each for each in found)
        return tuple(
            [
                self.kind(**dict(zip(self.names, row, strict=True)))
                for row in zip(*values, strict=True)
            ]
        )
