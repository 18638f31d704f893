"""Taking out of event files what a resumed run writes again.

TensorBoard's own way, an event that makes earlier steps void, works in its data server and in part
of its Python code only: elsewhere the first such event of a run passes without effect.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event

from ...probes.records.atomic import write_atomically

__all__ = ["WRITER", "take_out"]

# By this name files of ours are told from those of others in the same folder, which stay.
WRITER = "spectrain"


def take_out(path: Path, step: int) -> None:
    """Leave in a file of ours the whole events of steps before this one.

    Args:
        path: of the event file; another program's stays as it is.
        step: the first that is written again.

    Raises:
        OSError: if it cannot be read or replaced.
    """
    data = path.read_bytes()
    events = list(_whole(data))
    first = _event(events[0]) if events else None
    if first is None or first.source_metadata.writer != WRITER:
        return
    kept = [event for event in events if not _is_void(event, step)]
    content = b"".join(kept)
    if content != data:
        write_atomically(path, lambda file: file.write(content))


def _is_void(entry: bytes, step: int) -> bool:
    event = _event(entry)
    return event is not None and event.HasField("summary") and event.step >= step


def _event(entry: bytes) -> Event | None:
    """The event, None if it is damaged: whoever reads the file says so."""
    try:
        return Event.FromString(entry[12:-4])
    except DecodeError:
        return None


def _whole(data: bytes) -> Iterator[bytes]:
    """Entries of a TFRecord file: length, its checksum, content, its checksum."""
    place = 0
    while len(data) - place >= 16:
        (length,) = struct.unpack_from("<Q", data, place)
        end = place + 12 + length + 4
        if end > len(data):
            return
        yield data[place:end]
        place = end
