"""From the key "system" of a specification to the module that answers it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Literal

import numpy as np

from ..training.systems import SYSTEMS
from ..training.systems.mixture_config import MixtureTrainingConfig
from .answer import Answer
from .values import refusal

__all__ = ["answer"]

_DEFAULT = "mixture"  # what a specification without a system is about
_EXTREME = 6  # decades from 1 on in which a number is to blame for what cannot be computed


def answer(command: Literal["predict", "dynamics"], content: Mapping[str, object]) -> Answer:
    """The answer of the system that the specification names; of the mixture if it names none.

    The module of a system's answers, see `TrainingConfig`, has a function for each command.

    Raises:
        ValueError: naming the key, what was expected and what came; also where the answer leaves
            the range of floating-point numbers, or the memory, for a number far from 1.
        ArithmeticError: if the numbers cannot be had.
    """
    homes = {_DEFAULT: MixtureTrainingConfig.answers}
    homes |= {name: config.answers for name, config in SYSTEMS.items() if config.answers}
    name = content.get("system", _DEFAULT)
    if not isinstance(name, str) or name not in homes:
        raise refusal("system", f"one of {', '.join(map(json.dumps, homes))}", name)
    function = getattr(import_module(homes[name]), command, None)
    if function is None:
        raise refusal("system", f"one that has an answer to {command}", name)
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            found: Answer = function(content)
    except (FloatingPointError, OverflowError, ZeroDivisionError, MemoryError) as error:
        raise _beyond(content, error) from error
    return found


def _beyond(content: Mapping[str, object], error: Exception) -> Exception:
    """What is said of a failure of the arithmetic: the number that is farthest from 1."""
    reason = str(error.args[-1]) if error.args else type(error).__name__
    key, value = max(_numbers(content), key=lambda each: _decades(each[1]), default=("", 1.0))
    if _decades(value) < _EXTREME:
        return ArithmeticError(f"the answer cannot be computed: {reason}")
    return refusal(key, f"a number that the answer can be computed with ({reason})", value)


def _numbers(content: object, key: str = "") -> Iterator[tuple[str, float]]:
    """Each number of a specification other than zero, with its key."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from _numbers(value, f"{key}.{name}" if key else name)
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from _numbers(value, f"{key}[{place}]")
    elif isinstance(content, int | float) and content:
        yield key, content


def _decades(value: float) -> float:
    """How far a number is from 1."""
    return abs(math.log10(abs(value)))
