"""Panels of predicted curves with measured points on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ...theory.spectrum import FloatArray
from . import style

__all__ = ["Curve", "Panel", "Plane", "curve_panels", "plane"]

# What lies on a heat map is legible on its darkest and on its lightest colour.
_HALO = [withStroke(linewidth=2.2, foreground="white")]


def _empty() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True)
class Curve:
    """A predicted line and what was measured of it.

    Attributes:
        label: in the legend.
        x: (L,) of the line.
        y: (L,).
        points: (M,) where it was measured.
        means: (M,) over runs.
        errors: (M,) standard errors of ``means``.
        doubts: (L,) numerical errors of ``y``.
    """

    label: str
    x: FloatArray
    y: FloatArray
    points: FloatArray = field(default_factory=_empty)
    means: FloatArray = field(default_factory=_empty)
    errors: FloatArray = field(default_factory=_empty)
    doubts: FloatArray = field(default_factory=_empty)


@dataclass(frozen=True)
class Panel:
    """Curves with the words around them.

    Attributes:
        title: of the panel.
        x_label: of the horizontal axis.
        y_label: of the vertical one.
        curves: in the order of the legend.
        marks: vertical lines, by label.
        logarithmic: whether both axes are; None for those whose numbers span much.
    """

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    marks: tuple[tuple[str, float], ...] = ()
    logarithmic: bool | None = None


@dataclass(frozen=True)
class Plane:
    """Numbers over a plane, with lines and points in it.

    Attributes:
        title: of the figure.
        x_label: of the horizontal axis.
        y_label: of the vertical one.
        value_label: of the numbers.
        x: (nx,).
        y: (ny,).
        values: (ny, nx); NaN where there is none.
        lines: label, x and y of each.
        points: label, x and y of each group of points.
        measured: label, x, y and numbers of points in the colours of ``values``.
        logarithmic: whether both axes are.
        texts: x, y and words.
    """

    title: str
    x_label: str
    y_label: str
    value_label: str
    x: FloatArray
    y: FloatArray
    values: FloatArray
    lines: tuple[tuple[str, FloatArray, FloatArray], ...] = ()
    points: tuple[tuple[str, FloatArray, FloatArray], ...] = ()
    measured: tuple[str, FloatArray, FloatArray, FloatArray] | None = None
    logarithmic: bool = False
    texts: tuple[tuple[float, float, str], ...] = ()


@style.paper()
def curve_panels(panels: Sequence[Panel], columns: style.Columns = 2) -> Figure:
    """Panels side by side, two in a row on a wide page; axes are logarithmic where that helps."""
    across = min(columns, len(panels))
    rows = -(-len(panels) // across)
    figure, grid = style.new_figure(rows, across, *style.size(columns, rows, 2.3, legend=0.4))
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw(axes, panel)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    if any(len(curve.points) for panel in panels for curve in panel.curves):
        _tell_apart(figure)
    return figure


def _tell_apart(figure: Figure) -> None:
    """The legend of what all panels have in common; each has one of its own series."""
    grey = "#666666"
    runs = Line2D([], [], color=grey, linestyle="none", marker="o", markersize=2.8)
    line = Line2D([], [], color=grey, linewidth=1.1)
    figure.legend(
        [runs, line],
        ["measured, mean ± s.e. over runs", "predicted"],
        loc="outside lower center",
        ncols=2,
    )


def _draw(axes: Axes, panel: Panel) -> None:
    every_x = np.concatenate([curve.x for curve in panel.curves])
    every_y = np.concatenate([curve.y for curve in panel.curves])
    if panel.logarithmic is None:
        axes.set_xscale(style.scale_for(every_x, ratio=20))
        axes.set_yscale(style.scale_for(every_y, ratio=20))
    elif panel.logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
    for place, curve in enumerate(panel.curves):
        color, marker, line = style.SERIES[place % len(style.SERIES)]
        style.draw_line(
            axes, curve.x, curve.y, color=color, linestyle=line, linewidth=1.1, label=curve.label
        )
        if len(curve.doubts):
            low, high = curve.y - curve.doubts, curve.y + curve.doubts
            axes.fill_between(curve.x, low, high, color=color, alpha=0.15, linewidth=0)
        if len(curve.points):
            axes.errorbar(
                curve.points, curve.means, curve.errors if len(curve.errors) else None,
                color=color, marker=marker, markersize=2.8, linestyle="none", elinewidth=0.7,
                capsize=1.3, zorder=4,
            )  # fmt: skip
    for label, place_x in panel.marks:
        axes.axvline(place_x, **style.DETECTION, label=label)
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    style.finish_scale(axes.xaxis)
    style.finish_scale(axes.yaxis)
    axes.legend(fontsize=6.5, labelspacing=0.2, borderpad=0.2, handlelength=2)


@style.paper()
def plane(shown: Plane, columns: style.Columns = 2) -> Figure:
    """A heat map with lines and points."""
    width = 4.6 if columns == 2 else style.WIDTHS[1]
    figure, panels = style.new_figure(1, 1, 3.6, width=width)
    axes: Axes = panels[0, 0]
    if shown.logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
    mesh = axes.pcolormesh(
        shown.x, shown.y, np.ma.masked_invalid(shown.values), cmap="Blues", shading="nearest",
        rasterized=True,
    )  # fmt: skip
    figure.colorbar(mesh, ax=axes, fraction=0.05).set_label(shown.value_label)
    for place, (label, x, y) in enumerate(shown.lines):
        _, _, line = style.SERIES[place % len(style.SERIES)]
        axes.plot(
            x, y, color="#0B3C5D", linestyle=line, linewidth=1.0, label=label, path_effects=_HALO
        )
    for place, (label, x, y) in enumerate(shown.points):
        axes.plot(
            x, y, linestyle="none", marker="ox"[place % 2], color="#111111", markersize=5,
            markerfacecolor="white", label=label, clip_on=False,
        )  # fmt: skip
    if shown.measured is not None:
        label, x, y, numbers = shown.measured
        lowest, highest = mesh.get_clim()
        axes.scatter(
            x, y, c=numbers, vmin=lowest, vmax=highest, cmap="Blues", s=34, edgecolors="#111111",
            linewidths=0.9, label=label, zorder=5,
        )  # fmt: skip
    for across, up, words in shown.texts:
        axes.text(
            across, up, words, ha="center", va="center", fontsize=7, path_effects=_HALO, zorder=6
        )
    axes.set(title=shown.title, xlabel=shown.x_label, ylabel=shown.y_label)
    axes.set_xlim(*_reach(shown.x, shown.logarithmic))
    axes.set_ylim(*_reach(shown.y, shown.logarithmic))
    style.finish_scale(axes.xaxis)
    style.finish_scale(axes.yaxis)
    style.legend_below(figure, columns=3 if columns == 2 else 2)
    return figure


def _reach(values: FloatArray, logarithmic: bool) -> tuple[float, float]:
    """The axis from half a cell before the first value to half a cell behind the last."""
    at = np.log(values) if logarithmic else values
    low, high = at[0] - (at[1] - at[0]) / 2, at[-1] + (at[-1] - at[-2]) / 2
    return (float(np.exp(low)), float(np.exp(high))) if logarithmic else (float(low), float(high))
