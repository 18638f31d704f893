"""Spectra at a few times: measured density with the predicted density and outliers on top."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...models.arguments import require_arguments
from ...probes.records.record import Record
from ...theory.matrix_kind import MatrixKind
from ..readings import blocks, clock, clock_symbol, landmarks, matrices
from . import style
from .density_panel import draw_density
from .kept_picture import KeptPicture

__all__ = ["SpectraPicture", "spectra"]


@style.paper()
def spectra(records: Sequence[Record], block: str = "", columns: style.Columns = 2) -> Figure:
    """Density of one block, one row a time, one column for each matrix.

    Args:
        records: of one run; the first, the middle and the last with a measured spectrum are shown.
        block: which block; the first if empty.
        columns: of the page that the figure spans.
    """
    require_arguments(spectra, locals())
    names = blocks(records)
    name = block or (names[0] if names else "")
    kinds = matrices(records)
    held = [
        record
        for record in records
        if any(record.measured.spectrum(kind.name, name) for kind in kinds)
    ]
    if not held:
        return style.empty_figure("No spectral density to show.")
    shown = landmarks(held)
    times, label = clock(shown)
    symbol = clock_symbol(label)
    figure, panels = _panels(len(shown), kinds, columns)
    for row, record, time in zip(panels, shown, times, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            _draw_panel(axes, record, kind, name, f"{symbol} = {time:.4g}", columns)
    style.legend_below(figure)
    return figure


class SpectraPicture:
    """`spectra` of one block and one record after the other, for a board: the panels stay.

    Args:
        kinds: of the matrices, a panel each.
    """

    @style.paper()
    def __init__(self, kinds: Sequence[MatrixKind]) -> None:
        self._kinds = tuple(kinds)
        figure, _ = _panels(1, self._kinds, 2)
        self._picture = KeptPicture(figure)

    def pixels(self, record: Record, block: str) -> NDArray[np.uint8]:
        """The densities of a record as (height, width, 3) bytes."""
        (time,), label = clock([record])
        moment = f"{clock_symbol(label)} = {time:.4g}"
        return self._picture.pixels(
            [
                partial(
                    _draw_panel, record=record, kind=kind, block=block, moment=moment, columns=2
                )
                for kind in self._kinds
            ]
        )


def _panels(
    rows: int, kinds: Sequence[MatrixKind], columns: style.Columns
) -> tuple[Figure, NDArray[Any]]:
    """Labelled panels, a row for each record and a column for each matrix."""
    figure, panels = style.new_figure(
        rows, len(kinds), *style.size(columns, rows, 1.8), sharex="col"
    )
    style.label_rows(columns, figure, panels[:, 0], "density\n(1 / eigenvalue unit)")
    for axes, kind in zip(panels[-1], kinds, strict=True):
        axes.set_xlabel(style.eigenvalue_axis(columns, kind))
    return figure, panels


def _draw_panel(
    axes: Axes,
    record: Record,
    kind: MatrixKind,
    block: str,
    moment: str,
    columns: style.Columns,
) -> None:
    if not draw_density(axes, record, kind.name, block):
        axes.text(0.5, 0.5, "not probed", transform=axes.transAxes, ha="center")
    axes.locator_params(axis="x", nbins=6 if columns == 2 else 4)
    axes.set_title(style.heading(columns, kind.title, block, moment))
