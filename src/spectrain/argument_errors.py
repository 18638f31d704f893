"""The parser of commands whose arguments have types, and its help in plain words."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from .argument_words import in_words

__all__ = ["Arguments"]

# Defaults of which the help of an argument says enough.
_SAID: tuple[object, ...] = (None, [], (), argparse.SUPPRESS)


class _Help(DefaultHelpFormatter):
    """What an argument is, and its default as it would be given; no types of Python."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if not action.option_strings or action.default in _SAID or action.default is False:
            return text
        return f"{text} (default: {_given(action.default)})".replace("%", "%%")

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrapped(text, width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in _wrapped(text, width - len(indent)))


class Arguments(ArgumentParser):
    """A parser that helps and refuses in plain words."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, formatter_class=_Help, **options)

    def parse_args(self, *args: Any, **options: Any) -> Any:
        """As of the class it derives from.

        Raises:
            argparse.ArgumentError: if an argument is refused.
        """
        try:
            return super().parse_args(*args, **options)
        except argparse.ArgumentError as error:
            known = [flag for action in self._actions for flag in action.option_strings]
            raise argparse.ArgumentError(None, in_words(str(error), known)) from error


def _given(value: object) -> str:
    """A value as a flag or a file gives it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines; names with hyphens stay whole."""
    return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)
