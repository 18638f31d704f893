"""Lines over the noise of a matrix and a tensor, and what descents find on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ...theory.spectrum import FloatArray
from . import style

__all__ = ["OverlapCurves", "noise_lines", "overlap_curves"]

_DASHES = ("--", ":", "-.", "-")
_BESIDE = 0.008  # of the axis, between points of two sizes


@style.paper()
def noise_lines(
    tensor_noise: FloatArray, lines: Mapping[str, FloatArray], columns: style.Columns = 2
) -> Figure:
    """Delta_2 of each line against Delta_p: below a line its statement holds.

    Args:
        tensor_noise: Delta_p, (T,).
        lines: by name, (T,) each, NaN where there is none.
        columns: of the page that the figure spans.
    """
    figure, panels = style.new_figure(1, 1, 3.2, width=4.6 if columns == 2 else style.WIDTHS[1])
    axes = panels[0, 0]
    for (name, values), (color, _, line) in zip(lines.items(), style.SERIES, strict=False):
        style.draw_line(axes, tensor_noise, values, color=color, linestyle=line, label=name)
    axes.set_xscale("log")
    axes.set_title("each holds below its line")
    axes.set_xlabel("tensor noise Δₚ (1)")
    axes.set_ylabel("matrix noise Δ₂ (1)")
    axes.set_ylim(0, 1.1)
    style.legend_below(figure, columns=2)
    return figure


@dataclass(frozen=True)
class OverlapCurves:
    """Final overlaps of descents over the noise of the matrix.

    Attributes:
        noise: Delta_2, (T,).
        sizes: N of each row of ``means``.
        means: (S, T) |overlap|, over seeds.
        errors: (S, T) their standard errors.
        found_noise: (F,) a finer grid.
        found: overlap of the minimum that knows the signal, (F,), NaN where there is none.
        lines: Delta_2 of each line, by name.
    """

    noise: FloatArray
    sizes: tuple[int, ...]
    means: FloatArray
    errors: FloatArray
    found_noise: FloatArray
    found: FloatArray
    lines: Mapping[str, float]


@style.paper()
def overlap_curves(curves: OverlapCurves, columns: style.Columns = 2) -> Figure:
    """Final overlap against Delta_2 for several N, with the lines.

    Args:
        curves: what is drawn.
        columns: of the page that the figure spans.
    """
    figure, panels = style.new_figure(1, 1, 3.4, width=4.6 if columns == 2 else style.WIDTHS[1])
    axes = panels[0, 0]
    centred = np.arange(len(curves.sizes)) - (len(curves.sizes) - 1) / 2
    beside = _BESIDE * np.ptp(curves.noise) * centred
    for place, size in enumerate(curves.sizes):
        color, marker, _ = style.SERIES[place % len(style.SERIES)]
        axes.errorbar(
            curves.noise + beside[place], curves.means[place], curves.errors[place],
            color=color, marker=marker, markersize=3.2, linestyle="none", elinewidth=0.8,
            label=f"measured ± s.e., N = {size}",
        )  # fmt: skip
    style.draw_line(
        axes,
        curves.found_noise,
        curves.found,
        label="predicted, minimum of the signal",
        **style.PREDICTED,
    )
    for (name, value), dash in zip(curves.lines.items(), _DASHES, strict=False):
        if np.isfinite(value):
            axes.axvline(
                value, color="#777777", linewidth=0.9, linestyle=dash, label=name, zorder=1
            )
    axes.set_xlabel("matrix noise Δ₂ (1)")
    axes.set_ylabel("|overlap with the signal| (1)")
    axes.set_ylim(-0.02, 1.02)
    style.legend_below(figure, columns=2)
    return figure
