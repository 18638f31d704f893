"""Spectra at a few times: measured density with the predicted density and outliers on top."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from ...models.arguments import require_arguments
from ...probes.records.record import Record
from ..readings import blocks, clock, clock_symbol, landmarks, matrices
from . import style
from .density_panel import draw_density

__all__ = ["spectra"]


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
    figure, panels = style.new_figure(
        len(shown), len(kinds), *style.size(columns, len(shown), 1.8), sharex="col"
    )
    for row, record, time in zip(panels, shown, times, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            if not draw_density(axes, record, kind.name, name):
                axes.text(0.5, 0.5, "not probed", transform=axes.transAxes, ha="center")
            axes.locator_params(axis="x", nbins=6 if columns == 2 else 4)
            title = style.heading(columns, kind.title, name, f"{symbol} = {time:.4g}")
            axes.set_title(title)
    style.label_rows(columns, figure, panels[:, 0], "density\n(1 / eigenvalue unit)")
    for axes, kind in zip(panels[-1], kinds, strict=True):
        axes.set_xlabel(style.eigenvalue_axis(columns, kind))
    style.legend_below(figure)
    return figure
