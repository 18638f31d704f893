"""Running out of memory: known by its errors, and what they hold is let go."""

from __future__ import annotations

import gc
import traceback

import torch

__all__ = ["is_out_of_memory", "let_go"]

# Of torch's allocators of the CPU, which raise a RuntimeError, and of other processes' errors.
_WORDS = (
    *("can't allocate memory", "not enough memory", "Cannot allocate memory"),
    *("OutOfMemoryError:", "MemoryError:"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory could not be had: Python's, torch's on the CPU or on a device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(w in str(error) for w in _WORDS)


def let_go(error: BaseException) -> None:
    """Free what the frames hold that an error came through: graphs, a Krylov basis."""
    chain: BaseException | None = error
    while chain is not None:
        traceback.clear_frames(chain.__traceback__)
        chain = chain.__cause__ or chain.__context__
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
