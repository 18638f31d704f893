"""From the key "system" of a specification to the module that answers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Literal

from ..training.systems import SYSTEMS
from ..training.systems.mixture_config import MixtureTrainingConfig
from .answer import Answer
from .values import refusal

__all__ = ["answer"]

_DEFAULT = "mixture"  # what a specification without a system is about


def answer(command: Literal["predict", "dynamics"], content: Mapping[str, object]) -> Answer:
    """The answer of the system that the specification names; of the mixture if it names none.

    The module of a system's answers, see `TrainingConfig`, has a function for each command.

    Raises:
        ValueError: naming the key, what was expected and what came.
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
    found: Answer = function(content)
    return found
