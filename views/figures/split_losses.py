"""Train and test loss along training over their forecast, split into what causes them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ...probes.records.record import Record
from ...theory.geometry import Geometry
from ...theory.spectrum import FloatArray
from ..readings import clock, failed
from . import style

__all__ = ["split_losses"]

# From the first cause to the last, light to dark.
_SHADES = ("#EAF1F7", "#CFE0EE", "#A9C8E0", "#7DA9CC", "#4F84B0")


@style.paper()
def split_losses(records: Sequence[Record], columns: style.Columns = 2) -> Figure:
    """The forecast test loss stacked from its parts, and the train loss, with measured points.

    Args:
        records: of one run, in order, with forecast quantities test_loss, test_parts, train_loss.
        columns: of the page that the figure spans.
    """
    times, label = clock(records)
    parts = next(
        (found for record in records if (found := _quantity(record.forecast, "test_parts"))), None
    )
    if parts is None:
        return style.empty_figure("No split of the loss to show.")
    across = columns
    figure, grid = style.new_figure(
        2 // across, across, *style.size(columns, 2 // across, 2.2), sharex=True
    )
    test, train = grid.flat
    stacked = np.array([_values(record.forecast, "test_parts", len(parts)) for record in records])
    # A part that is a rounding error below zero leaves no hole.
    test.stackplot(
        times,
        np.maximum(stacked.T, 0),
        colors=_SHADES,
        labels=[name.replace("_", " ") for name in parts],
        linewidth=0,
    )
    for axes, kind, measured in ((test, "test_loss", "test_loss"), (train, "train_loss", "loss")):
        forecast = np.array([_number(record.forecast, kind) for record in records])
        style.draw_line(axes, times, forecast, **style.FORECAST, label="forecast")
        size = np.array([_number(record.forecast, "finite_size_correction") for record in records])
        axes.fill_between(
            times, forecast * (1 - size), forecast * (1 + size), color=style.FORECAST["color"],
            alpha=0.25, linewidth=0, label="correction of finite size",
        )  # fmt: skip
        points = np.array([_number(record.measured, measured) for record in records])
        axes.plot(times, points, **_points(), label="measured")
        axes.set_ylabel("mean square")
        style.mark_failures(axes, times[np.array([failed(record) for record in records])])
        axes.set_ylim(bottom=0)
    test.set_title("test loss, without label noise")
    train.set_title("loss on the probe sample")
    for axes in grid[-1]:
        axes.set_xlabel(label)
    style.legend_below(figure)
    return figure


def _points() -> dict[str, object]:
    drawn = ("color", "linestyle", "marker", "markersize", "zorder")
    return {key: style.MEASURED[key] for key in drawn}


def _quantity(geometry: Geometry | None, name: str) -> tuple[str, ...] | None:
    """Names of the entries of a quantity."""
    found = geometry.quantity(name) if geometry else None
    return found.axes[0] if found is not None else None


def _values(geometry: Geometry | None, name: str, count: int) -> FloatArray:
    found = geometry.quantity(name) if geometry else None
    return np.full(count, math.nan) if found is None else found.values


def _number(geometry: Geometry | None, name: str) -> float:
    found = geometry.quantity(name) if geometry else None
    return math.nan if found is None else float(found.values)
