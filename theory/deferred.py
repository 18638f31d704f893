"""Dataclasses some fields of which are made when the first of them is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

__all__ = ["Deferred", "deferred", "follows_from", "later"]

_MAKE, _SOURCE = "_make", "_source"


class Deferred:
    """Base of dataclasses that `deferred` can make.

    A field with a default must have a factory: a default of the class would be found before what is
    to be made.
    """

    if not TYPE_CHECKING:  # a checker would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            while not name.startswith("_") and name not in self.__dict__:
                make = self.__dict__.get(_MAKE)
                if make is None:
                    break
                self._complete(make)
            # Another thread may have been faster.
            if name in self.__dict__:
                return self.__dict__[name]
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __copy__(self) -> Self:
        """A copy in which nothing more is made; what it makes is not kept here."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __getstate__(self) -> dict[str, Any]:
        while make := self.__dict__.get(_MAKE):
            self._complete(make)
        return dict(self.__dict__)

    def _complete(self, make: Callable[[], Mapping[str, Any]]) -> None:
        # In this order: there is no time at which another thread finds neither.
        made = make()
        self.__dict__.update(made)
        if _MAKE not in made:
            self.__dict__.pop(_MAKE, None)


def later(make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What a maker adds to the fields that it makes, where others are left to be made."""
    return {_MAKE: make}


D = TypeVar("D", bound=Deferred)


def deferred(
    kind: type[D],
    known: Mapping[str, Any],
    make: Callable[[], Mapping[str, Any]],
    source: tuple[str, ...] = (),
) -> D:
    """An instance of a dataclass without some of its fields.

    Args:
        kind: of the instance; its `__post_init__` is not called.
        known: the fields that there are.
        make: gives the others, if any are left; called at most once, unless two threads ask at the
            same time.
        source: names of the fields that all others follow from, if there are such.
    """
    instance = object.__new__(kind)
    instance.__dict__.update(known)
    instance.__dict__.update({_MAKE: make, _SOURCE: source})
    return instance


def follows_from(instance: Deferred) -> tuple[str, ...]:
    """The fields that all others follow from, as `deferred` was told; none of other instances."""
    source: tuple[str, ...] = instance.__dict__.get(_SOURCE, ())
    return source
