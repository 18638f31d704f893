"""The forward of a model under mixed precision as its author wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ...probes.curvature.wrappers import unwrap

__all__ = ["plain_forward"]


@contextmanager
def plain_forward(model: nn.Module) -> Iterator[None]:
    """The model with its own forward, while the block is executed.

    accelerate, and with it the Trainer of transformers, lays an attribute ``forward`` under
    autocast over the method of the class and keeps the former as ``_original_forward``; curvature
    is taken in the parameters' dtype.
    """
    module = unwrap(model)
    mine = module.__dict__.get("forward")
    original = module.__dict__.get("_original_forward")
    if mine is None or original is None:
        yield
        return
    module.__dict__["forward"] = original
    try:
        yield
    finally:
        module.__dict__["forward"] = mine
