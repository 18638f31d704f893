"""Dynamic transitions: outliers leave, join, split and merge while the model trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...probes.record import Record, Transition
from ...theory.spectrum import FloatArray, Matrix
from .. import style
from ..eigenvalue_paths import draw_failures, draw_paths
from ..readings import MATRICES, MATRIX_NAMES, blocks, clock

__all__ = ["dynamic_transitions"]


@style.paper()
def dynamic_transitions(records: Sequence[Record], names: Sequence[str] = ()) -> Figure:
    """Extreme eigenvalues along training: Hessian left, information matrix right.

    Args:
        records: of one run, in order.
        names: blocks to show, one a row; all if empty.
    """
    shown = tuple(names) or blocks(records)
    if not blocks(records):
        return style.empty_figure("No spectrum along training to show.")
    times, label = clock(records)
    figure, panels = style.new_figure(len(shown), 2, 0.9 + 2.2 * len(shown), sharex=True)
    for row, block in zip(panels, shown, strict=True):
        for axes, matrix in zip(row, MATRICES, strict=True):
            if not draw_paths(axes, times, records, matrix, block):
                axes.text(0.5, 0.5, "not probed", transform=axes.transAxes, ha="center")
            draw_failures(axes, times, records)
            style.finish_scale(axes.yaxis)
            axes.set_title(f"{MATRIX_NAMES[matrix]}, {block}", pad=18)
            _mark_transitions(axes, times, records, matrix, block)
        row[0].set_ylabel(f"eigenvalue\n({style.CURVATURE})")
    for axes in panels[-1]:
        axes.set_xlabel(label)
    style.legend_below(figure)
    return figure


def _mark_transitions(
    axes: Axes, times: FloatArray, records: Sequence[Record], matrix: Matrix, block: str
) -> None:
    """A vertical line and a word at every record with a transition."""
    marks: list[tuple[float, str]] = []
    for time, record in zip(times, records, strict=True):
        here = [
            transition
            for transition in record.transitions
            if (transition.matrix, transition.block) == (matrix, block)
        ]
        if here:
            marks.append((time, "\n".join(map(_word, here))))
    if not marks:
        return
    first, last = axes.get_xlim()
    places = _spread(np.array([time for time, _ in marks]), 0.15 * (last - first), last)
    for (time, text), place in zip(marks, places, strict=True):
        axes.axvline(
            time, color="#111111", linewidth=0.7, linestyle="-.", zorder=2,
            label="predicted transition",
        )  # fmt: skip
        axes.annotate(
            text,
            (time, 1),
            xycoords=("data", "axes fraction"),
            xytext=(place, 1.03),
            textcoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=6,
            linespacing=0.95,
        )


def _word(transition: Transition) -> str:
    side = "" if transition.side == "right" else "left "
    if transition.before == transition.after:
        return f"{side}{transition.kind}"
    return f"{side}{transition.kind}\n{transition.before}→{transition.after}"


def _spread(places: FloatArray, gap: float, last: float) -> FloatArray:
    """Increasing places, moved apart by at least ``gap`` but not beyond ``last``."""
    moved = places.copy()
    for index in range(1, len(moved)):
        moved[index] = max(moved[index], moved[index - 1] + gap)
    if moved[-1] > last:
        moved[-1] = last
        for index in range(len(moved) - 2, -1, -1):
            moved[index] = min(moved[index], moved[index + 1] - gap)
    return moved
