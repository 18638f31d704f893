"""The parser of commands whose arguments have types."""

from __future__ import annotations

import argparse
from typing import Any

from jsonargparse import ArgumentParser

from .argument_words import in_words

__all__ = ["Arguments"]


class Arguments(ArgumentParser):
    """A parser that refuses arguments in the words of `in_words`."""

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
