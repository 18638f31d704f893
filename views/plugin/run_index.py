"""The index of a data file that may be growing: where each record is, and its line of history."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from ...models.arguments import require
from ...probes.records.lines import LONGEST, behind_damage, check_header, parse_record, whole_header
from ...probes.records.record import Record
from .messages import Message, heading, history, outline, text

__all__ = ["RunIndex"]

# An answer is not kept waiting longer than this: a long file is read in several requests.
_PATIENCE = 0.3
_MARK = 32  # bytes of a line that tell it from any other: its checksum is among them


@dataclass
class _Entry:
    offset: int
    length: int
    step: int
    heading: str
    histories: dict[tuple[str, str], str] = field(repr=False)


class RunIndex:
    """Follows one data file; every line is read once, and records are not kept.

    Args:
        path: of the data file; it may not exist yet, and may go away.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._generation = 0
        self._forget()

    def history(self, matrix: str, block: str, first: int, generation: int) -> str:
        """JSON of everything that the time axis needs of one block, from a record on.

        Args:
            matrix: which matrix.
            block: which block; both empty for the first there is.
            first: index of the first record that is not known yet.
            generation: of the file to which ``first`` refers; all records are given if the file
                has been replaced or cut since.
        """
        with self._lock:
            self._refresh()
            if generation != self._generation:
                first = 0
            if not matrix and self._blocks:
                matrix, block = next(iter(self._blocks))
            records = (
                f'{{"heading":{entry.heading},'
                f'"history":{entry.histories.get((matrix, block), "null")}}}'
                for entry in self._entries[first:]
            )
            frame: Message = {
                "generation": self._generation,
                "first": first,
                "size": self._size,
                "read": self._end,
                "problem": self._problem or self._notice,
                "matrix": matrix,
                "block": block,
                "blocks": [list(place) for place in self._blocks],
                **self._outline,
            }
            return f'{text(frame)[:-1]},"records":[{",".join(records)}]}}'

    def record(self, step: int, matrix: str, block: str) -> Record:
        """The record of a step with the spectra of one block; the last one if there are several.

        Raises:
            LookupError: if there is none.
            ValueError: if the file has been changed, so that it is no longer there.
            OSError: if the file cannot be read.
        """
        with self._lock:
            if step not in self._by_step:
                self._refresh()
            if step not in self._by_step:
                raise LookupError(f"no record of step {step}")
            entry = self._by_step[step]
        with self._path.open("rb") as file:
            file.seek(entry.offset)
            line = file.read(entry.length)
        return parse_record(line, only=(matrix, block))

    def _forget(self) -> None:
        self._generation += 1
        self._end = self._size = 0
        self._problem, self._damaged_size = "", -1
        self._notice = ""
        self._last = (0, b"")  # offset and beginning of the last line that was read
        self._entries: list[_Entry] = []
        self._by_step: dict[int, _Entry] = {}
        self._blocks: dict[tuple[str, str], None] = {}
        self._outline: dict[str, Any] = {
            "kinds": {}, "quantities": {}, "directions": [], "clock": ""
        }  # fmt: skip

    def _refresh(self) -> None:
        """Read what has been appended, for a while."""
        try:
            with self._path.open("rb") as file:
                self._size = os.fstat(file.fileno()).st_size
                if not self._is_same(file.fileno()):
                    size = self._size
                    self._forget()
                    self._size = size
                if self._size == self._damaged_size:
                    return
                self._problem, self._damaged_size = "", -1
                file.seek(self._end)
                until = monotonic() + _PATIENCE
                while monotonic() < until:
                    line = file.readline(LONGEST + 1)
                    if len(line) > LONGEST:
                        raise ValueError(f"expected lines of at most {LONGEST} bytes, got more")
                    if not line.endswith(b"\n"):
                        self._size = self._end  # what is behind is still being written
                        break
                    self._add(line)
                if self._end == self._size and not self._entries:
                    self._problem = "its data file has no record yet"
        except FileNotFoundError:
            self._problem = "its data file is gone" if self._end else "has no data file"
        except OSError as error:
            self._problem = f"its data file cannot be read: {error.strerror}"
        except ValueError as error:
            self._damaged_size = self._size
            self._problem = f"its data file cannot be read from byte {self._end} on: {error}"

    def _is_same(self, descriptor: int) -> bool:
        """Whether the last line that was read is still where it was."""
        offset, beginning = self._last
        is_there = os.pread(descriptor, len(beginning), offset) == beginning
        return is_there and self._size >= self._end

    def _add(self, line: bytes) -> None:
        if self._end == 0:
            self._add_header(line)
        else:
            self._add_record(self._end, line)
        self._last = self._end, line[:_MARK]
        self._end += len(line)

    def _add_header(self, line: bytes) -> None:
        if whole_header(line, self._path) is not None:
            return
        with self._path.open("rb") as file:
            file.seek(len(line))
            left = behind_damage(line, file.readline(LONGEST))
        if left is None:
            check_header(line, self._path)
        elif line.endswith(left):
            self._add_record(len(line) - len(left), left)
        self._notice = "the header of its data file is damaged, its records are whole"

    def _add_record(self, offset: int, line: bytes) -> None:
        record = parse_record(line)
        try:
            entry = _Entry(
                offset, len(line), record.step, text(heading(record)), _histories(record)
            )
            found_outline, places = outline(record), _places(record)
            require("step", record.step, int)
        except (AttributeError, LookupError, RecursionError, TypeError) as error:
            raise ValueError(
                f"expected the fields of a record, got others ({type(error).__name__}: {error})"
            ) from error
        self._entries.append(entry)
        self._by_step[record.step] = entry
        for part, found in found_outline.items():
            # What an earlier record has stays as it is: it may be on the screen.
            known = self._outline[part]
            self._outline[part] = found | known if isinstance(known, dict) else known or found
        self._blocks |= places


def _places(record: Record) -> dict[tuple[str, str], None]:
    geometries = (record.measured, record.predicted)
    spectra = (spectrum for geometry in geometries if geometry for spectrum in geometry.spectra)
    return {(spectrum.matrix, spectrum.block): None for spectrum in spectra}


def _histories(record: Record) -> dict[tuple[str, str], str]:
    geometries = (record.measured, record.predicted, record.forecast)
    places = {
        (spectrum.matrix, spectrum.block): None
        for geometry in geometries
        if geometry is not None
        for spectrum in geometry.spectra
    }
    return {(matrix, block): text(history(record, matrix, block)) for matrix, block in places}
