"""The phase diagram: number of predicted outliers over two parameters, measured counts on top."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
from matplotlib.figure import Figure

from ...models.arguments import require_arguments
from ...probes.records.sweep import CountMap
from ...theory.spectrum import FloatArray
from . import style

__all__ = ["phase_diagram"]


@style.paper()
def phase_diagram(predicted: CountMap, measured: CountMap, columns: style.Columns = 2) -> Figure:
    """Predicted counts as shaded cells with boundaries; measured counts in round or square marks.

    Args:
        predicted: on a fine grid, with the lines between its counts.
        measured: on a coarse grid of the same two parameters.
        columns: of the page that the figure spans.
    """
    require_arguments(phase_diagram, locals())
    if predicted.counts.size == 0 and measured.counts.size == 0:
        return style.empty_figure("No count of outliers to show.")
    figure, panels = style.new_figure(1, 1, 3.6, width=4.6 if columns == 2 else style.WIDTHS[1])
    axes: Axes = panels[0, 0]
    shown = predicted if predicted.counts.size else measured
    axes.set_xscale(style.scale_for(shown.x, ratio=8))
    axes.set_yscale(style.scale_for(shown.y, ratio=8))
    if predicted.counts.size:
        _draw_cells(figure, axes, predicted)
    _draw_marks(axes, predicted, measured)
    style.finish_scale(axes.xaxis)
    style.finish_scale(axes.yaxis)
    axes.set_xlabel(style.with_unit(shown.x_name))
    axes.set_ylabel(style.with_unit(shown.y_name))
    axes.set_title(f"Number of outliers: {shown.subject}".rstrip(": "))
    style.legend_below(figure, columns=3 if columns == 2 else 2)
    return figure


def _draw_cells(figure: Figure, axes: Axes, predicted: CountMap) -> None:
    lowest, highest = int(predicted.counts.min()), int(predicted.counts.max())
    colours = LinearSegmentedColormap.from_list("counts", ["#F7FAFC", "#BBD3E6", "#6E9FC5"])
    norm = BoundaryNorm(np.arange(lowest - 0.5, highest + 1), colours.N, extend="neither")
    if lowest == highest:
        norm = BoundaryNorm([lowest - 0.5, lowest + 0.5], colours.N)
    mesh = axes.pcolormesh(
        predicted.x, predicted.y, predicted.counts, cmap=colours, norm=norm, shading="nearest",
        rasterized=True,
    )  # fmt: skip
    bar = figure.colorbar(mesh, ax=axes, ticks=range(lowest, highest + 1), fraction=0.05)
    bar.set_label("predicted number of outliers")
    bar.outline.set_linewidth(0.5)
    bar.minorticks_off()
    for boundary in predicted.boundaries:
        axes.plot(
            *boundary.points.T, color="#0B3C5D", linewidth=1.0, label="predicted boundary", zorder=3
        )


def _draw_marks(axes: Axes, predicted: CountMap, measured: CountMap) -> None:
    """Each measured count in a white circle if the nearest predicted one agrees, else black."""
    looks: dict[bool, dict[str, Any]] = {
        True: {"marker": "o", "color": "white", "label": "measured, agrees"},
        False: {"marker": "s", "color": "#111111", "label": "measured, differs"},
    }
    agreement: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for (row, column), count in np.ndenumerate(measured.counts):
        x, y = float(measured.x[column]), float(measured.y[row])
        agrees = predicted.counts.size == 0 or count == _at(predicted, x, y)
        agreement[agrees].append((x, y))
        axes.text(
            x, y, str(count), ha="center", va="center_baseline", fontsize=7, zorder=5,
            color="#111111" if agrees else "white",
        )  # fmt: skip
    for agrees, places in agreement.items():
        if places:
            axes.plot(
                *np.array(places).T, linestyle="none", markersize=10, markeredgecolor="#111111",
                markeredgewidth=0.8, zorder=4, clip_on=False, **looks[agrees],
            )  # fmt: skip


def _at(predicted: CountMap, x: float, y: float) -> int:
    return int(predicted.counts[_nearest(predicted.y, y), _nearest(predicted.x, x)])


def _nearest(grid: FloatArray, value: float) -> int:
    return int(np.abs(grid - value).argmin())
