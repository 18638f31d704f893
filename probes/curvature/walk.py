"""From objects to all that their code can write to."""

from __future__ import annotations

from collections import OrderedDict, UserDict, UserList, deque
from collections.abc import Iterable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn

from .generators import GENERATORS, generator_state
from .places import Attributes, Cell, Empty, Items, Members, Names, Place
from .reach import Kind, Path, Reach, noted

__all__ = ["met", "reached"]

# Of containers with more values than this the values are data, such as words of a dictionary.
_MANY = 10_000
# Where code is known to write to nothing but what it is given.
_LIBRARIES = frozenset({"builtins", "numpy", "scipy", "spectrain", "torch"})
_NOTHING = frozenset({type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device})
_CONTAINERS = frozenset({dict, list, set, deque, OrderedDict})
_DATA = (Tensor, np.ndarray)  # no union: that is slower
# Objects of Python's library that are containers with another face.
_OBJECTS = (SimpleNamespace, UserDict, UserList, WeakKeyDictionary, WeakValueDictionary)


def reached(roots: dict[str, Any], *, hooks: bool = False) -> Reach:
    """What code of these objects can reach.

    From a module to its attributes, whatever they are; through lists, dicts, sets and tuples;
    from a function to the variables of the function around it, its attributes and defaults; from
    a bound method to its object; from the code of the roots, and of classes that are defined
    where the roots' are, to their objects, class attributes and global variables. Not to objects
    of other libraries that a module only refers to, such as its trainer.

    Args:
        roots: by the name that starts the names of what is found, without it for "".
        hooks: whether modules' hooks are run, and so part of the code.
    """
    return _walked(roots, hooks).found


def met(roots: dict[str, Any]) -> list[Any]:
    """All objects on the way that `reached` goes, other than tensors, arrays and plain values."""
    return list(_walked(roots, False).seen.values())


def _walked(roots: dict[str, Any], hooks: bool) -> _Walk:
    walk = _Walk(roots, hooks)
    while walk.ahead:
        walk.step(*walk.ahead.pop())
    return walk


