"""A descent on a sphere: its numbers, measured beside forecast."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ...probes.records.record import Record
from ...theory.geometry import Geometry
from ...theory.spectrum import FloatArray
from ..readings import clock
from . import style

__all__ = ["NUMBERS", "descent_path"]

NUMBERS = {
    "overlap": "overlap with the signal (1)",
    "multiplier": "multiplier μ (loss per squared parameter)",
    "energy": "energy H/N (loss per parameter)",
    "gradient_norm": "gradient norm / √N (loss per parameter)",
}


@style.paper()
def descent_path(records: Sequence[Record], columns: style.Columns = 2) -> Figure:
    """Overlap, multiplier, energy and gradient norm: points measured, lines by the law.

    Args:
        records: of one run, in order.
        columns: of the page that the figure spans.
    """
    if not any(record.measured.quantity("overlap") for record in records):
        return style.empty_figure("No descent with an overlap to show.")
    times, label = clock(records)
    across = 2 if columns == 2 else 1
    rows = len(NUMBERS) // across
    figure, panels = style.new_figure(rows, across, *style.size(columns, rows, 1.7), sharex=True)
    for axes, (name, title) in zip(panels.flat, NUMBERS.items(), strict=True):
        measured = _values([record.measured for record in records], name)
        forecast = _values([record.forecast for record in records], name)
        style.draw_line(axes, times, forecast, label="forecast by the law", **style.FORECAST)
        axes.plot(
            times,
            measured,
            label="measured",
            **{k: v for k, v in style.MEASURED.items() if not k.startswith(("elinewidth", "cap"))},
        )
        axes.set_title(title)
    for axes in panels[-1]:
        axes.set_xlabel(label)
    style.legend_below(figure)
    return figure


def _values(found: Sequence[Geometry | None], name: str) -> FloatArray:
    quantities = [None if each is None else each.quantity(name) for each in found]
    return np.array([math.nan if each is None else float(each.values) for each in quantities])
