"""Spectra at a few times: measured density with the predicted density and outliers on top."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from ...probes.records.record import Record
from ..readings import MATRICES, MATRIX_NAMES, blocks, clock, clock_symbol, landmarks
from . import style
from .density_panel import draw_density

__all__ = ["spectra"]


@style.paper()
def spectra(records: Sequence[Record], block: str = "", columns: style.Columns = 2) -> Figure:
    """Density of one block's Hessian (left) and information matrix (right), one row a time.

    Args:
        records: of one run; the first, the middle and the last with a measured spectrum are shown.
        block: which block; the first if empty.
        columns: of the page that the figure spans.
    """
    names = blocks(records)
    name = block or (names[0] if names else "")
    held = [record for record in records if _anything(record, name)]
    if not held:
        return style.empty_figure("No spectral density to show.")
    shown = landmarks(held)
    times, label = clock(shown)
    symbol = clock_symbol(label)
    figure, panels = style.new_figure(
        len(shown), 2, *style.size(columns, len(shown), 1.8), sharex="col"
    )
    for row, record, time in zip(panels, shown, times, strict=True):
        for axes, matrix in zip(row, MATRICES, strict=True):
            if not draw_density(axes, record, matrix, name):
                axes.text(0.5, 0.5, "not probed", transform=axes.transAxes, ha="center")
            axes.locator_params(axis="x", nbins=6 if columns == 2 else 4)
            title = style.heading(columns, MATRIX_NAMES[matrix], name, f"{symbol} = {time:.4g}")
            axes.set_title(title)
    style.label_rows(columns, figure, panels[:, 0], "density\n(1 / eigenvalue unit)")
    for axes in panels[-1]:
        unit = "eigenvalue\n(loss/param.²)" if columns == 1 else f"eigenvalue ({style.CURVATURE})"
        axes.set_xlabel(unit)
    style.legend_below(figure)
    return figure


def _anything(record: Record, block: str) -> bool:
    found = (record.measured.spectrum(matrix, block) for matrix in MATRICES)
    return any(spectrum is not None for spectrum in found)
