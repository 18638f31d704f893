"""Directions at the start of a training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .arguments import require_least, require_whole

__all__ = ["initial_directions"]


def initial_directions(
    rows: int,
    dimension: int,
    scale: float,
    generator: torch.Generator | None,
    dtype: torch.dtype,
    device: torch.device | str,
    start: Sequence[Sequence[float]],
) -> Tensor:
    """Rows start + scale * N(0, I/d), (rows, d); ``start`` is padded with zeros to length d."""
    require_whole("dimension", dimension, 1)
    require_least("scale", scale, 0)
    weights = torch.zeros(rows, dimension, dtype=dtype, device=device)
    if start:
        lengths = {len(row) for row in start}
        if len(start) != rows or len(lengths) != 1 or max(lengths) > dimension:
            raise ValueError(
                f"start: expected {rows} rows of equal length, at most {dimension}, "
                f"got lengths {[len(row) for row in start]}"
            )
        weights[:, : max(lengths)] = torch.tensor(start, dtype=dtype, device=device)
    if scale > 0 and generator is None:
        raise ValueError(f"scale: expected 0, or more with a generator, got {scale}")
    if scale > 0:
        noise = torch.randn(rows, dimension, dtype=dtype, device=device, generator=generator)
        weights += noise * (scale / dimension**0.5)
    return weights
