"""The codec of records: dataclasses, arrays and non-finite numbers as strict JSON, bit for bit."""

from __future__ import annotations

import base64
import math
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import numpy as np

from ...theory.direction import Direction
from ...theory.matrix_kind import MatrixKind
from ...theory.quantity import Quantity
from ...theory.source import Source
from ...theory.spectrum import Bulk, Density, Edge, Eigenpair, Gap, Jacobi, Spectrum
from .record import Failure, Geometry, Record, Transition
from .track import Followed, Track
from .version1 import upgraded

__all__ = ["ENCODING", "decode", "encode", "schema"]

ENCODING = {
    "object": '{"$type": name in the schema, field: value, ...}',
    "array": '{"$array": NumPy dtype, "shape": [...], "data": base64 of the bytes in C order}; '
    "the number itself where there are no axes",
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

Array = np.ndarray[Any, np.dtype[Any]]


def encode(value: object) -> Any:
    """What strict JSON can hold of a record; `decode` is its inverse, bit for bit.

    Raises:
        TypeError: if the value, or a part of it, is of a type that records do not hold.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$number": str(value)}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in _ARRAY_KINDS:
        return _encode_array(value) if value.ndim else encode(value.item())
    if isinstance(value, dict) and all(_is_plain_key(key) for key in value):
        return {key: encode(item) for key, item in value.items()}
    if is_dataclass(value) and _TYPES.get(type(value).__name__) is type(value):
        content = {field.name: encode(getattr(value, field.name)) for field in fields(value)}
        return {"$type": type(value).__name__, **content}
    raise TypeError(f"value: expected the content of a record, got {type(value).__name__}")


def decode(value: Any) -> Any:
    """The inverse of `encode`: JSON lists become tuples, tagged objects their types.

    Raises:
        ValueError: if a type or a field is unknown, or a field is missing.
    """
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "$type" in value:
        return _decode_object(value)
    if "$array" in value:
        return _decode_array(value)
    if "$number" in value:
        return float(value["$number"])
    return {key: decode(item) for key, item in value.items()}


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


def _decode_object(value: dict[str, Any]) -> Any:
    name = value["$type"]
    kind = _TYPES.get(name)
    if kind is None:
        raise ValueError(f"type: expected one of {sorted(_TYPES)}, got {name!r}")
    content = upgraded(name, {key: decode(item) for key, item in value.items() if key != "$type"})
    known = {field.name: field for field in fields(kind)}
    if unknown := sorted(set(content) - set(known)):
        raise ValueError(f"fields of {name}: expected among {sorted(known)}, got {unknown}")
    needed = {key for key, field in known.items() if _is_required(field)}
    if missing := sorted(needed - set(content)):
        raise ValueError(f"fields of {name}: expected {sorted(needed)}, {missing} missing")
    return kind(**content)


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def schema() -> dict[str, dict[str, dict[str, str]]]:
    """Type and unit of each field of each type that a record may hold."""
    # Annotations are strings throughout the package, which is how they are to be shown.
    return {
        name: {
            field.name: {"type": str(field.type), "unit": field.metadata["unit"]}
            for field in fields(kind)
        }
        for name, kind in _TYPES.items()
    }
