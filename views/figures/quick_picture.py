"""Pictures for a board: laid out by counting letters, since measuring them takes half the time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, ScalarFormatter
from numpy.typing import NDArray

from . import style

__all__ = ["lay_out", "quick_pixels"]

# Inches: of a line of text, of a letter of a tick label, from axes to tick label, and around.
_LINE, _LETTER, _TICK, _PAD = 0.15, 0.058, 0.07, 0.06
_NUMBER = 6  # letters of a number on an axis
_OFFSET = 0.1  # of a power of ten above an axis


@style.paper()
def quick_pixels(figure: Figure, dpi: float = 110) -> NDArray[np.uint8]:
    """A figure of a grid of panels, with a legend below or none, as (height, width, 3) bytes.

    Room is kept for as many letters as tick labels have at most, numbers on an axis six; a power
    of ten is written as 1e-3.
    """
    figure.set_layout_engine("none")
    lay_out(figure)
    return style.pixels(figure, dpi)


def lay_out(figure: Figure) -> None:
    """Place the panels of a figure; see `quick_pixels`."""
    panels = figure.axes
    if not panels:
        return
    width, height = figure.get_size_inches()
    ticks = {axes: (_room(axes.xaxis, False), _room(axes.yaxis, True)) for axes in panels}
    below = max(ticks[axes][0] + _LINE * _lines(axes.get_xlabel()) for axes in panels)
    left = max(ticks[axes][1] + _LINE * _lines(axes.get_ylabel()) for axes in panels)
    above = max(_LINE * _lines(axes.get_title()) for axes in panels) + _PAD + _OFFSET
    legend = sum(_LINE * _legend_rows(each) + 2 * _PAD for each in figure.legends)
    grid = panels[0].get_subplotspec()
    assert grid is not None
    rows, columns = grid.get_gridspec().get_geometry()
    # What each panel has for itself, with its labels, and without them.
    whole = np.array([(width - 2 * _PAD) / columns, (height - legend - _PAD) / rows])
    own = whole - [left + 2 * _PAD, above + below]
    for axes in panels:
        spec = axes.get_subplotspec()
        assert spec is not None
        x = _PAD + whole[0] * spec.colspan.start + left
        y = height - _PAD - whole[1] * spec.rowspan.start - above - own[1]
        axes.set_position((x / width, y / height, own[0] / width, own[1] / height))
        axes.xaxis.set_label_coords(0.5, -ticks[axes][0] / own[1])
        axes.yaxis.set_label_coords(-ticks[axes][1] / own[0], 0.5)
        axes.set_title(axes.get_title(), y=1.0)


def _room(axis: Axis, sideways: bool) -> float:
    """Inches that tick labels take beside an axis; numbers on it are written without TeX."""
    formatter: Any = axis.get_major_formatter()
    if isinstance(formatter, ScalarFormatter):
        formatter.set_useMathText(False)
    labels = formatter.seq if isinstance(formatter, FixedFormatter) else ["0" * _NUMBER]
    if not axis.get_visible() or not any(labels) or not len(axis.get_major_locator()()):
        return _PAD
    letters = max(len(label) if "$" not in label else 2 for label in labels)
    return _TICK + _PAD / 2 + (_LETTER * letters if sideways else _LINE)


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _legend_rows(legend: Any) -> int:
    rows: int = math.ceil(len(legend.get_texts()) / legend._ncols)
    return rows
