"""An event file of TensorBoard: one event for all that is said of a step."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from io import FileIO
from pathlib import Path
from types import MappingProxyType

from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata
from tensorboard.compat.proto.summary_pb2 import Summary

from ...probes.records.append import WholeEntries
from .crc32c import crc32c
from .scalar_summary import scalar_summary
from .void_events import WRITER, take_out

__all__ = ["EventFile"]

_FILES = "events.out.tfevents.*"
# What a field of bytes begins with in a message, before its length: `Event.summary`.
_SUMMARY = bytes([Event.SUMMARY_FIELD_NUMBER << 3 | 2])
# Several files of one process and second have different names.
_NUMBERS = itertools.count()


class EventFile:
    """Appends events to a new file of a log folder.

    Events are written by the thread that hands them over, and are with the operating system when
    `write` returns. One that cannot be written goes before the next.

    Args:
        directory: of the file; made if need be.
        purge_step: what earlier files hold from this step on is void.

    Raises:
        OSError: if the file cannot be made.
    """

    def __init__(self, directory: Path, purge_step: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        if purge_step is not None:
            for earlier in directory.glob(_FILES):
                take_out(earlier, purge_step)
        second = _free_second(directory)
        place = f"{second:010d}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        path = directory / f"events.out.tfevents.{place}"
        self._entries = WholeEntries(FileIO(path, "a", opener=_new), durable=False)
        writer = SourceMetadata(writer=WRITER)
        self._append(Event(file_version="brain.Event:2", source_metadata=writer))
        if purge_step is not None:
            # To a server that has read the void events already; some take the first for the start
            # of the first session, whatever came before.
            start = SessionLog(status=SessionLog.START)
            for _ in range(2):
                self._append(Event(step=purge_step, session_log=start))

    def write(
        self,
        values: Iterable[Summary.Value],
        step: int,
        scalars: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Append one event.

        Args:
            values: of any kind.
            step: of all of them.
            scalars: by tag, before the values.

        Raises:
            OSError: if it cannot be written now.
        """
        summary = scalar_summary(scalars) + Summary(value=values).SerializeToString()
        self._append(Event(step=step), _SUMMARY + _length(len(summary)) + summary)

    def close(self) -> None:
        """Close the file; a second call does nothing.

        Raises:
            OSError: if there are events that still cannot be written.
        """
        self._entries.close()

    def _append(self, event: Event, rest: bytes = b"") -> None:
        """Append an event of which the last fields are serialised already."""
        event.wall_time = time.time()
        content = event.SerializeToString() + rest
        length = struct.pack("<Q", len(content))
        self._entries.append(length + _masked_crc(length) + content + _masked_crc(content))


def _length(number: int) -> bytes:
    """A whole number in groups of seven bits, the lowest first, as messages have lengths."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _new(path: str, flags: int) -> int:
    """Open a file that must not be there yet."""
    return os.open(path, flags | os.O_EXCL, 0o666)


def _masked_crc(data: bytes) -> bytes:
    """The checksum as TFRecord files have it: rotated by 15 bits, and a constant added."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _free_second(directory: Path) -> int:
    """The time in seconds, or the first later one with which a new file sorts behind all others.

    TensorBoard reads them in the order of their names, which begin with the second of their start
    and go on with numbers that do not sort as such; it does not go back to one that sorts before
    what it has read, as after a step of the clock.
    """
    seconds = [path.name.split(".")[3] for path in directory.glob(_FILES)]
    latest = max((int(second) for second in seconds if second.isdigit()), default=0)
    return max(int(time.time()), latest + 1)