class _Walk:
    def __init__(self, roots: dict[str, Any], hooks: bool) -> None:
        self._hooks = hooks
        self.found = Reach()
        self._empty = Empty()
        self.found.places.append(self._empty)
        self.ahead: list[tuple[Any, Path]] = []
        self.seen: dict[int, Any] = {}
        self._roots = {id(root) for root in roots.values()}
        self._homes = {_home(part) for root in roots.values() for part in _parts(root)} - _LIBRARIES
        self._globals: dict[int, tuple[Names, list[Any]]] = {}
        for name, root in reversed(roots.items()):  # the first is gone into first, and names
            self._note(root, ((), name))

    def step(self, value: Any, path: Path) -> None:
        """Go into one object."""
        if id(value) in self.seen:
            return
        self.seen[id(value)] = value  # kept alive, so that no other gets its identity
        if isinstance(value, nn.Module):
            self.found.modules.append((path, value))
            self._object(value, path)
        elif isinstance(value, dict | list | set | deque):
            place = Items(value) if isinstance(value, dict) else Members(value)
            if not self._hooks and str(path[1]).endswith("_hooks"):
                self.found.places.append(place)
            elif len(value) <= _MANY:
                self._into(place, path)
        elif isinstance(value, FunctionType):
            self._function(value, path)
        elif isinstance(value, MethodType):
            self._roots.add(id(value.__self__))
            self._note(value.__self__, path)
            self._note(value.__func__, path)
        elif isinstance(value, partial):
            self._note((value.func, value.args, value.keywords), path)
        elif isinstance(value, type):
            self._class(value, path)
        elif isinstance(value, GENERATORS):
            self.found.places.append(generator_state(value))
        elif isinstance(value, _OBJECTS) or id(value) in self._roots or _home(value) in self._homes:
            self._object(value, path)

    def _object(self, value: Any, path: Path) -> None:
        """Its attributes, and those of its class."""
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            self._into(Items(attributes), path)
        if not isinstance(value, nn.Module):
            slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
            if slots:
                self._into(Attributes(value, lambda: [n for n in slots if hasattr(value, n)]), path)
        if id(type(value)) not in self.seen:
            self.ahead.append((type(value), path))

    def _class(self, kind: type, path: Path) -> None:
        for base in kind.__mro__:
            if _home(base) not in self._homes or (base is not kind and id(base) in self.seen):
                continue
            self.seen[id(base)] = base
            self._into(Attributes(base, partial(_values, base)), path)
            for function in _functions(base):
                self.ahead.append((function, path))

    def _function(self, function: FunctionType, path: Path) -> None:
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            if id(cell) not in self.seen:
                self.seen[id(cell)] = cell
                place = Cell(cell)
                self.found.places.append(place)
                self._hold(place, place.read(), path, name)
        if function.__dict__:
            self._into(Items(function.__dict__), path)
        self._note((function.__defaults__, function.__kwdefaults__), path)
        if _home(function) in self._homes:
            self._names(function)

    def _names(self, function: FunctionType) -> None:
        """The global variables that the function speaks of."""
        held = function.__globals__
        if id(held) not in self._globals:
            place, keys = Names(held), list[Any]()
            self._globals[id(held)] = place, keys
            self.found.places.append(place)
            self.found.slots.append((place, keys))
        place, keys = self._globals[id(held)]
        for name in set(_spoken(function.__code__)) - place.names:
            place.names.add(name)
            value = held.get(name)
            # Functions and classes of other files are other code.
            if isinstance(value, FunctionType | type) and value.__module__ != held.get("__name__"):
                continue
            if self._note(value, ((), name)):
                keys.append(name)

    def _into(self, place: Place, path: Path) -> None:
        """A place, and what it holds."""
        self.found.places.append(place)
        self._hold(place, place.read(), path)

    def _hold(
        self, place: Place, contents: dict[Any, Any], path: Path, name: str | None = None
    ) -> None:
        keys = []
        for key, value in contents.items():
            kind = type(value)
            if kind in _CONTAINERS and not value:
                self._empty.held.append(value)
            elif kind not in _NOTHING and self._note(value, (path, name or key)):
                keys.append(key)
        if keys:
            self.found.slots.append((place, keys))

    def _note(self, value: Any, path: Path) -> bool:
        """Whether this is data, or has data in it that is not in a place of its own."""
        if isinstance(value, _DATA):
            known = self.found.data.get(id(value))
            registered = len(path[0]) > 1 and path[0][1] == "_buffers"
            if known is None or (registered and known.kind == "state"):
                kind = _kind(value, registered)
                self.found.data[id(value)] = noted(value, path, kind)
            return True
        if isinstance(value, tuple | frozenset):
            found = [self._note(part, (path, i)) for i, part in enumerate(value)]
            return any(found)
        if type(value) not in _NOTHING and id(value) not in self.seen:
            self.ahead.append((value, path))
        return False


def _kind(value: Any, registered: bool) -> Kind:
    if isinstance(value, nn.Parameter):
        return "parameter" if value.requires_grad else "frozen parameter"
    return "buffer" if registered else "state"


def _parts(root: Any) -> Iterator[Any]:
    """What tells where the code of a root is."""
    yield root
    if isinstance(root, nn.Module):
        yield from root.modules()
    while isinstance(root, partial | MethodType):
        root = root.func if isinstance(root, partial) else root.__func__
        yield root


def _home(value: Any) -> str:
    """The package that defines a function, a class, or the class of an object."""
    owner = value if isinstance(value, FunctionType | type) else type(value)
    return str(owner.__module__).partition(".")[0]


def _slots(kind: type) -> Iterable[str]:
    names = kind.__dict__.get("__slots__", ())
    return [names] if isinstance(names, str) else names


def _values(kind: type) -> list[str]:
    """Names of the attributes of a class that are no functions and no descriptors."""
    return [
        name
        for name, value in vars(kind).items()
        if not name.startswith("__") and not callable(value) and not hasattr(value, "__get__")
    ]


def _functions(kind: type) -> Iterator[FunctionType]:
    for value in vars(kind).values():
        for function in (
            value,
            getattr(value, "__func__", None),
            getattr(value, "fget", None),
        ):
            if isinstance(function, FunctionType):
                yield function


def _spoken(code: CodeType) -> Iterator[str]:
    """Names in the code of a function, and of those inside."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _spoken(part)
