"""What all processes of a probe must have in common, as text that can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor, nn

from .setup import Setup

__all__ = ["described", "fingerprints"]

# Entries of a tensor that are summed at once.
_CHUNK = 2**20
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def described(setup: Setup, module: nn.Module, options: Mapping[str, object]) -> dict[str, str]:
    """Settings, blocks, and the parameters' names, shapes and dtypes.

    Args:
        setup: of the probe.
        module: whose parameters are measured.
        options: further ones of the probe.
    """
    told = {
        "seed": str(setup.seed),
        **{
            f"measurement.{field.name}": repr(getattr(setup.measurement, field.name))
            for field in fields(setup.measurement)
        },
        "blocks": repr(setup.blocks),
        "rare_blocks": repr(setup.rare_blocks),
        "matrices": repr([matrix.kind.name for matrix in setup.matrices]),
        "measures": repr([measure.name for measure in setup.measures]),
        "theory": type(setup.theory).__name__,
        "loss": getattr(setup.loss, "__qualname__", type(setup.loss).__qualname__),
        "sample": "a function" if callable(setup.sample) else "a batch",
        "sample_kind": setup.sample_kind,
        "learning_rate": type(setup.learning_rate).__name__,
        **{name: repr(value) for name, value in options.items()},
    }
    for name, parameter in module.named_parameters():
        told[f"parameter {name!r}"] = (
            f"{parameter.dtype} of shape {tuple(parameter.shape)}"
            f"{'' if parameter.requires_grad else ', frozen'}"
        )
    return told


def fingerprints(module: nn.Module) -> dict[str, str]:
    """sum_i (2 i + 1) b_i mod 2^64 of every parameter, b_i the bits of its entry i; and its kind.

    Equal bits give equal ones on any device, in one transfer from it. Buffers are left out: those
    of batch norm are each process's own between two steps.
    """
    named = dict(module.named_parameters())
    sums = [_weighted_bits(parameter.detach()) for parameter in named.values()]
    found = torch.stack([each.to(sums[0].device) for each in sums]).tolist() if sums else []
    return {
        f"parameter {name!r}": f"bits {value % 2**64:016x} ({tuple(parameter.shape)}"
        f"{'' if parameter.requires_grad else ', frozen'})"
        for (name, parameter), value in zip(named.items(), found, strict=True)
    }


def _weighted_bits(values: Tensor) -> Tensor:
    """(), int64, on the device of the values."""
    flat = values.contiguous().view(-1)
    flat = torch.view_as_real(flat).view(-1) if flat.is_complex() else flat
    bits = flat.view(_BITS[flat.element_size()])
    total = torch.zeros((), dtype=torch.int64, device=values.device)
    for start in range(0, len(bits), _CHUNK):
        part = bits[start : start + _CHUNK].long()
        places = torch.arange(start, start + len(part), device=values.device)
        total += (part * (2 * places + 1)).sum()
    return total
