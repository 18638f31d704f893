"""Torch on one thread, where its operations are too small to be shared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["single_thread"]


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch on one thread inside the block.

    Derivatives of a head are many operations on a few thousand numbers each: threads gain nothing
    there, and cost an order of magnitude while another process keeps the cores busy.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
