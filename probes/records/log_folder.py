"""The sinks of one folder as one, which goes on behind the record of a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

from .folder import folder_sinks
from .record import Record
from .record_file import RECORDS, read_records
from .sink import Sink, deliver

__all__ = ["LogFolder"]


class LogFolder:
    """Writes records to ``records.jsonl`` and to TensorBoard's events, in one folder.

    Nothing is opened before the first record, so that every process of a training can have one and
    only the process that writes makes files.

    Args:
        directory: of both; made if need be.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._sinks: tuple[Sink, ...] = ()
        self._begun = False

    def open(self, after: int | None = None) -> None:
        """Make the files, or go on in them.

        Args:
            after: the step whose record is the last that counts: later ones are made void. None
                for a training that begins.

        Raises:
            ValueError: if a training that begins finds the records of another.
            OSError: if a file cannot be made.
        """
        self.close()
        path = self.directory / RECORDS
        if after is None and path.is_file() and next(read_records(path), None) is not None:
            raise ValueError(
                "logdir: expected a folder without records for a training that begins, got "
                f"{str(self.directory)!r} with some; restore the probe's state to go on with them, "
                "or name another folder"
            )
        self._sinks = folder_sinks(self.directory, after)
        self._begun = True

    def write(self, record: Record) -> None:
        """Give one record to both.

        Raises:
            ValueError: if they have been closed.
            Exception: what the first that failed failed with; the other has the record.
        """
        if not self._sinks and self._begun:
            raise ValueError(f"expected records before {str(self.directory)!r} was closed, got one")
        if not self._sinks:
            self.open()
        deliver(record, self._sinks, "raise")

    def close(self) -> None:
        """Close both; a second call does nothing.

        Raises:
            OSError: if there are records that still cannot be written.
        """
        sinks, self._sinks = self._sinks, ()
        for sink in sinks:
            sink.close()
