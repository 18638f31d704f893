"""Appending to a file that others read: an entry is in it whole, or not at all."""

from __future__ import annotations

import os
from io import FileIO

__all__ = ["WholeEntries"]


class WholeEntries:
    """Appends entries to a file, in order.

    One that cannot be written is kept in memory and goes before the next: what a disk that is full
    for a while has no room for is late, not lost.

    Args:
        file: unbuffered, open for appending.
        durable: whether an entry must be on the disk, rather than with the operating system.
    """

    def __init__(self, file: FileIO, *, durable: bool) -> None:
        self._file = file
        self._durable = durable
        self._waiting: list[bytes] = []
        self.end = os.fstat(file.fileno()).st_size

    def append(self, entry: bytes) -> None:
        """Write an entry behind those that wait.

        Raises:
            OSError: if one of them cannot be written; the file then ends with a whole entry.
        """
        self._waiting.append(entry)
        self.flush()

    def flush(self) -> None:
        """Write the entries that wait, if there are any.

        Raises:
            OSError: as `append`.
        """
        while self._waiting:
            self._write(self._waiting[0])
            del self._waiting[0]

    def take_over(self, others: WholeEntries) -> None:
        """Let what waits elsewhere wait here, behind what waits already."""
        self._waiting += others._waiting
        others._waiting = []

    def truncate(self, end: int) -> None:
        """Forget what is behind ``end``, and what waits."""
        self._waiting.clear()
        self._file.truncate(end)
        os.fsync(self._file.fileno())
        self.end = end

    def close(self) -> None:
        """Write what waits and close the file; a second call does nothing.

        Raises:
            OSError: if what waits cannot be written, which is then lost.
        """
        if not self._file.closed:
            try:
                self.flush()
            finally:
                self._file.close()

    def _write(self, entry: bytes) -> None:
        try:
            remaining = memoryview(entry)
            while remaining:
                remaining = remaining[os.write(self._file.fileno(), remaining) :]
            if self._durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(self.end)
            if error.errno is not None:  # which file it was is not said
                error.filename = os.fspath(self._file.name)
            raise
        self.end += len(entry)
