"""Settings of libraries that hold for all code of a process."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from .places import Attributes, Names, Place, Value

__all__ = ["settings"]


def settings() -> list[Place]:
    """Of torch, NumPy and warnings: what the code of a model may set and leave behind."""
    parametrized = Names(vars(parametrize))
    parametrized.names |= {"_cache", "_cache_enabled"}
    return [
        parametrized,
        Value(torch.get_default_dtype, torch.set_default_dtype),
        Value(torch.get_num_threads, torch.set_num_threads),
        Value(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
        Attributes(torch.backends.cudnn, lambda: ("enabled", "benchmark", "deterministic")),
        Value(np.geterr, lambda errors: np.seterr(**errors)),
        Value(lambda: list(warnings.filters), _set_filters),
    ]


def _set_filters(filters: list[Any]) -> None:
    held: Any = warnings.filters
    held[:] = filters
