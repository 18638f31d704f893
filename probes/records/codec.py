"""The codec of records: dataclasses, arrays and non-finite numbers as strict JSON."""

from __future__ import annotations

import base64
import math
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from ...theory.deferred import Deferred, deferred, follows_from
from ...theory.direction import Direction
from ...theory.matrix_kind import MatrixKind
from ...theory.quantity import Quantity
from ...theory.source import Source
from ...theory.spectrum import Bulk, Density, Edge, Eigenpair, Gap, Jacobi, Spectrum
from ..krylov.exact_density import SOURCE, density_of
from .kept import allowed, default, is_default
from .packing import PACKING, Array, Packed, Packing, Place
from .record import Failure, Geometry, Record, Transition
from .rows import ROWS, Rows, Table, Tables, are_rows
from .track import Followed, Track
from .version1 import upgraded

__all__ = ["ENCODING", "decode", "encode", "packed", "schema"]

ENCODING = {
    "object": '{"$type": name in the schema, field: value, ...}; a field that is not there has '
    "the default that the schema says",
    "array": '{"$array": NumPy dtype, "shape": [...], "data": base64 of the bytes in C order} for '
    "numbers of other widths than the packed ones; the number itself where there are no axes",
    **PACKING,
    **ROWS,
    "density": "a Density of eigenvalues and resolution alone has all eigenvalues, ascending: its "
    "points are these, those that differ by no more than the resolution being one, and its "
    "cumulative is the share of eigenvalues below each, half of those at the point among them",
    "non-finite number": '{"$number": "nan", "inf" or "-inf"}',
}

_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Record,
        Geometry,
        Quantity,
        Direction,
        MatrixKind,
        Source,
        Failure,
        Transition,
        Track,
        Followed,
        Spectrum,
        Eigenpair,
        Density,
        Jacobi,
        Bulk,
        Gap,
        Edge,
    )
}
_ARRAY_KINDS = "biufc"
_ARRAYS, _TABLES = "$arrays", "$tables"
# The same in every record of a run: one object serves them all.
_CONSTANTS = (Direction, MatrixKind, Source)


def encode(value: object) -> Any:
    """What strict JSON can hold of a record; `decode` is its inverse, bit for bit.

    Raises:
        TypeError: if the value, or a part of it, is of a type that records do not hold.
    """
    return _encode(value, None)


def packed(record: Record) -> Any:
    """The same in a fifth of the size, as the header of a record file says it in words.

    What follows from the rest, and what is at its default, is left out. `decode` is the inverse,
    but for the digits that are not kept.

    Raises:
        TypeError: as `encode`.
    """
    packing = _Packing()
    content = _encode(record, packing)
    tables = packing.tables.content(packing)
    return content | {_TABLES: tables, _ARRAYS: packing.content()}


class _Packing(Packing):
    """With the tables of a record."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = Tables()


def _encode(value: object, packing: _Packing | None, error: Array | float | None = 0.0) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$number": str(value)}
    if isinstance(value, tuple):
        rows = packing.tables.add(value) if packing is not None and are_rows(value) else None
        return rows or [_encode(item, packing) for item in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in _ARRAY_KINDS:
        if not value.ndim:
            return _encode(value.item(), packing)
        place = None if packing is None else packing.add(value, error)
        return place or _encode_array(value)
    if isinstance(value, dict) and all(_is_plain_key(key) for key in value):
        return {key: _encode(item, packing) for key, item in value.items()}
    if is_dataclass(value) and _TYPES.get(type(value).__name__) is type(value):
        return {"$type": type(value).__name__, **_content(value, packing)}
    raise TypeError(f"value: expected the content of a record, got {type(value).__name__}")


def _content(value: Any, packing: _Packing | None) -> dict[str, Any]:
    kind: type = type(value)
    known = _fields(kind)
    if packing is None:
        return {name: _encode(getattr(value, name), None) for name in known}
    if isinstance(value, Deferred) and (source := follows_from(value)):
        known = {name: known[name] for name in source}
    content = {}
    for name, field in known.items():
        part = getattr(value, name)
        if not is_default(field, part):
            content[name] = _encode(part, packing, allowed(field, value))
    return content


def decode(value: Any) -> Any:
    """The inverse of `encode` and `packed`: JSON lists become tuples, tagged objects their types.

    Packed arrays, and what follows from them, are made when they are asked for.

    Raises:
        ValueError: if a type or a field is unknown, or a field is missing.
    """
    return _decode(value, _Held(value if isinstance(value, dict) else {}))


class _Held(Packed):
    """What a record holds in its arrays and tables."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__(content.get(_ARRAYS, {}))
        self._tables = [_table(each) for each in content.get(_TABLES, ())]

    def make(self, later: Place | Rows) -> Any:
        """A packed array, or some rows of a table."""
        if isinstance(later, Place):
            return self.array(later)
        return self._tables[later.table].rows(self, later.start, later.stop)

    def fields(self, later: Mapping[str, Place | Rows]) -> dict[str, Any]:
        """All of them, by name."""
        return {name: self.make(each) for name, each in later.items()}


