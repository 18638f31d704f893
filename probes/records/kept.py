"""What a record file keeps of a field: neither its default nor digits beyond its error."""

from __future__ import annotations

import struct
from dataclasses import MISSING, Field
from types import NoneType
from typing import Any

import numpy as np

from .packing import Array

__all__ = ["allowed", "default", "is_default"]


def default(field: Field[Any]) -> Any:
    """What a field is if nothing is said; MISSING if something must be."""
    if field.default is not MISSING:
        return field.default
    return MISSING if field.default_factory is MISSING else field.default_factory()


def is_default(field: Field[Any], value: object) -> bool:
    """Whether a value is, in type and in every bit, what the field is if nothing is said."""
    expected = default(field)
    if type(value) is not type(expected):
        return False
    if isinstance(expected, np.ndarray):
        assert isinstance(value, np.ndarray)
        return not expected.size and (value.shape, value.dtype) == (expected.shape, expected.dtype)
    if isinstance(expected, float):
        return struct.pack("d", value) == struct.pack("d", expected)
    return isinstance(expected, NoneType | bool | int | str | tuple | dict) and value == expected


def allowed(field: Field[Any], holder: object) -> Array | float | None:
    """By how much the numbers of a field may be changed, see `Packing.add`.

    Its "kept" names the field of the ``holder`` that has the errors, or says "float32".
    """
    kept = field.metadata.get("kept")
    if kept is None:
        return 0.0
    if kept == "float32":
        return None
    errors: Array = getattr(holder, kept)
    return errors
