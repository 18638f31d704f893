"""Arguments compared with their annotations, before any work is lost on one of another kind.

Ranges, lengths and what depends on two arguments are for the functions to refuse themselves.
"""

from __future__ import annotations

import inspect
import math
import os
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, TextIO, Union, get_args, get_origin

__all__ = [
    "require",
    "require_arguments",
    "require_fields",
    "require_least",
    "require_positive",
    "require_whole",
]

# Characters of a value that a message shows.
_SHOWN = 80
_LISTS = (tuple, list, Sequence, Collection, Iterable, set, frozenset)
_FILES = (IO, TextIO, BinaryIO)
_WORDS: dict[Any, tuple[str, str]] = {  # one of them, several of them
    bool: ("True or False", "True or False"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    type(None): ("None", "None"),
    TextIO: ("a file of text", "files of text"),
    Path: ("a path", "paths"),
    os.PathLike: ("a path", "paths"),
}


def require_arguments(
    function: Callable[..., Any], given: Mapping[str, Any], own: Collection[str] = ()
) -> None:
    """Refuse arguments that are not of the kind that the function's annotations say.

    To be called first in it, with ``locals()``. A whole number is an int or one of NumPy's, and no
    bool, and is also a number; NaN is one, to be refused with the range; a list may be a tuple, and
    the reverse; of a protocol the names are asked for. What cannot be told is let through.

    Args:
        function: whose they are.
        given: by name.
        own: names of those that the function refuses in words of its own.

    Raises:
        ValueError: ``NAME: expected a whole number, got 2.5``.
    """
    for name, annotation, default in _parameters(function):
        value = given[name]
        if value is not default and name not in own:
            require(name, value, annotation)


def require_fields(instance: Any, prefix: str = "") -> None:
    """Likewise of the fields of a dataclass, called first in ``__post_init__``.

    Args:
        instance: of a dataclass.
        prefix: before the names in a message.
    """
    for name, annotation, default in _fields(type(instance)):  # type: ignore[arg-type]
        value = getattr(instance, name)
        if value is not default:
            require(prefix + name, value, annotation)


def require(name: str, value: Any, annotation: Any) -> None:
    """Refuse a value that is not what the annotation says.

    Raises:
        ValueError: with the name, what was expected, and what came.
    """
    if not _fits(value, annotation):
        shown = repr(value) if _is_plain(value) else type(value).__name__
        shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
        raise ValueError(f"{name}: expected {_words(annotation)}, got {shown}")


def require_whole(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number of at least ``least``."""
    if not (_fits(value, int) and value >= least):
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")


def require_least(name: str, value: float, least: float) -> None:
    """Refuse what is no finite number of at least ``least``."""
    if not (_fits(value, float) and math.isfinite(value) and value >= least):
        raise ValueError(f"{name}: expected at least {least}, got {value!r}")


def require_positive(name: str, value: float) -> None:
    """Refuse what is no positive finite number."""
    if not (_fits(value, float) and math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: expected a positive number, got {value!r}")


@cache
def _parameters(function: Callable[..., Any]) -> tuple[tuple[str, Any, Any], ...]:
    return tuple(
        (name, _resolved(each.annotation, function.__module__), each.default)
        for name, each in inspect.signature(function).parameters.items()
        if each.annotation is not each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    )


@cache
def _fields(cls: type[Any]) -> tuple[tuple[str, Any, Any], ...]:
    found = []
    for field in (each for each in fields(cls) if each.init):
        home = next(
            base for base in cls.__mro__ if field.name in vars(base).get("__annotations__", {})
        )
        default = object() if field.default is MISSING else field.default
        found.append((field.name, _resolved(field.type, home.__module__), default))
    return tuple(found)


def _resolved(annotation: Any, module: str) -> Any:
    """What a postponed annotation stands for; Any where that is known to type checkers alone."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(vars(sys.modules[module])))
    except (NameError, AttributeError, TypeError):
        return Any


def _fits(value: Any, annotation: Any) -> bool:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in (None, type(None)):
        return value is None
    if annotation is bool:
        return isinstance(value, bool)
    if annotation is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if annotation is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if origin is Literal:
        return any(value is each or (type(value) is type(each) and value == each) for each in inner)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in inner)
    if annotation in _LISTS or origin in _LISTS:
        return _fits_list(value, origin or annotation, inner)
    if origin in (dict, Mapping) or annotation in (dict, Mapping):
        return isinstance(value, Mapping)
    if annotation is Callable or origin is Callable or origin is type(Callable[..., Any]):
        return callable(value)
    kind = origin or annotation
    if not isinstance(kind, type) or kind in (Any, object):
        return True
    if kind in _FILES:
        return hasattr(value, "write")
    if getattr(kind, "_is_protocol", False):
        # A class has the names that its objects have.
        return not isinstance(value, type) and all(_has(value, each) for each in _members(kind))
    if kind.__module__ == "numpy":
        return hasattr(value, "__array__") or isinstance(value, list | tuple)
    return isinstance(value, kind)


def _fits_list(value: Any, kind: Any, inner: tuple[Any, ...]) -> bool:
    if hasattr(value, "dtype"):  # an array, whose entries are of one kind
        return bool(value.ndim)
    if kind in (Collection, Iterable, set, frozenset):
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            return False
        if not isinstance(value, Collection):
            return True  # it can be gone through but once
    elif not isinstance(value, list | tuple | range) and (
        not isinstance(value, Sequence) or isinstance(value, str | bytes)
    ):
        return False
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(_fits, value, inner))
    return not inner or inner[0] is Any or all(_fits(each, inner[0]) for each in value)


def _members(protocol: type) -> list[str]:
    names = [
        name
        for base in protocol.__mro__
        if getattr(base, "_is_protocol", False)
        for name in vars(base)
        if callable(vars(base)[name]) or isinstance(vars(base)[name], property)
    ]
    return [name for name in names if not name.startswith("_") or name == "__call__"]


def _has(value: Any, name: str) -> bool:
    """Without running a property."""
    try:
        inspect.getattr_static(value, name)
    except AttributeError:
        return hasattr(value, name)
    return True


def _words(annotation: Any, several: bool = False) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    kind = origin or annotation
    if annotation in _WORDS or kind in _WORDS:
        return _WORDS[annotation if annotation in _WORDS else kind][several]
    if annotation is None:
        return "None"
    if origin is Literal:
        return " or ".join(map(repr, inner)) if len(inner) < 3 else f"one of {_listed(inner)}"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(each, several) for each in inner))
    if kind in _LISTS:
        start = "lists" if several else "a list"
        if kind is tuple and inner and inner[-1] is not Ellipsis:
            return f"{start} of {len(inner)}: {', '.join(_words(each) for each in inner)}"
        return f"{start} of {_words(inner[0], True)}" if inner and inner[0] is not Any else start
    if kind in (dict, Mapping):
        return "mappings" if several else "a mapping"
    if annotation is Any:
        return "anything"
    if not isinstance(kind, type) or kind in (Callable, type(Callable[..., Any])):
        return "functions" if several else "a function"
    if kind.__module__ == "numpy":
        return "arrays" if several else "an array"
    name = kind.__name__
    article = "an" if name[0] in "AEIOU" else "a"
    return f"{name}s" if several else f"{article} {name}"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(repr, values))


def _is_plain(value: Any) -> bool:
    """Whether the value itself says more than its type."""
    if isinstance(value, list | tuple | set):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | bytes | Real | complex | type | os.PathLike)
