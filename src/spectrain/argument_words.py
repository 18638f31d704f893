"""What argument parsers refuse, in the words of all other errors."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable
from typing import NoReturn

__all__ = ["FewArguments", "in_words", "meant"]

_TYPES = {
    "int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false",
    "NoneType": "null", "tuple": "a list", "list": "a list", "dict": "keys and values",
}  # fmt: skip
_SEVERAL = {"int": "whole numbers", "float": "numbers", "str": "texts"}
_LIST = re.compile(r"^(?:tuple|list)\[(?P<items>.*?)(?:, \.\.\.)?\]$")
_KEY = re.compile(r'^Parser key "(?P<key>[^"]*)":\s*(?P<rest>.*)$', re.DOTALL)
_EXPECTED = re.compile(r"^Expected an? (?P<type>.*?)\. Got value: (?P<value>.*)$", re.DOTALL)
_UNION = re.compile(
    r"^Does not validate against any of the Union subtypes\s+Subtypes: \[(?P<types>.*?)\]\s+Errors:"
    r".*Given value: (?P<value>.*)$",
    re.DOTALL,
)
_CONFIG = re.compile(r"^Unable to load config '(?P<value>.*?)'", re.DOTALL)
_GROUP = re.compile(r"^Group '(?P<group>.*)' does not accept option '(?P<key>.*)'$")
_INVALID = re.compile(
    r"^argument -*(?P<key>\S+): invalid (?P<type>\w+) value: (?P<value>.*)$", re.S
)
_NONE = re.compile(r"^argument -*(?P<key>\S+): expected (?:one|at least one) argument$")
_CHOICE = re.compile(
    r"^argument -*(?P<key>\S+): invalid choice: (?P<value>.*) \(choose from (?P<choices>.*)\)$",
    re.S,
)
_LACKING = re.compile(r"^the following arguments are required: (?P<key>\S+?)(?:,.*)?$")
_UNKNOWN = re.compile(r"^(?:unrecognized arguments: (?P<flag>\S+)|Option '(?P<key>.*)' is not acc)")


class FewArguments(argparse.ArgumentParser):
    """The parser of a command with few arguments, at a tenth of the time that others load in."""

    def error(self, message: str) -> NoReturn:
        """Refuse arguments.

        Raises:
            argparse.ArgumentError: always, in the words of `in_words`.
        """
        known = [flag for action in self._actions for flag in action.option_strings]
        raise argparse.ArgumentError(None, in_words(message, known))


def in_words(message: str, known: Iterable[str] = ()) -> str:
    """``KEY: expected a whole number, got 2.5``, and what may have been meant by a name.

    Args:
        message: of the parser.
        known: names that there are.
    """
    found = _KEY.match(message)
    if found:
        expected = _EXPECTED.match(found["rest"])
        if expected:
            return f"{found['key']}: expected {_kind(expected['type'])}, got {expected['value']}"
        union = _UNION.match(found["rest"])
        if union:
            kinds = " or ".join(_kind(each) for each in _parts(union["types"]))
            return f"{found['key']}: expected {kinds}, got {union['value']}"
        config = _CONFIG.match(found["rest"])
        if config:
            return f"{found['key']}: expected keys and values, got {config['value']}"
        return f"{found['key']}: {_without_types(found['rest'])}"
    invalid = _INVALID.match(message)
    if invalid:
        return f"{invalid['key']}: expected {_kind(invalid['type'])}, got {invalid['value']}"
    choice = _CHOICE.match(message)
    if choice:
        return f"{choice['key']}: expected one of {choice['choices']}, got {choice['value']}"
    none = _NONE.match(message) or _LACKING.match(message)
    if none:
        return f"{none['key']}: expected a value, got none"
    group = _GROUP.match(message)
    if group:
        name = f"{group['group']}.{group['key']}"
        return f"{name}: no such key{meant(name, [each.removeprefix('--') for each in known])}"
    unknown = _UNKNOWN.match(message)
    if unknown:
        if unknown["key"]:
            keys = [name.removeprefix("--") for name in known]
            return f"{unknown['key']}: no such key{meant(unknown['key'], keys)}"
        return message + meant(unknown["flag"], known)
    return _without_types(message)


def meant(name: str, known: Iterable[str]) -> str:
    """``; did you mean NAME?``, or nothing if no name is like it."""
    near = difflib.get_close_matches(name.partition("=")[0], list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _parts(types: str) -> list[str]:
    """Annotations that are listed, "<class 'int'>, list[int, ...]", one by one."""
    found, depth = [""], 0
    for letter in types:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return found


def _kind(annotation: str) -> str:
    """A type in words."""
    annotation = annotation.strip()
    items = _LIST.match(annotation)
    if items:
        return f"a list of {_kinds(items['items'])}"
    words = _TYPES.get(annotation) or _without_types(annotation)
    return words if words != annotation or " " in annotation else f"a value of type {annotation}"


def _kinds(annotation: str) -> str:
    """Several of a type in words."""
    items = _LIST.match(annotation)
    return f"lists of {_kinds(items['items'])}" if items else _SEVERAL.get(annotation, "values")


def _without_types(text: str) -> str:
    text = re.sub(r"<class '(\w+)'>", lambda m: _TYPES.get(m[1], m[1]), text)
    return re.sub(r"typing\.Literal\[(.*?)\]", r"one of \1", text)
