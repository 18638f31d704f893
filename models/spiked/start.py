"""Signals, and starts at a given overlap with one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..arguments import require_arguments, require_least

__all__ = ["random_signal", "start_at_overlap"]


def random_signal(
    dimension: int,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """x* (N,), uniform on the sphere |x*|^2 = N.

    Raises:
        ValueError: if the dimension is below 2.
    """
    require_arguments(random_signal, locals())
    require_least("dimension", dimension, 2)
    drawn = torch.randn(dimension, dtype=torch.float64, device=device, generator=generator)
    signal: Tensor = drawn * (math.sqrt(dimension) / drawn.norm())
    return signal.to(dtype)


def start_at_overlap(signal: Tensor, overlap: float, generator: torch.Generator) -> Tensor:
    """x = m x* + (1 - m^2)^(1/2) N^(1/2) u,  u uniform among unit vectors orthogonal to x*.

    Args:
        signal: x*, (N,), |x*|^2 = N.
        overlap: m, from -1 to 1.
        generator: source of u.

    Returns:
        (N,) in the signal's dtype, of overlap m exactly.

    Raises:
        ValueError: if the overlap is out of range.
    """
    require_arguments(start_at_overlap, locals())
    if not -1 <= overlap <= 1:
        raise ValueError(f"overlap: expected a number from -1 to 1, got {overlap}")
    n, along = len(signal), signal.double()
    drawn = torch.randn(n, dtype=torch.float64, device=signal.device, generator=generator)
    across = drawn - (drawn @ along / (along @ along)) * along
    across *= math.sqrt(n * (1 - overlap**2)) / across.norm()
    start: Tensor = overlap * along + across
    return start.to(signal.dtype)
