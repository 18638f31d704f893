"""The record file: every record of a run in one append-only, self-describing text file.

`records.jsonl` holds one strict JSON value a line. The first line is a header that explains the
rest: the fields of every type with their units, how arrays are packed and non-finite numbers
written, and what was run where. Each further line is one record with a checksum; a record counts
once its line is complete, so that whatever cuts the file costs at most the line being written.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from numpy.typing import NDArray

from ...models.arguments import require_arguments
from .append import WholeEntries
from .citation import bibtex
from .lines import (
    LONGEST,
    VERSION,
    begins_header,
    behind_damage,
    check_header,
    header_line,
    is_intact,
    parse_record,
    record_line,
    whole_header,
)
from .record import Record
from .record_table import record_table
from .sources import sources

__all__ = [
    "CONFIG",
    "RECORDS",
    "RecordFile",
    "Run",
    "check_header",
    "load",
    "parse_record",
    "read_records",
]

# Names of the files in a run folder.
RECORDS = "records.jsonl"
CONFIG = "config.yaml"


class RecordFile:
    """Appends records to a file; a sink.

    Opening an existing file cuts off an incomplete last line and goes on behind it. A record that
    cannot be written is kept in memory and goes before the next. A file that is taken away or cut
    in the meantime is noticed at the next record, and begun anew or gone on with.

    Args:
        path: of the file, created with its folders if it does not exist.
        config: what was run, of what JSON can hold; written into the header of a new file.

    Raises:
        ValueError: if the file is something else, of another version, or damaged: records behind
            a damaged line would not be read.
        OSError: if it cannot be opened or written.
    """

    def __init__(
        self, path: str | os.PathLike[str], config: Mapping[str, Any] | None = None
    ) -> None:
        require_arguments(RecordFile.__init__, locals())
        self.path = Path(path)
        if self.path.is_dir():
            raise ValueError(f"path: expected a file, got the folder {str(path)!r}")
        self._config = config or {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._entries = self._opened()

    def _opened(self) -> tuple[FileIO, WholeEntries]:
        file = FileIO(self.path, "a+")
        try:
            end = _complete_end(file, self.path)
            file.truncate(end)
            entries = WholeEntries(file, durable=True)
            if end == 0:
                entries.append(header_line(self._config))
        except BaseException:
            file.close()
            raise
        return file, entries

    @property
    def offset(self) -> int:
        """Length in bytes up to the last complete record."""
        return self._entries.end

    def write(self, record: Record) -> None:
        """Append one record; it is on the disk when this returns.

        Raises:
            OSError: if it cannot be written now; the file then ends with the record before.
        """
        line = record_line(record)
        if not self._file.closed and not self._in_place():
            self._go_on()
        self._entries.append(line)

    def _in_place(self) -> bool:
        """Whether the file is where it was, and not shorter than what was written."""
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._file.fileno())) and (
            there.st_size >= self.offset
        )

    def _go_on(self) -> None:
        written = self.offset
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file, entries = self._opened()
        entries.take_over(self._entries)
        self._file.close()
        self._file, self._entries = file, entries
        warnings.warn(
            f"{self.path}: expected the {written} bytes that were written, got a file that was cut "
            f"or taken away; {self.offset} bytes are in it, and records go on behind them",
            RuntimeWarning,
            stacklevel=3,
        )

    def flush(self) -> None:
        """Write the records that could not be written before.

        Raises:
            OSError: if they still cannot.
        """
        self._entries.flush()

    def truncate(self, offset: int) -> None:
        """Forget every record behind ``offset``, an earlier value of `offset`.

        Raises:
            ValueError: if no record ends at ``offset``.
        """
        if not 0 < offset <= self.offset or os.pread(self._file.fileno(), 1, offset - 1) != b"\n":
            raise ValueError(
                f"offset: expected the end of a record of {str(self.path)!r}, got {offset}"
            )
        self._entries.truncate(offset)

    def rewind(self, step: int) -> None:
        """Forget the first record of a later step, and all behind it."""
        self.flush()
        with self.path.open("rb") as file:
            end = len(file.readline())
            for line in file:
                if parse_record(line).step > step:
                    break
                end += len(line)
        self.truncate(end)

    def close(self) -> None:
        """Close the file; a second call does nothing.

        Raises:
            OSError: if there are records that still cannot be written.
        """
        self._entries.close()


def _complete_end(file: FileIO, path: Path) -> int:
    """Where the last whole line ends."""
    reader = BufferedReader(file)
    try:
        reader.seek(0)
        end = len(_first_line(reader, path))
        for number, line in enumerate(iter(lambda: reader.readline(LONGEST), b""), start=2):
            if not line.endswith(b"\n"):
                break
            if not is_intact(line):
                raise ValueError(
                    f"path: expected whole records, got {str(path)!r} with line {number} "
                    f"damaged; cut it off at byte {end} to go on behind the record before"
                )
            end += len(line)
        return end
    finally:
        reader.detach()


def _first_line(file: BinaryIO, path: Path) -> bytes:
    """The header, if it is whole; nothing if it is incomplete."""
    line = file.readline(LONGEST)
    if not line.endswith(b"\n"):
        if not begins_header(line):
            raise ValueError(f"path: expected a new file or one of records, got {str(path)!r}")
        return b""
    header = whole_header(line, path)
    if header is None:
        _warn_of_header(line, file, path)
    elif header["version"] != VERSION:
        raise ValueError(
            f"version of {str(path)!r}: expected {VERSION} to go on with it, got "
            f"{header['version']}: only the release that began it can"
        )
    return line


def _warn_of_header(first: bytes, file: BinaryIO, path: Path) -> bytes:
    """Warn of a damaged header and return the record that is left on its line, if there is one.

    Args:
        first: the damaged line.
        file: at its end, where it is left.
        path: of the file.

    Raises:
        ValueError: if there is no record behind it either.
    """
    record = behind_damage(first, file.readline(LONGEST))
    file.seek(len(first))
    if record is None:
        check_header(first, path)
    warnings.warn(
        f"{path}: line 1, the header, is damaged: what it said of configuration, environment and "
        "units is lost; the records behind it are whole",
        stacklevel=3,
    )
    return record if record is not None and first.endswith(record) else b""


@dataclass(frozen=True, repr=False)
class Run:
    """What a run folder holds.

    Attributes:
        config: the resolved configuration; empty if the run had none.
        records: in the order of the steps.
        environment: versions, system and number of processors where the run began; empty if the
            data file does not say.
    """

    config: dict[str, Any]
    records: tuple[Record, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def table(self) -> dict[str, NDArray[Any]]:
        """Every number of the records, one row for each step and quantity; see `record_table`."""
        return record_table(self.records)

    def citation(self) -> str:
        """BibTeX of this software and of the papers that the records rest on."""
        return bibtex(sources(self.records))

    def __repr__(self) -> str:
        steps = [record.step for record in self.records]
        span = f", steps {steps[0]} to {steps[-1]}" if steps else ""
        system = f"{self.config['system']}, " if "system" in self.config else ""
        return f"Run({system}{len(steps)} record{'s' * (len(steps) != 1)}{span})"

    @property
    def dimension(self) -> int | None:
        """The dimension d that was configured, None if none was."""
        found = self.config.get("dimension")
        return found if isinstance(found, int) else None


def read_records(path: str | os.PathLike[str]) -> Iterator[Record]:
    """The complete records of a file, one after the other.

    An incomplete last line (of a writer that was killed, or is writing) and a damaged line end the
    reading with a warning that says where they are. Where the header is damaged, a warning says
    what is lost with it.

    Raises:
        ValueError: if the file is something else, of another version, or holds an unknown type or
            field.
        OSError: if it cannot be read.
    """
    require_arguments(read_records, locals())
    path = Path(path)
    with path.open("rb") as file:
        first = file.readline(LONGEST)
        offset = len(first)
        if first.endswith(b"\n") and whole_header(first, path) is None:
            left = _warn_of_header(first, file, path)
            if left:
                yield parse_record(left)
        elif first and not first.endswith(b"\n"):
            _warn_of_line(path, 1, 0, first)
            return
        for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), start=2):
            if not is_intact(line):
                _warn_of_line(path, number, offset, line)
                return
            yield parse_record(line)
            offset += len(line)


def _warn_of_line(path: Path, number: int, offset: int, line: bytes) -> None:
    state = "damaged" if line.endswith(b"\n") else "incomplete"
    warnings.warn(
        f"{path}: line {number} (from byte {offset}) is {state}; what precedes it was read",
        stacklevel=3,
    )


def load(run: str | os.PathLike[str]) -> Run:
    """Read a run folder.

    Args:
        run: the folder, or the record file itself.

    Raises:
        ValueError: if there is no record file, or its configuration cannot be read; see also
            `read_records`.
    """
    require_arguments(load, locals())
    folder = Path(run)
    path = folder / RECORDS if folder.is_dir() else folder
    if not path.is_file():
        raise ValueError(f"run: expected a folder with a {RECORDS}, got {str(run)!r}")
    with path.open("rb") as file:
        first = file.readline(LONGEST)
    header = (whole_header(first, path) if first.endswith(b"\n") else None) or {}
    config = header.get("config") or _stored_config(path.parent / CONFIG)
    return Run(config, tuple(read_records(path)), header.get("environment", {}))


def _stored_config(path: Path) -> dict[str, Any]:
    """The configuration beside a record file whose header has none; empty if there is no file."""
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a configuration in YAML, got {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected keys and values, got {content!r}")
    return content
