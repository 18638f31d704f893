"""A part of a probing that fails alone."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from .budget import SpentError
from .curvature.out_of_memory import is_out_of_memory, let_go
from .curvature.processes import ProcessesLostError
from .records.record import Failure

if TYPE_CHECKING:
    from .probing import Probing

__all__ = ["Alone"]


class Alone(AbstractContextManager[None, bool]):
    """Records what is raised inside as a failure: the training must not pay for it."""

    def __init__(self, probing: Probing, part: str, matrix: str = "", block: str = "") -> None:
        self._probing, self._place = probing, (part, matrix, block)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        part, matrix, block = self._place
        if not isinstance(error, Exception):
            return False
        if isinstance(error, ProcessesLostError) and part != "probing":
            return False  # no other part can be had either
        if isinstance(error, SpentError):
            self._probing.end_early(part, str(error), matrix, block)
            return True
        if is_out_of_memory(error):
            let_go(error)
        failure = Failure(part, f"{type(error).__name__}: {error}", matrix, block)
        self._probing.errors.append(error)
        self._probing.keep(failures=(*self._probing.record.failures, failure))
        return True
