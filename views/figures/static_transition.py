"""The static transition: outliers leave the bulk as a parameter grows, before any training."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...models.arguments import require_arguments
from ...probes.records.sweep import Sweep
from ..readings import blocks, matrices
from . import style
from .eigenvalue_paths import draw_paths

__all__ = ["static_transition"]


@style.paper()
def static_transition(sweep: Sweep, columns: style.Columns = 2) -> Figure:
    """Largest eigenvalues against a parameter at initialisation, with the BBP thresholds.

    Args:
        sweep: one probing a value; one row of panels for each block it holds.
        columns: of the page that the figure spans.
    """
    require_arguments(static_transition, locals())
    names = blocks(sweep.records)
    if not names:
        return style.empty_figure(f"No spectrum over {sweep.parameter} to show.")
    kinds = matrices(sweep.records)
    figure, panels = style.new_figure(
        len(names), len(kinds), *style.size(columns, len(names), 2.3), sharex=True
    )
    for row, block in zip(panels, names, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            if not draw_paths(axes, sweep.values, sweep.records, kind.name, block):
                axes.text(0.5, 0.5, "not probed", transform=axes.transAxes, ha="center")
            when = ("at initialisation",) if columns == 2 else ()
            axes.set_title(style.heading(columns, kind.title, block, *when))
            axes.set_xscale(style.scale_for(sweep.values, ratio=8))
            _mark_thresholds(axes, sweep, kind.name, block)
    style.label_eigenvalues(columns, figure, panels, kinds)
    for axes in panels.flat:
        style.finish_scale(axes.yaxis)
    name = style.with_unit(sweep.parameter)
    for axes in panels[-1]:
        style.finish_scale(axes.xaxis)
        if columns == 2:
            axes.set_xlabel(name)
        else:
            axes.set_xlabel(name.replace(" (", "\n("), fontsize="small")
    style.legend_below(figure)
    return figure


def _mark_thresholds(axes: Axes, sweep: Sweep, matrix: str, block: str) -> None:
    for threshold in sweep.thresholds:
        if (threshold.matrix, threshold.block) == (matrix, block):
            axes.axvline(
                threshold.value, color="#111111", linewidth=0.8, linestyle="-.", zorder=2,
                label="BBP threshold (predicted)",
            )  # fmt: skip
            axes.annotate(
                f"BBP {threshold.value:.3g}",
                (threshold.value, 1),
                xycoords=("data", "axes fraction"),
                xytext=(2, -2),
                textcoords="offset points",
                rotation=90,
                va="top",
                fontsize=6.5,
            )
