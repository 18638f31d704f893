"""What the code of a model and of its loss can write to, and how all of it is put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import is_
from typing import Any, Literal

from torch import Tensor, nn

from .places import Place

__all__ = ["Changes", "Data", "Kind", "Path", "Reach", "noted", "text"]

# A place on the way: that before it, and the key there.
Path = tuple[Any, ...]
Kind = Literal["parameter", "frozen parameter", "buffer", "state", "argument"]


@dataclass(frozen=True)
class Data:
    """A tensor or array, as it was found.

    Attributes:
        value: it.
        path: where; see `text`.
        kind: "parameter" for one that is trained; "state" for what is not registered anywhere;
            "argument" for what a call was given.
        version: how often it had been written to, where torch counts it.
    """

    value: Any
    path: Path
    kind: Kind
    version: int

    @property
    def written(self) -> bool:
        """Whether torch knows of a write to it since it was found."""
        return self.version != _version(self.value)

    @property
    def name(self) -> str:
        """Where, as the user would write it: "layer.weight"."""
        return text(self.path)


@dataclass
class Changes:
    """Whether something has changed that was not to."""

    found: bool = False


@dataclass
class Reach:
    """What was found from some roots.

    Attributes:
        places: all that can be written to but tensors and arrays.
        slots: the keys in each place under which there are tensors or arrays.
        data: those, by identity.
        modules: every module, and where it is.
    """

    places: list[Place] = field(default_factory=list)
    slots: list[tuple[Place, list[Any]]] = field(default_factory=list)
    data: dict[int, Data] = field(default_factory=dict)
    modules: list[tuple[Path, nn.Module]] = field(default_factory=list)

    @contextmanager
    def replaced(self, substitutes: Mapping[int, Any]) -> Iterator[Changes]:
        """Other tensors and arrays in their places; at the end each place holds what it held.

        Args:
            substitutes: by identity of what they stand in for.

        Returns:
            What will say at the end whether code has put anything else anywhere.
        """
        before = {place: place.read() for place in self.places}
        expected = dict(before)
        changes = Changes()
        try:
            for place, keys in self.slots:
                expected[place] = dict(before[place])
                for key in expected[place].keys() & keys:  # code may have taken some away
                    expected[place][key] = _substituted(before[place][key], substitutes)
                    place.put(key, expected[place][key])
            yield changes
        finally:
            for place, contents in before.items():
                if not place.holds(expected[place]):
                    changes.found = True
                    place.write(contents)
                elif expected[place] is not contents:
                    place.write(contents)


def noted(value: Any, path: Path, kind: Kind) -> Data:
    """A tensor or array as it is now."""
    return Data(value, path, kind, _version(value))


def _version(value: Any) -> int:
    return value._version if isinstance(value, Tensor) and not value.is_inference() else 0


def text(path: Path) -> str:
    """A name as the user would write it."""
    keys: list[Any] = []
    while path:
        path, key = path
        keys.append(key)
    words = [
        f"[{key!r}]" if not isinstance(key, str) else key
        for key in reversed(keys)
        if key not in ("", "_parameters", "_buffers", "_modules", None)
    ]
    return ".".join(words).replace(".[", "[")


def _substituted(value: Any, substitutes: Mapping[int, Any]) -> Any:
    if isinstance(value, tuple | frozenset):
        parts = [_substituted(part, substitutes) for part in value]
        if all(map(is_, parts, value)):
            return value
        make: Callable[[list[Any]], Any] = getattr(type(value), "_make", type(value))
        return make(parts)
    return substitutes.get(id(value), value)
