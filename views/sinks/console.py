"""The console sink: each record as one line, measured beside predicted."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from tqdm import tqdm

from ...models.arguments import require_arguments
from ...probes.records.outliers import outlier_count
from ...probes.records.record import Record
from ...theory.matrix_kind import kind_named
from ...theory.spectrum import ENDS, Spectrum
from ..quantities import Compared, compared_quantities, largest, title
from ..readings import EPOCHS, STEPS, clock, failed

__all__ = ["ConsoleSink"]

_MISSING = "–"
_BETWEEN = " | "


@dataclass(frozen=True)
class _Column:
    """A column of the table: a title, and below it one or several entries.

    Attributes:
        names: of the entries.
        cells: what the record has there.
        widths: that entries usually need.
    """

    title: str
    names: tuple[str, ...]
    cells: tuple[str, ...]
    widths: tuple[int, ...]

    @property
    def width(self) -> int:
        """Room for title and entries."""
        return max(len(self.title), sum(self.widths) + len(self.widths) - 1)

    def line(self, entries: Sequence[str]) -> str:
        """Entries to the right of their places."""
        padded = (each.rjust(width) for each, width in zip(entries, self.widths, strict=True))
        return " ".join(padded).rjust(self.width)


class ConsoleSink:
    """Prints records as lines of a table, above a progress bar of tqdm if there is one.

    A line has the measured numbers (loss, accuracy, ...), measured/expected where something is
    predicted or else forecast; of vectors and matrices the largest deviation from that; of each
    block of the Hessian (H), of the information matrix (I) or of another the largest eigenvalue and
    the number of outliers. The head of the table is printed at the start, and again where its
    columns change. What failed has lines of its own.

    Args:
        stream: to print to; None is the standard output.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        require_arguments(ConsoleSink.__init__, locals())
        self._stream = stream
        self._head: list[str] = []

    def write(self, record: Record) -> None:
        """Print one record.

        Raises:
            OSError: if the stream does not take it.
        """
        lines = []
        if not failed(record):
            columns = list(_columns(record))
            head = [
                _BETWEEN.join(column.title.ljust(column.width) for column in columns).rstrip(),
                _BETWEEN.join(column.line(column.names) for column in columns),
            ]
            lines = [_BETWEEN.join(column.line(column.cells) for column in columns)]
            if head != self._head:
                lines = [*head, *lines]
                self._head = head
        lines += [f"{record.step:>8}{_BETWEEN}failed: {failure}" for failure in record.failures]
        stream = self._stream or sys.stdout
        encoding = stream.encoding or "utf-8"
        for line in lines:
            # A letter that the terminal does not have is no reason to lose the line.
            tqdm.write(line.encode(encoding, "replace").decode(encoding), file=stream)
        stream.flush()

    def close(self) -> None:
        """Nothing: the stream is left open."""


def _columns(record: Record) -> Iterator[_Column]:
    (time,), label = clock([record])
    with_theory = record.predicted is not None
    first = "measured/theory" if with_theory else ""
    if label == STEPS:
        yield _Column(first, ("step",), (str(record.step),), (8,))
    else:
        name = "epoch" if label == EPOCHS else "t"
        yield _Column(first, ("step", name), (str(record.step), f"{time:.4g}"), (8, 6))
    # Numbers of a whole spectrum, "hessian_trace", would take a screen's width: tables have them.
    whole = tuple(f"{each.matrix.replace('-', '_')}_" for each in record.measured.spectra)
    for name, entries in compared_quantities(record).items():
        if not (whole and name.startswith(whole)):
            yield from _quantity(name, entries)
    for spectrum in record.measured.spectra:
        letter = kind_named(spectrum.matrix, record.matrices).letter
        place = f"{letter} {spectrum.block}"
        top = _number(_top(spectrum))
        if record.predicted is None:
            yield _Column(place, ("top",), (top,), (8,))
        else:
            expected = record.predicted.spectrum(spectrum.matrix, spectrum.block)
            cells = (f"{top}/{_number(_top(expected))}", _counts(spectrum, expected))
            yield _Column(place, ("top", "outl."), cells, (13, 5))


def _quantity(name: str, entries: Sequence[Compared]) -> Iterator[_Column]:
    """A number, measured/expected; of several the largest deviation from what is expected."""
    first = entries[0]
    if len(entries) == 1 and first.is_single:
        if first.measured is not None:
            cell = _number(first.measured.value, 4)
            expected = first.expected
            if expected is not None:
                yield _Column("", (name,), (f"{cell}/{_number(expected.value, 4)}",), (13,))
            else:
                yield _Column("", (name,), (cell,), (max(6, len(name)),))
    elif not math.isnan(error := largest(entries)):
        yield _Column(title(name), ("error",), (_number(error),), (7,))


def _top(spectrum: Spectrum | None) -> float:
    return spectrum.top[0].value if spectrum is not None and spectrum.top else math.nan


def _counts(measured: Spectrum, predicted: Spectrum | None) -> str:
    """Numbers of outliers at both sides, measured/predicted."""
    if predicted is None or predicted.bulk is None:
        return _MISSING
    seen = sum(outlier_count(measured, predicted.bulk, side) for side in ENDS)
    return f"{seen}/{len(predicted.top) + len(predicted.bottom)}"


def _number(value: float, digits: int = 3) -> str:
    return format(value, f"#.{digits}g") if math.isfinite(value) else _MISSING
