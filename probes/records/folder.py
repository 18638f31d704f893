"""The sinks of a folder: what a probe writes to when it is given the folder alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

# This is imported with the package itself.
if TYPE_CHECKING:
    from .sink import Sink

__all__ = ["SINKS_OF_A_FOLDER", "folder_sinks"]

# Others than the record file, made of the folder and the first step to be written again, if there
# is one: the floor that knows them puts them here.
SINKS_OF_A_FOLDER: list[Callable[[Path, int | None], Sink]] = []


def folder_sinks(folder: Path, after: int | None = None) -> tuple[Sink, ...]:
    """A record file in the folder, which the tab Spectrum and `load` read, and the others.

    Args:
        folder: is made if need be.
        after: the step whose record is the last that counts: later ones are made void. None to go
            on behind all there are.

    Raises:
        OSError: if it cannot be written; nothing is left open.
        ValueError: if there is something else in its place.
    """
    from .record_file import RECORDS, RecordFile

    sinks: list[Sink] = []
    try:
        records = RecordFile(folder / RECORDS)
        sinks.append(records)
        if after is not None:
            records.rewind(after)
        first = None if after is None else after + 1
        for make in SINKS_OF_A_FOLDER:
            sinks.append(make(folder, first))
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    return tuple(sinks)
