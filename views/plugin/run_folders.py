"""The runs below TensorBoard's log folder: their names, and nothing outside of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...probes.record_file import RECORDS

__all__ = ["NO_RECORDS", "RunFolders"]

NO_RECORDS = f"has no data file: nothing wrote a {RECORDS} beside its event files"

_EVENTS = "events.out.tfevents."


class RunFolders:
    """The folders below a log folder that hold a data file or event files.

    A run is named as TensorBoard names it, by its path from the log folder; "." is the log folder.

    Args:
        logdir: of TensorBoard; it may not exist yet.
    """

    def __init__(self, logdir: str | os.PathLike[str]) -> None:
        self.path = Path(logdir).expanduser()

    def names(self) -> Iterator[tuple[str, bool]]:
        """Name of every run, sorted within each folder, and whether it has a data file."""
        for folder, inner, files in os.walk(self.path):
            inner.sort()
            has_records = RECORDS in files
            if has_records or any(name.startswith(_EVENTS) for name in files):
                yield Path(folder).relative_to(self.path).as_posix(), has_records

    def records(self, name: str) -> Path:
        """Where the data file of a run is, or would be.

        Raises:
            ValueError: if it is outside the log folder, by its name or through a symbolic link.
        """
        try:
            path = (self.path / name / RECORDS).resolve()
            inside = path.is_relative_to(self.path.resolve())
        except (OSError, RuntimeError, ValueError):  # a loop of links, a null byte
            inside = False
        if not inside:
            raise ValueError(f"run: expected a folder below the log folder, got {name!r}")
        return path
