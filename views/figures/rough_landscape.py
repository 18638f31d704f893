"""A landscape without help from the signal: ageing of a descent, and where the minima are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...theory.spectrum import FloatArray
from . import style

__all__ = ["ageing", "complexity_map"]

_LEVELS = 16  # at most


@style.paper()
def ageing(
    times: FloatArray, gaps: Mapping[str, tuple[FloatArray, FloatArray]], columns: style.Columns = 2
) -> Figure:
    """2 sigma - mu against time, with the slope of t^(-2/3).

    Args:
        times: (T,).
        gaps: by name, 2 sigma - mu and its error, (T,) each.
        columns: of the page that the figure spans.
    """
    figure, panels = style.new_figure(1, 1, 3.2, width=4.6 if columns == 2 else style.WIDTHS[1])
    axes = panels[0, 0]
    for (name, (gap, error)), (color, _, line) in zip(gaps.items(), style.SERIES, strict=False):
        axes.fill_between(times, gap - error, gap + error, color=color, alpha=0.2, linewidth=0)
        style.draw_line(axes, times, gap, color=color, linestyle=line, label=name)
        guide = gap[-1] * (times / times[-1]) ** (-2 / 3)
        axes.plot(times, guide, color="#999999", linewidth=0.8, label="slope −2/3", zorder=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("time t (1)")
    axes.set_ylabel("2σ − μ (loss per squared parameter)")
    style.legend_below(figure, columns=2)
    return figure


@style.paper()
def complexity_map(
    overlaps: FloatArray, energies: FloatArray, values: FloatArray, columns: style.Columns = 2
) -> Figure:
    """Complexity of minima over overlap and energy; blank where there are none.

    Args:
        overlaps: m, (M,).
        energies: e, (E,).
        values: (E, M); below 0 or NaN there are no minima.
        columns: of the page that the figure spans.
    """
    figure, panels = style.new_figure(1, 1, 3.4, width=4.6 if columns == 2 else style.WIDTHS[1])
    axes = panels[0, 0]
    heights = np.nan_to_num(values, nan=-1.0, neginf=-1.0)
    levels = MaxNLocator(_LEVELS).tick_values(0, max(float(heights.max()), 1e-9))
    mesh = axes.contourf(overlaps, energies, heights, levels, cmap="cividis")
    bar = figure.colorbar(mesh, ax=axes, fraction=0.05)
    bar.set_label("complexity of minima (1)")
    bar.outline.set_linewidth(0.5)
    axes.contour(overlaps, energies, heights, [0.0], colors="#111111")
    axes.set_xlabel("overlap with the signal (1)")
    axes.set_ylabel("energy H/N (loss per parameter)")
    return figure
