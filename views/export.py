"""Records as files for other tools: CSV, NumPy archive, Parquet."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..models.arguments import require_arguments
from ..probes.records.atomic import write_atomically
from ..probes.records.record import Record
from ..probes.records.record_file import Run
from ..probes.records.record_table import Row, rows
from ..theory.spectrum import FloatArray

__all__ = ["FORMATS", "arrays", "export"]

_DENSITY = ("points", "values", "errors", "cumulative", "cumulative_errors")
_NUMBERS = ("value", "error", "standard_error", "band_lower", "band_upper")


def export(run: Run, path: Path, form: str) -> None:
    """Write the records of a run; the file is complete or as it was.

    Args:
        run: what is written.
        path: of the file; its folder is made if need be.
        form: "csv" and "parquet": the table of `Run.table`; "npz": see `arrays`.

    Raises:
        ValueError: if the format is unknown, or needs a package that is not installed, or if there
            is a file that no export wrote, which stays.
        OSError: if it cannot be written.
    """
    require_arguments(export, locals())
    if form not in FORMATS:
        raise ValueError(f"format: expected one of {sorted(FORMATS)}, got {form!r}")
    if path.exists() and not _exported(path, form):
        raise ValueError(
            f"output: expected a new file, or one that an export as {form} wrote, got {str(path)!r}"
        )
    write = FORMATS[form](run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write)


def _exported(path: Path, form: str) -> bool:
    """Whether the file is one that `export` replaces: empty, or with the columns it writes."""
    if not path.is_file():
        return False
    if path.stat().st_size == 0:
        return True
    columns = [field.name for field in fields(Row)]
    try:
        if form == "csv":
            with path.open("rb") as file:
                return file.readline(2**12) == (",".join(columns) + "\n").encode("ascii")
        if form == "npz":
            with path.open("rb") as file, np.load(file) as archive:
                return {"step", "epoch", "time", "failure"} <= set(archive.files)
        from pyarrow import parquet

        return list(parquet.read_schema(path).names) == columns
    except (ImportError, ValueError, AttributeError, EOFError, zipfile.BadZipFile):
        return False


def arrays(run: Run) -> dict[str, NDArray[Any]]:
    """Each quantity over the N records, NaN where a record does not have it.

    Names are those of `Run.table`, joined by slashes:

    * ``step``, ``epoch``, ``time``, ``failure``: (N,);
    * ``KIND/QUANTITY`` or ``KIND/MATRIX/BLOCK/QUANTITY``: (N,) values; the same name with
      ``:error``, ``:standard_error``, ``:band_lower`` or ``:band_upper`` behind it, where known;
    * ``KIND/MATRIX/BLOCK/density/points``, ``values``, ``errors``, ``cumulative`` and
      ``cumulative_errors``: (N, G), G the longest grid; shorter ones are filled up with NaN.
    """
    count = len(run.records)
    found: dict[str, NDArray[Any]] = {
        "step": np.array([record.step for record in run.records], np.int64),
        "epoch": np.array([record.epoch for record in run.records], np.float64),
        "time": np.array([record.time for record in run.records], np.float64),
        "failure": np.array([record.failure for record in run.records], np.str_),
    }
    for place, record in enumerate(run.records):
        for row in rows(record):
            parts = (row.kind, row.matrix, row.block, row.quantity)
            name = "/".join(part for part in parts if part)
            for column in _NUMBERS:
                value = getattr(row, column)
                if column == "value" or not np.isnan(value):
                    key = name if column == "value" else f"{name}:{column}"
                    found.setdefault(key, np.full(count, np.nan))[place] = value
    found.update(_densities(run.records))
    return found


def _densities(records: Sequence[Record]) -> dict[str, NDArray[Any]]:
    curves: dict[str, dict[int, FloatArray]] = {}
    for place, record in enumerate(records):
        for kind in ("measured", "predicted", "forecast"):
            geometry = getattr(record, kind)
            for spectrum in geometry.spectra if geometry is not None else ():
                if spectrum.density is not None:
                    name = f"{kind}/{spectrum.matrix}/{spectrum.block}/density"
                    for part in _DENSITY:
                        curve = getattr(spectrum.density, part)
                        curves.setdefault(f"{name}/{part}", {})[place] = curve
    found = {}
    for name, held in curves.items():
        found[name] = np.full((len(records), max(map(len, held.values()))), np.nan)
        for place, curve in held.items():
            found[name][place, : len(curve)] = curve
    return found


def _csv(run: Run) -> Callable[[BinaryIO], object]:
    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        table = run.table()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(table)
        # Python's own floats are written so that they come back bit for bit.
        lines.writerows(zip(*(column.tolist() for column in table.values()), strict=True))
        text.detach()

    return write


def _npz(run: Run) -> Callable[[BinaryIO], object]:
    # By dictionary: a name of ours must not be taken for an argument of the function.
    return lambda file: np.savez_compressed(file, allow_pickle=False, **arrays(run))


def _parquet(run: Run) -> Callable[[BinaryIO], object]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            "format: parquet needs the extra of that name: pip install 'spectrain[parquet]'"
        ) from error
    # An empty column does not show its type.
    types = {"i": pyarrow.int64(), "f": pyarrow.float64(), "O": pyarrow.string()}
    columns = {
        name: pyarrow.array(column.tolist(), types[column.dtype.kind])
        for name, column in run.table().items()
    }
    # The range of a row group leaves NaN out, and readers that filter by it lose what is not known.
    return lambda file: parquet.write_table(pyarrow.table(columns), file, write_statistics=False)


# By name. To add one: a function of a run that returns what writes it, a line here.
FORMATS: dict[str, Callable[[Run], Callable[[BinaryIO], object]]] = {
    "csv": _csv,
    "npz": _npz,
    "parquet": _parquet,
}
