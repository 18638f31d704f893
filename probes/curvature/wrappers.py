"""The module inside what wraps it for training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn

__all__ = ["inner_modules", "is_sharded", "require_whole", "unwrap"]


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


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process has a part of it only, as a DTensor."""
    return hasattr(tensor, "full_tensor")  # torch.distributed.tensor is slow to import


def require_whole(module: nn.Module) -> None:
    """Refuse a module whose parameters are in parts on several processes.

    Raises:
        ValueError: with their names, and what to do.
    """
    parts = [name for name, parameter in module.named_parameters() if is_sharded(parameter)]
    if parts:
        raise ValueError(
            f"model: expected whole parameters, got {parts[0]} and others ({len(parts)}) in parts "
            "on several processes, as by fully_shard: SpectralProbe gathers them with skeleton=, "
            "the same module before fully_shard, best on the meta device"
        )
    if any(type(each).__name__ == "FullyShardedDataParallel" for each in module.modules()):
        raise ValueError(
            "model: expected whole parameters, got FullyShardedDataParallel, whose parameters are "
            "flat parts: use fully_shard, with skeleton="
        )