def _table(value: dict[str, Any]) -> Table:
    kind = _kind(value["$type"])
    columns = {name: Place.of(each) for name, each in value.items() if name != "$type"}
    _missing(kind, tuple(columns))
    places = tuple([place for place in columns.values() if place])
    if len(places) < len(columns):
        raise ValueError(f"table of {kind.__name__}: expected packed arrays, got {value}")
    return Table(kind, tuple(columns), places)


def _decode(value: Any, held: _Held) -> Any:
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, list):
        return tuple([_decode(item, held) for item in value])
    if not isinstance(value, dict):
        return value
    if "$type" in value:
        return _decode_object(value, held)
    if "$array" in value:
        return _decode_array(value)
    if "$number" in value:
        return float(value["$number"])
    later = _later(value)
    if later is not None:
        return held.make(later)
    return {key: _decode(item, held) for key, item in value.items()}


def _later(value: Mapping[str, Any]) -> Place | Rows | None:
    """What a JSON object of one key stands for; None if it is an object of its own."""
    if len(value) != 1:
        return None
    if "$rows" in value:
        return Rows(*value["$rows"])
    return Place.of(value)


def _decode_object(value: dict[str, Any], held: _Held) -> Any:
    kind = _kind(value["$type"])
    is_deferred = issubclass(kind, Deferred)
    content: dict[str, Any] = {}
    later: dict[str, Place | Rows] = {}
    for key, item in value.items():
        if is_deferred and type(item) is dict and (found := _later(item)) is not None:
            later[key] = found
        elif not key.startswith("$"):
            content[key] = _decode(item, held)
    if not later:
        content = dict(upgraded(kind.__name__, content))
        _missing(kind, tuple(content))
        if kind in _CONSTANTS and all(isinstance(item, str | bool) for item in content.values()):
            return _constant(kind, tuple(content.items()))
        return kind(**content)
    if kind is Density and content.keys() | later.keys() == set(SOURCE):
        return density_of(partial(held.make, later["eigenvalues"]), content["resolution"])
    for name in _missing(kind, (*content, *later)):
        content[name] = default(_fields(kind)[name])
    return deferred(kind, content, partial(held.fields, later))


@lru_cache(maxsize=256)
def _constant(kind: type, content: tuple[tuple[str, Any], ...]) -> Any:
    return kind(**dict(content))


def _kind(name: str) -> type:
    kind = _TYPES.get(name)
    if kind is None:
        raise ValueError(f"type: expected one of {sorted(_TYPES)}, got {name!r}")
    return kind


@lru_cache(maxsize=1024)
def _missing(kind: type, given: tuple[str, ...]) -> tuple[str, ...]:
    """Fields of a type that have their default; checks the others."""
    known = _fields(kind)
    if unknown := sorted(set(given) - known.keys()):
        raise ValueError(
            f"fields of {kind.__name__}: expected among {sorted(known)}, got {unknown}"
        )
    needed = sorted(name for name, field in known.items() if default(field) is MISSING)
    if missing := sorted(set(needed) - set(given)):
        raise ValueError(f"fields of {kind.__name__}: expected {needed}, {missing} missing")
    return tuple(name for name in known if name not in given)


def _is_plain_key(key: object) -> bool:
    return isinstance(key, str) and not key.startswith("$")


def _encode_array(array: Array) -> dict[str, Any]:
    array = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    data = base64.b64encode(array.tobytes()).decode("ascii")
    return {"$array": array.dtype.str, "shape": list(array.shape), "data": data}


def _decode_array(value: dict[str, Any]) -> Array:
    dtype = np.dtype(value["$array"])
    if dtype.kind not in _ARRAY_KINDS:
        raise ValueError(f"array: expected a numeric dtype, got {value['$array']!r}")
    array = np.frombuffer(base64.b64decode(value["data"], validate=True), dtype)
    # A copy: the buffer of a bytes object cannot be written to.
    return array.astype(dtype.newbyteorder("=")).reshape(value["shape"])


@cache
def _fields(kind: type) -> dict[str, Field[Any]]:
    return {field.name: field for field in fields(kind)}


def schema() -> dict[str, dict[str, dict[str, Any]]]:
    """Type and unit of each field of each type that a record may hold; default and digits kept."""
    return {
        name: {key: _described(field) for key, field in _fields(kind).items()}
        for name, kind in _TYPES.items()
    }


def _described(field: Field[Any]) -> dict[str, Any]:
    # Annotations are strings throughout the package, which is how they are to be shown.
    found: dict[str, Any] = {"type": str(field.type), **field.metadata}
    value = default(field)
    if value is MISSING:
        return found
    return found | {"default": [] if isinstance(value, np.ndarray) else encode(value)}
