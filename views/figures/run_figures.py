"""The figures of a run by name, each drawn from what its data file holds."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from ...probes.records.record import Record
from ...probes.records.record_file import Run
from .. import figures
from .style import Columns

__all__ = ["RUN_FIGURES"]


def _last_gram_maps(run: Run, columns: Columns) -> Figure:
    held = [record for record in run.records if record.measured.gram.size]
    return figures.gram_maps(held[-1] if held else Record(0), columns)


# To add one: a function of a run and of the columns of the page, a line here.
RUN_FIGURES: dict[str, Callable[[Run, Columns], Figure]] = {
    "dynamic-transitions": lambda run, columns: figures.dynamic_transitions(
        run.records, columns=columns
    ),
    "spectra": lambda run, columns: figures.spectra(run.records, columns=columns),
    "gram-entries": lambda run, columns: figures.gram_entries(run.records, run.dimension, columns),
    "gram-maps": _last_gram_maps,
    "overlaps": lambda run, columns: figures.overlaps(run.records, columns=columns),
}
