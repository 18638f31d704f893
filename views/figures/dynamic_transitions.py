"""Dynamic transitions: outliers leave, join, split and merge while the model trains."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...models.arguments import require_arguments
from ...probes.records.record import Record, Transition
from ...theory.spectrum import SIDE_WORDS, FloatArray
from ..readings import blocks, clock, matrices
from . import style
from .eigenvalue_paths import draw_failures, draw_paths

__all__ = ["dynamic_transitions"]

_TEXT_LINES = 4
# Of one character, as a share of the axis.
_TEXT_WIDTH: dict[style.Columns, float] = {1: 0.043, 2: 0.019}


@style.paper()
def dynamic_transitions(
    records: Sequence[Record], names: Sequence[str] = (), columns: style.Columns = 2
) -> Figure:
    """Extreme eigenvalues along training, one column for each matrix.

    Args:
        records: of one run, in order.
        names: blocks to show, one a row; all if empty.
        columns: of the page that the figure spans.
    """
    require_arguments(dynamic_transitions, locals())
    shown = tuple(names) or blocks(records)
    if not blocks(records):
        return style.empty_figure("No spectrum along training to show.")
    times, label = clock(records)
    kinds = matrices(records)
    figure, panels = style.new_figure(
        len(shown), len(kinds), *style.size(columns, len(shown), 2.2), sharex=True
    )
    for row, block in zip(panels, shown, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            if not draw_paths(axes, times, records, kind.name, block):
                axes.text(0.5, 0.5, "not probed", transform=axes.transAxes, ha="center")
            draw_failures(axes, times, records, kind.name, block)
            style.finish_scale(axes.yaxis)
            lines = _mark_transitions(axes, times, records, kind.name, block, columns)
            title = style.heading(columns, kind.title, block)
            axes.set_title(title, pad=6 + 7 * lines)
    style.label_eigenvalues(columns, figure, panels, kinds)
    for axes in panels[-1]:
        axes.set_xlabel(label)
    style.legend_below(figure)
    return figure


def _mark_transitions(
    axes: Axes,
    times: FloatArray,
    records: Sequence[Record],
    matrix: str,
    block: str,
    columns: style.Columns,
) -> int:
    """A vertical line and words at every record with a transition; the lines of text they take."""
    marks: list[tuple[float, str]] = []
    for time, record in zip(times, records, strict=True):
        here = dict.fromkeys(
            _word(transition, columns)
            for transition in record.transitions
            if (transition.matrix, transition.block) == (matrix, block)
        )
        marks.extend((time, word) for word in here)
    first, last = axes.get_xlim()
    free = [first] * _TEXT_LINES  # where the text of each line ends so far
    used = 0
    for time, word in marks:
        axes.axvline(
            time, color="#111111", linewidth=0.7, linestyle="-.", zorder=2,
            label="predicted transition",
        )  # fmt: skip
        width = _TEXT_WIDTH[columns] * len(word) * (last - first)
        left = min(max(time - width / 2, first), last - width)
        line = next((i for i, end in enumerate(free) if end <= left), _TEXT_LINES - 1)
        free[line] = left + width
        used = max(used, line + 1)
        axes.annotate(
            word,
            (time, 1),
            xycoords=("data", "axes fraction"),
            xytext=(left + width / 2, 2 + 7 * line),
            textcoords=("data", "offset points"),
            ha="center",
            va="bottom",
            fontsize=6,
            annotation_clip=False,
        )
    return used


def _word(transition: Transition, columns: style.Columns) -> str:
    side = "" if transition.side == "top" else f"{SIDE_WORDS[transition.side]} "
    if transition.is_meeting:
        return f"{side}{transition.kind}"
    kind = f"{transition.kind} " if columns == 2 else ""
    return f"{side}{kind}{transition.before}→{transition.after}"
