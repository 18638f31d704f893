"""The sinks of a folder: what a probe writes to when it is given the folder alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

# This is imported with the package itself.
if TYPE_CHECKING:
    from .sink import Sink

__all__ = ["SINKS_OF_A_FOLDER", "folder_sinks"]

# Others than the record file, made of the folder: the floor that knows them puts them here.
SINKS_OF_A_FOLDER: list[Callable[[Path], Sink]] = []


def folder_sinks(folder: Path) -> tuple[Sink, ...]:
    """A record file in the folder, which the tab Spectrum and `load` read, and the others.

    Raises:
        OSError: if it cannot be written.
        ValueError: if there is something else in its place.
    """
    from .record_file import RECORDS, RecordFile

    return (RecordFile(folder / RECORDS), *(make(folder) for make in SINKS_OF_A_FOLDER))
