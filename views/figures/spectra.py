"""Spectra at a few times: measured density with the predicted density and outliers on top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...probes.record import Record
from ...theory.spectrum import Bulk, Density, Matrix, Spectrum
from .. import style
from ..readings import (
    MATRICES,
    MATRIX_NAMES,
    SIDES,
    blocks,
    clock,
    is_outlier,
    landmarks,
    pairs,
)

__all__ = ["spectra"]

_POINTS = 70
# The density is drawn over this many decades below its largest value.
_DECADES = 4.0


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
    symbol = label.split(" = ")[0].removeprefix("time ")
    figure, panels = style.new_figure(
        len(shown), 2, *style.size(columns, len(shown), 1.8), sharex="col"
    )
    for row, record, time in zip(panels, shown, times, strict=True):
        for axes, matrix in zip(row, MATRICES, strict=True):
            if not _draw(axes, record, matrix, name):
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


def _draw(axes: Axes, record: Record, matrix: Matrix, block: str) -> bool:
    measured = record.measured.spectrum(matrix, block)
    predicted = record.predicted.spectrum(matrix, block) if record.predicted else None
    if measured is None and predicted is None:
        return False
    bulk = predicted.bulk if predicted is not None else None
    largest = 0.0
    if predicted is not None and predicted.density is not None:
        _predicted_density(axes, predicted.density)
        largest = float(np.nanmax(predicted.density.values, initial=0.0))
    if measured is not None and measured.density is not None:
        _measured_density(axes, measured.density, bulk)
        largest = max(largest, float(np.nanmax(measured.density.values, initial=0.0)))
    if largest > 0:
        axes.set_yscale("log")
        axes.set_ylim(largest / 10**_DECADES, 4 * largest)
        style.finish_scale(axes.yaxis)
    else:
        axes.set_yticks([])
    _draw_outliers(axes, measured, predicted)
    if bulk is not None and bulk.atom > 0:
        axes.annotate(
            f"predicted atom at 0: {bulk.atom:.3g}",
            (1, 1),
            xycoords="axes fraction",
            ha="right",
            va="top",
            fontsize=6.5,
        )
    return True


def _predicted_density(axes: Axes, density: Density) -> None:
    # Zeros far below the axis let the curve fall through it at the edges.
    shown = np.maximum(density.values, 1e-30)
    look = style.PREDICTED | {"linewidth": 1.2, "zorder": 5}
    axes.plot(density.points, shown, label="predicted density", **look)


def _measured_density(axes: Axes, density: Density, bulk: Bulk | None) -> None:
    """The density inside the detection edges: beyond them each eigenvalue is marked by itself."""
    every = slice(None, None, max(1, len(density.points) // _POINTS))
    points, values, errors = density.points[every], density.values[every], density.errors[every]
    # A logarithmic axis has no place for what is zero within its error.
    shown = values > errors
    if bulk is not None:
        shown &= (points >= bulk.lower.detection) & (points <= bulk.upper.detection)
    axes.errorbar(
        points[shown],
        values[shown],
        yerr=errors[shown],
        label="measured density ± s.e.",
        **(style.MEASURED | {"markersize": 2.2, "capsize": 0, "elinewidth": 0.6}),
    )


def _draw_outliers(axes: Axes, measured: Spectrum | None, predicted: Spectrum | None) -> None:
    """Predicted outliers as stems from the axis, measured ones as arrow heads that point at it."""
    stems = [pair.value for side in SIDES for pair in pairs(predicted, side)]
    bulk = predicted.bulk if predicted is not None else None
    arrows = [
        pair.value
        for side in SIDES
        for pair in pairs(measured, side)
        if is_outlier(pair.value, bulk, side)
    ]
    across = axes.get_xaxis_transform()
    if stems:
        axes.vlines(
            stems, 0, 0.3, transform=across, label="predicted outlier",
            **(style.PREDICTED | {"linestyle": (0, (3, 1))}),
        )  # fmt: skip
    if arrows:
        axes.plot(
            arrows, np.full(len(arrows), 0.36), transform=across, label="measured outlier",
            **style.ARROW,
        )  # fmt: skip
