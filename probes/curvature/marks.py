"""Marks of parameters, which tell whether these are still what they were."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["marks"]

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def marks(module: nn.Module) -> list[int]:
    """A number for each parameter that any one change of its entries changes.

    The sum of their bits as integers, rows by their places, modulo 2^64: torch's own count of
    writes knows nothing of those through ``.data``.
    """
    found = [_mark(parameter.detach()) for parameter in module.parameters()]
    # One transfer for each device.
    values: dict[torch.device, list[Tensor]] = {}
    for mark in found:
        values.setdefault(mark.device, []).append(mark)
    return [mark for each in values.values() for mark in torch.stack(each).tolist()]


def _mark(parameter: Tensor) -> Tensor:
    if parameter.is_complex():
        parameter = torch.view_as_real(parameter)
    bits = parameter.contiguous().view(_BITS[parameter.element_size()])
    rows = bits.reshape(len(bits) if bits.ndim > 1 else -1, -1 if bits.ndim > 1 else 1).sum(1)
    places = torch.arange(1, len(rows) + 1, device=rows.device)
    # Odd, so that no change of a single entry is lost.
    return (rows * (2 * places - 1)).sum()
