"""The lines of a record file: a header that explains the others, and a record in each of these.

Each line has a checksum: a record counts once its line is whole, and the damage of one line is not
that of another.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .codec import ENCODING, decode, packed, schema
from .environment import environment
from .record import Record

__all__ = [
    "LONGEST",
    "VERSION",
    "begins_header",
    "behind_damage",
    "check_header",
    "header_line",
    "is_intact",
    "parse_record",
    "record_line",
    "whole_header",
]

FORMAT = "spectrain-records"
VERSION = 2
# Those that can be read. Version 1 had no checksum of its header.
_READABLE = (1, VERSION)

# Bytes of a line beyond which it is no record's: nothing else than a bound on what is read at once.
LONGEST = 2**27

_START = b'{"crc32":"'


def header_line(config: Mapping[str, Any]) -> bytes:
    """The first line of a new file."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "line": 'this one ends with "crc32", the checksum of its bytes before the comma in front; '
        'each further one is {"crc32": of the bytes of the record, "record": object}; both are '
        "eight hexadecimal digits",
        "encoding": ENCODING,
        "config": dict(config),
        "environment": environment(),
        "schema": schema(),
    }
    return _sealed(_json(content)[:-1])


def record_line(record: Record) -> bytes:
    """A further line."""
    return _wrapped(_json(packed(record)))


def is_intact(line: bytes) -> bool:
    """Whether a line is a whole record."""
    return line == _wrapped(line[len(_wrapped(b"")) - 2 : -2])


def parse_record(line: bytes, only: tuple[str, str] | None = None) -> Record:
    """The record of one complete line behind the header.

    Args:
        line: with its end.
        only: matrix and block whose spectra are wanted, which is several times faster: of others
            there is but which they are, and no tracks; all if None.

    Raises:
        ValueError: if the line is damaged, or holds an unknown type or field.
    """
    if not is_intact(line):
        raise ValueError("line: expected a record with its checksum, got a damaged one")
    try:
        content = json.loads(line)["record"]
        if only is not None:
            _leave_out(content, only)
        record = decode(content)
    except (AttributeError, LookupError, RecursionError, TypeError, OverflowError) as error:
        raise ValueError(
            f"line: expected a record, got another document ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(record, Record):
        raise ValueError(f"line: expected a record, got one of {type(record).__name__}")
    return record


def _leave_out(content: dict[str, Any], only: tuple[str, str]) -> None:
    """Nothing but their place of the spectra of other blocks, and no tracks."""
    content.pop("tracks", None)
    for name in ("measured", "predicted", "forecast"):
        geometry = content.get(name)
        if geometry and "spectra" in geometry:
            geometry["spectra"] = [
                each
                if (each["matrix"], each["block"]) == only
                else {
                    "$type": "Spectrum", "matrix": each["matrix"], "block": each["block"],
                    "size": 0, "top": [], "bottom": [],
                }
                for each in geometry["spectra"]
            ]  # fmt: skip


def whole_header(line: bytes, path: Path) -> dict[str, Any] | None:
    """The header in a file's first line; None if that is damaged, or something else.

    Raises:
        ValueError: if it is whole, and of a version that cannot be read.
    """
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        return None
    version = header.get("version")
    is_whole = line == _sealed(line[: -len(_sealed(b""))])
    if (version == VERSION or "crc32" in header) and not is_whole:
        return None
    if version not in _READABLE:
        raise ValueError(f"version of {str(path)!r}: expected one of {_READABLE}, got {version!r}")
    return header


def begins_header(line: bytes) -> bool:
    """Whether an incomplete first line, which may be empty, can be that of a record file."""
    start = _json({"format": FORMAT})[:-1]
    return line.startswith(start) or start.startswith(line)


def check_header(line: bytes, path: Path) -> dict[str, Any]:
    """The header in a file's first line, if that is one of a record file this version can read.

    Raises:
        ValueError: if the file is something else, or of another version; or the header is damaged.
    """
    header = whole_header(line, path)
    if header is None:
        raise ValueError(f"path: expected a file of format {FORMAT!r}, got {str(path)!r}")
    return header


def behind_damage(first: bytes, second: bytes) -> bytes | None:
    """A whole record behind a damaged header, by which a record file is known; None without one.

    It is at the end of the first line where that line's own end was damaged, else the second line.
    """
    start = first.rfind(_START)
    found = (first[start:] if start > 0 else b"", second)
    return next(filter(is_intact, found), None)


def _json(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def _wrapped(body: bytes) -> bytes:
    return b'%b%08x","record":%b}\n' % (_START, zlib.crc32(body), body)


def _sealed(body: bytes) -> bytes:
    return b'%b,"crc32":"%08x"}\n' % (body, zlib.crc32(body))
