"""The module inside what wraps it for training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import nn

__all__ = ["inner_modules", "unwrap"]


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside ``torch.compile`` and data-parallel wrappers."""
    *_, innermost = inner_modules(model)
    return innermost


def inner_modules(model: nn.Module) -> Iterator[nn.Module]:
    """The model and what its wrappers hold one inside the other, outermost first."""
    while True:
        yield model
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            model = cast(nn.Module, model.module)
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = cast(nn.Module, model._orig_mod)
        else:
            return
