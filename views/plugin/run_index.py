"""The index of a data file that may be growing: where each record is, and its line of history."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

from ...models.arguments import require
from ...probes.records.lines import LONGEST, behind_damage, check_header, parse_record, whole_header
from ...probes.records.numbers import KINDS
from ...probes.records.record import Record
from .messages import Message, heading, history, outline, text

__all__ = ["RunIndex", "misshapen"]

# An answer is not kept waiting longer than this: a long file is read in several requests.
_PATIENCE = 0.3
_MARK = 32  # bytes of a line that tell it from any other: its checksum is among them
_NOTHING = "null"  # of a record without spectra of a block

_Place = tuple[str, str]  # matrix and block


@dataclass(frozen=True, slots=True)
class _Entry:
    offset: int
    length: int
    step: int
    heading: str
    places: frozenset[_Place]  # whose spectra it has


class RunIndex:
    """Follows one data file; records are not kept.

    Every line is read once, and of its spectra those of one block: lines are read again for another
    block, once it is asked for.

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
            until = monotonic() + _PATIENCE
            self._refresh((matrix, block) if matrix else None, until)
            if generation != self._generation:
                first = 0
            if not matrix and self._blocks:
                matrix, block = next(iter(self._blocks))
            histories = self._histories_of((matrix, block), until)
            read = self._end
            if len(histories) < len(self._entries):
                read = self._entries[len(histories)].offset
            records = (
                f'{{"heading":{entry.heading},"history":{found}}}'
                for entry, found in zip(self._entries[first:], histories[first:], strict=False)
            )
            frame: Message = {
                "generation": self._generation,
                "first": first,
                "size": self._size,
                "read": read,
                "problem": self._problem or self._place_problem or self._notice,
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
                self._refresh((matrix, block), monotonic() + _PATIENCE)
            if step not in self._by_step:
                raise LookupError(f"no record of step {step}")
            entry = self._by_step[step]
        with self._path.open("rb") as file:
            return _record_at(file, entry, (matrix, block))

    def _forget(self) -> None:
        self._generation += 1
        self._end = self._size = 0
        self._problem, self._damaged_size = "", -1
        self._notice = ""
        self._last = (0, b"")  # offset and beginning of the last line that was read
        self._entries: list[_Entry] = []
        self._by_step: dict[int, _Entry] = {}
        self._blocks: dict[_Place, None] = {}
        self._histories: dict[_Place, list[str]] = {}  # of the first entries, or all
        self._place_problem = ""
        self._places: dict[frozenset[_Place], frozenset[_Place]] = {}  # equal ones are one object
        self._outline: dict[str, Any] = {
            "kinds": {}, "quantities": {}, "directions": [], "clock": ""
        }  # fmt: skip

    def _refresh(self, place: _Place | None, until: float) -> None:
        """Read what has been appended, for a while; of the spectra those of a block."""
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
                while monotonic() < until:
                    line = file.readline(LONGEST + 1)
                    if len(line) > LONGEST:
                        raise ValueError(f"expected lines of at most {LONGEST} bytes, got more")
                    if not line.endswith(b"\n"):
                        self._size = self._end  # what is behind is still being written
                        break
                    self._add(line, place)
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

    def _histories_of(self, place: _Place, until: float) -> list[str]:
        """Of a block, for the first records or all; lines are read again for a while."""
        self._place_problem = ""
        if not any(place in each for each in self._places):
            return [_NOTHING] * len(self._entries)
        found = self._histories.setdefault(place, [])
        left = self._entries[len(found) :]
        try:
            if left:
                with self._path.open("rb") as file:
                    for entry in left:
                        if place not in entry.places:
                            found.append(_NOTHING)
                            continue
                        if monotonic() >= until:
                            break
                        with misshapen():
                            found.append(_history(_record_at(file, entry, place), place))
        except OSError as error:
            self._place_problem = f"its data file cannot be read: {error.strerror}"
        except ValueError as error:
            at = self._entries[len(found)].offset
            self._place_problem = f"its data file cannot be read from byte {at} on: {error}"
        return found

    def _add(self, line: bytes, place: _Place | None) -> None:
        if self._end == 0:
            self._add_header(line, place)
        else:
            self._add_record(self._end, line, place)
        self._last = self._end, line[:_MARK]
        self._end += len(line)

    def _add_header(self, line: bytes, place: _Place | None) -> None:
        if whole_header(line, self._path) is not None:
            return
        with self._path.open("rb") as file:
            file.seek(len(line))
            left = behind_damage(line, file.readline(LONGEST))
        if left is None:
            check_header(line, self._path)
        elif line.endswith(left):
            self._add_record(len(line) - len(left), left, place)
        self._notice = "the header of its data file is damaged, its records are whole"

    def _add_record(self, offset: int, line: bytes, place: _Place | None) -> None:
        place = place or next(iter(self._blocks), None)
        record = parse_record(line, only=place)
        with misshapen():
            blocks = _places(record, ("measured", "predicted"))
            place = place or next(iter(blocks), None)
            held = frozenset(_places(record, KINDS))
            head, found_outline = text(heading(record)), outline(record)
            found = _history(record, place) if place in held else _NOTHING
            require("step", record.step, int)
        entry = _Entry(offset, len(line), record.step, head, self._places.setdefault(held, held))
        if place is not None and len(known := self._histories.setdefault(place, [])) == len(
            self._entries
        ):
            known.append(found)
        self._entries.append(entry)
        self._by_step[record.step] = entry
        for part, own in found_outline.items():
            # What an earlier record has stays as it is: it may be on the screen.
            before = self._outline[part]
            self._outline[part] = own | before if isinstance(before, dict) else before or own
        self._blocks |= blocks


@contextmanager
def misshapen() -> Iterator[None]:
    """Let what is found missing in a record, which is whole by its checksum, be a ValueError."""
    try:
        yield
    except (AttributeError, LookupError, RecursionError, TypeError) as error:
        raise ValueError(
            f"expected the fields of a record, got others ({type(error).__name__}: {error})"
        ) from error


def _record_at(file: BinaryIO, entry: _Entry, place: _Place) -> Record:
    file.seek(entry.offset)
    return parse_record(file.read(entry.length), only=place)


def _places(record: Record, kinds: Iterable[str]) -> dict[_Place, None]:
    geometries = (getattr(record, kind) for kind in kinds)
    spectra = (spectrum for geometry in geometries if geometry for spectrum in geometry.spectra)
    return {(spectrum.matrix, spectrum.block): None for spectrum in spectra}


def _history(record: Record, place: _Place) -> str:
    return text(history(record, *place))
