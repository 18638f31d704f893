"""Places that hold values: what they hold can be read, replaced and put back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from operator import is_
from types import CellType
from typing import Any

__all__ = ["Attributes", "Cell", "Empty", "Items", "Members", "Names", "Place", "Value"]


class Place(ABC):
    """Something that code can write to."""

    @abstractmethod
    def read(self) -> Any:
        """What is held now, in a form that later writes do not reach."""

    @abstractmethod
    def holds(self, contents: Any) -> bool:
        """Whether the same is held as when these contents were read: the same objects."""

    @abstractmethod
    def write(self, contents: Any) -> None:
        """Hold what was read before."""

    def put(self, key: Any, value: Any) -> None:
        """Hold another value under a key of the contents."""
        raise NotImplementedError


class Items(Place):
    """A dict, or the attributes of an object: contents by key."""

    def __init__(self, held: dict[Any, Any]) -> None:
        self._held = held
        # Not the methods of a subclass, which may refuse.
        self._kind: Any = OrderedDict if isinstance(held, OrderedDict) else dict

    def read(self) -> dict[Any, Any]:
        """A dict."""
        return dict(self._kind.items(self._held))

    def holds(self, contents: Mapping[Any, Any]) -> bool:
        """Also in the same order."""
        held = self._held
        return (
            len(held) == len(contents)
            and all(map(is_, self._kind.keys(held), contents))
            and all(map(is_, self._kind.values(held), contents.values()))
        )

    def write(self, contents: Mapping[Any, Any]) -> None:
        """Keys in their order."""
        self._kind.clear(self._held)
        for key, value in contents.items():
            self._kind.__setitem__(self._held, key, value)

    def put(self, key: Any, value: Any) -> None:
        """Replace the value under a key."""
        self._kind.__setitem__(self._held, key, value)


class Members(Place):
    """A list, deque or set: contents by index; those of a set cannot be replaced one by one."""

    def __init__(self, held: list[Any] | deque[Any] | set[Any]) -> None:
        self._held = held

    def read(self) -> dict[int, Any]:
        """By index."""
        return dict(enumerate(self._held))

    def holds(self, contents: Mapping[int, Any]) -> bool:
        """Also in the same order."""
        return len(self._held) == len(contents) and all(map(is_, self._held, contents.values()))

    def write(self, contents: Mapping[int, Any]) -> None:
        """In their order."""
        self._held.clear()
        if isinstance(self._held, set):
            self._held.update(contents.values())
        else:
            self._held.extend(contents.values())

    def put(self, key: int, value: Any) -> None:
        """Replace the value at an index."""
        self._held[key] = value  # type: ignore[index]


class Cell(Place):
    """A variable that a function shares with the one around it; its key is None."""

    def __init__(self, held: CellType) -> None:
        self._held = held

    def read(self) -> dict[None, Any]:
        """Empty as long as the variable has no value."""
        try:
            return {None: self._held.cell_contents}
        except ValueError:
            return {}

    def holds(self, contents: Mapping[None, Any]) -> bool:
        """Whether the variable has this value."""
        found = self.read()
        return len(found) == len(contents) and all(map(is_, found.values(), contents.values()))

    def write(self, contents: Mapping[None, Any]) -> None:
        """Give the variable its value."""
        if contents:
            self._held.cell_contents = contents[None]
        else:
            del self._held.cell_contents

    def put(self, key: None, value: Any) -> None:
        """Give the variable another value."""
        self._held.cell_contents = value


class Empty(Place):
    """Containers that hold nothing: most of those in a module."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    def read(self) -> None:
        """Nothing."""

    def holds(self, contents: None) -> bool:
        """Whether all are still empty."""
        return not any(self.held)

    def write(self, contents: None) -> None:
        """Empty them."""
        for container in self.held:
            container.clear()


class Names(Place):
    """Some names of a dict that holds others as well: the global variables that code speaks of."""

    def __init__(self, held: dict[str, Any]) -> None:
        self._held = held
        self.names: set[str] = set()

    def read(self) -> dict[str, Any]:
        """Values of the names that have one."""
        return {name: self._held[name] for name in self.names if name in self._held}

    def holds(self, contents: Mapping[str, Any]) -> bool:
        """Whether each name has its value, and no other has one."""
        found = self.read()
        return found.keys() == contents.keys() and all(
            value is contents[name] for name, value in found.items()
        )

    def write(self, contents: Mapping[str, Any]) -> None:
        """Give the names their values, and take those of others away."""
        for name in self.names:
            if name in contents:
                self._held[name] = contents[name]
            else:
                self._held.pop(name, None)

    def put(self, key: str, value: Any) -> None:
        """Give a name another value."""
        self._held[key] = value


class Attributes(Place):
    """Attributes set one by one: those of a class, or in the slots of an object.

    Args:
        held: the class or object.
        names: gives the names that count, now.
    """

    def __init__(self, held: Any, names: Callable[[], Iterable[str]]) -> None:
        self._held, self._names = held, names
        self._set: Any = type.__setattr__ if isinstance(held, type) else object.__setattr__
        self._delete: Any = type.__delattr__ if isinstance(held, type) else object.__delattr__

    def read(self) -> dict[str, Any]:
        """Values by name."""
        return {name: getattr(self._held, name) for name in self._names()}

    def holds(self, contents: Mapping[str, Any]) -> bool:
        """Whether each attribute has its value, and there is no other."""
        found = self.read()
        return found.keys() == contents.keys() and all(
            value is contents[name] for name, value in found.items()
        )

    def write(self, contents: Mapping[str, Any]) -> None:
        """Set the attributes, and delete others."""
        found = self.read()
        for name in found.keys() - contents.keys():
            self._delete(self._held, name)
        for name, value in contents.items():
            if name not in found or found[name] is not value:
                self._set(self._held, name, value)

    def put(self, key: str, value: Any) -> None:
        """Set one attribute."""
        self._set(self._held, key, value)


class Value(Place):
    """A value behind two functions: the state of a generator, a setting of a library.

    Args:
        get: returns it; later writes do not reach what it returned.
        put: sets it.
        same: whether two are the same.
    """

    def __init__(
        self,
        get: Callable[[], Any],
        put: Callable[[Any], Any],
        same: Callable[[Any, Any], bool] = lambda a, b: bool(a == b),
    ) -> None:
        self._get, self._put, self._same = get, put, same

    def read(self) -> Any:
        """The value."""
        return self._get()

    def holds(self, contents: Any) -> bool:
        """Whether the value is this one."""
        return self._same(self._get(), contents)

    def write(self, contents: Any) -> None:
        """Set the value."""
        self._put(contents)
