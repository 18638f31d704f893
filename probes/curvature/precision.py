"""Arithmetic of a measurement: in the parameters' dtype, whatever autocast the code asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["require_precision", "without_autocast"]

_MEASURED = (torch.float32, torch.float64)


@contextmanager
def without_autocast() -> Iterator[None]:
    """Code inside cannot turn autocast on: not by regions, decorators or wrappers with these."""
    home: Any = torch
    switch = home.set_autocast_enabled

    def off(*args: Any) -> None:
        switch(*args[:-1], False)

    home.set_autocast_enabled = off
    try:
        yield
    finally:
        home.set_autocast_enabled = switch


def require_precision(module: nn.Module, dtype: torch.dtype | None = None) -> None:
    """Refuse a module whose floating parameters are not all of float32, or all of float64.

    Raises:
        ValueError: with the dtypes, and one of the parameters of each; unless a dtype is given, of
            the copies that are measured.
    """
    if dtype is not None:
        return
    found: dict[torch.dtype, str] = {}
    for name, parameter in module.named_parameters():
        if parameter.is_floating_point():
            found.setdefault(parameter.dtype, name)
    if found and (len(found) > 1 or next(iter(found)) not in _MEASURED):
        listed = ", ".join(f"{dtype} ({name}, ...)" for dtype, name in found.items())
        raise ValueError(
            f"model: expected parameters of one dtype, float32 or float64, got {listed}; "
            "dtype=torch.float32 measures it in copies of that dtype"
        )
