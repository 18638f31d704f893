"""Eigenvectors of the outliers: their overlap with the reference directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...models.arguments import require_arguments
from ...probes.records.outliers import is_outlier, pairs
from ...probes.records.record import Record
from ...theory.spectrum import ENDS, End, FloatArray
from ..readings import blocks, clock, matrices, spectrum_of
from . import style
from .eigenvalue_paths import draw_failures

__all__ = ["has_overlaps", "overlaps"]

# Broad and pale, so that a direction that carries all of the overlap shows on top of it.
_SPAN = "#A9A9A9"
_ALL = "span"


@style.paper()
def overlaps(records: Sequence[Record], block: str = "", columns: style.Columns = 2) -> Figure:
    """Squared norm of each outlier's eigenvector in the span of all reference directions.

    Beside it the squared cosine with each direction that stays.

    Args:
        records: of one run, in order.
        block: which block; the first if empty.
        columns: of the page that the figure spans.
    """
    require_arguments(overlaps, locals())
    names = blocks(records)
    name = block or (names[0] if names else "")
    shown = [
        (kind, side, rank)
        for kind in matrices(records)
        for side, rank in _outlier_ranks(records, kind.name, name)
    ]
    if not shown:
        return style.empty_figure("No predicted outlier with an eigenvector to show.")
    times, label = clock(records)
    rows = math.ceil(len(shown) / 2)
    figure, panels = style.new_figure(
        rows, 2, *style.size(columns, rows, 1.7), sharex=True, sharey=True
    )
    for axes, (kind, side, rank) in zip(panels.flat, shown, strict=False):
        _draw_outlier(axes, times, records, kind.name, name, side, rank)
        draw_failures(axes, times, records, kind.name, name)
        axes.set_title(style.heading(columns, kind.title, name, f"{side} {rank + 1}"))
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    style.label_rows(columns, figure, panels[:, 0], "squared cosine (1)")
    for axes in panels.flat[max(0, len(shown) - 2) : len(shown)]:
        axes.set_xlabel(label)
        axes.tick_params(labelbottom=True)
    panels[0, 0].set_ylim(-0.04, 1.04)
    style.legend_below(figure)
    return figure


def _outlier_ranks(
    records: Sequence[Record], matrix: str, block: str
) -> tuple[tuple[End, int], ...]:
    """Sides and ranks of the outliers that are predicted, once at least, with their eigenvector."""
    most: dict[End, int] = dict.fromkeys(ENDS, 0)
    for record in records:
        for side in ENDS:
            found = pairs(spectrum_of(record.predicted, matrix, block), side)
            known = [rank for rank, pair in enumerate(found, 1) if math.isfinite(pair.overlap)]
            most[side] = max(most[side], *known, 0)
    return tuple((side, rank) for side in ENDS for rank in range(most[side]))


def has_overlaps(records: Sequence[Record]) -> bool:
    """Whether there is anything to show of the first block."""
    first = next(iter(blocks(records)), "")
    return any(_outlier_ranks(records, kind.name, first) for kind in matrices(records))


def _draw_outlier(
    axes: Axes,
    times: FloatArray,
    records: Sequence[Record],
    matrix: str,
    block: str,
    side: End,
    rank: int,
) -> None:
    directions = next((record.reference for record in records if record.reference), ())
    fixed = [i for i, direction in enumerate(directions) if not direction.trained]
    curves = [(_ALL, None), *((style.symbol(directions[i]), i) for i in fixed)]
    for place, (name, index) in enumerate(curves):
        color, marker, line = style.SERIES[place % len(style.SERIES)]
        measured = _series(records, matrix, block, side, rank, index, predicted=False)
        predicted = _series(records, matrix, block, side, rank, index, predicted=True)
        style.draw_line(
            axes, times, predicted, color=_SPAN if index is None else color, linestyle=line,
            linewidth=2.6 if index is None else 1.2, zorder=2, label=f"predicted, {name}",
        )  # fmt: skip
        clear = np.array([_is_clear(record, matrix, block, side, rank) for record in records])
        look: dict[str, Any] = {
            "color": color,
            "marker": marker,
            "markersize": 3.2,
            "linestyle": "none",
        }
        axes.plot(times[clear], measured[clear], label=f"measured, {name}", zorder=3, **look)
        hollow = look | {"markerfacecolor": "white", "markersize": 2.4, "markeredgewidth": 0.6}
        axes.plot(times[~clear], measured[~clear], zorder=2.5, **hollow)
        # Hollow marks of every colour are explained once, in grey.
        key = hollow | {"color": "#555555", "marker": "o"}
        axes.plot([], [], label="measured, in the bulk (hollow)", **key)


def _series(
    records: Sequence[Record],
    matrix: str,
    block: str,
    side: End,
    rank: int,
    direction: int | None,
    *,
    predicted: bool,
) -> FloatArray:
    values = np.full(len(records), math.nan)
    for place, record in enumerate(records):
        geometry = record.predicted if predicted else record.measured
        found = pairs(spectrum_of(geometry, matrix, block), side)
        if rank < len(found):
            pair = found[rank]
            if direction is None:
                values[place] = pair.overlap
            elif direction < len(pair.alignment):
                values[place] = pair.alignment[direction]
    return values


def _is_clear(record: Record, matrix: str, block: str, side: End, rank: int) -> bool:
    """Whether the measured eigenvalue lies beyond the predicted detection edge."""
    theory = spectrum_of(record.predicted, matrix, block)
    found = pairs(record.measured.spectrum(matrix, block), side)
    return theory is not None and rank < len(found) and is_outlier(found[rank], theory.bulk, side)
