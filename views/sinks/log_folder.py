"""Both sinks of one folder: the record file and TensorBoard's events."""

from __future__ import annotations

from pathlib import Path

from ...probes.records.record import Record
from ...probes.records.record_file import RECORDS, RecordFile, read_records
from ...probes.records.sink import Sink, deliver
from .tensorboard import TensorBoardSink

__all__ = ["LogFolder"]


class LogFolder:
    """Writes records to ``records.jsonl`` and to TensorBoard's events, in one folder.

    Nothing is opened before the first record, so that every process of a training can have one and
    only the process that writes makes files.

    Args:
        directory: of both; made if need be.
        figures_every: see `TensorBoardSink`.
    """

    def __init__(self, directory: str | Path, figures_every: int = 5) -> None:
        if figures_every < 0:
            raise ValueError(f"figures_every: expected 0 or more, got {figures_every}")
        self.directory = Path(directory)
        self._figures_every = figures_every
        self._sinks: tuple[Sink, ...] = ()

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
        records = RecordFile(path)
        if after is not None:
            records.rewind(after)
        self._sinks = (records,)
        purge = None if after is None else after + 1
        events = TensorBoardSink(self.directory, purge, figures_every=self._figures_every)
        self._sinks = (records, events)

    def write(self, record: Record) -> None:
        """Give one record to both.

        Raises:
            Exception: what the first that failed failed with; the other has the record.
        """
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
