"""The density of one block at one step, measured on top of predicted."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from ...probes.records.outliers import estimate, is_outlier, pairs
from ...probes.records.record import Record
from ...theory.spectrum import ENDS, Bulk, Density, FloatArray, Spectrum
from ..readings import spectrum_of
from . import style

__all__ = ["draw_density"]

_POINTS = 70
# The density is drawn over this many decades below its largest value, and a little above it; over
# more, up to a limit, where it diverges at an edge and most of its support is further below.
_DECADES, _MOST_DECADES, _BELOW_MIDDLE, _HEADROOM = 4.0, 12.0, 2.0, 4.0


def draw_density(axes: Axes, record: Record, matrix: str, block: str) -> bool:
    """Draw the measured density over the predicted one, with the outliers of both.

    Args:
        axes: where to draw; the density's axis becomes logarithmic.
        record: one probing.
        matrix: which matrix.
        block: which block.

    Returns:
        Whether there was anything to draw.
    """
    measured = record.measured.spectrum(matrix, block)
    predicted = spectrum_of(record.predicted, matrix, block)
    if measured is None and predicted is None:
        return False
    bulk = predicted.bulk if predicted is not None else None
    drawn: list[tuple[FloatArray, FloatArray]] = []
    if predicted is not None and predicted.density is not None:
        _predicted_density(axes, predicted.density)
        drawn.append((predicted.density.points, predicted.density.curve))
    if measured is not None and measured.density is not None:
        _measured_density(axes, measured.density, bulk)
        drawn.append((measured.density.points, measured.density.values))
    heights = [height for pair in drawn if (height := _heights(*pair))]
    if heights:
        axes.set_yscale("log")
        axes.set_ylim(min(low for low, _ in heights), _HEADROOM * max(high for _, high in heights))
        style.finish_scale(axes.yaxis)
    else:
        axes.set_yticks([])
    _draw_outliers(axes, measured, predicted)
    for limit in (bulk.lower.detection, bulk.upper.detection) if bulk is not None else ():
        if math.isfinite(limit):
            axes.axvline(limit, label="detection edge", **style.DETECTION)
    if bulk is not None and bulk.atom > 0:
        axes.annotate(
            f"predicted atom at 0: {bulk.atom:.3g}",
            (1, 1),
            xycoords="axes fraction",
            ha="right",
            va="top",
            fontsize=6.5,
        )
    return True


def _heights(points: FloatArray, values: FloatArray) -> tuple[float, float] | None:
    """What is shown of a density: from how far below, and its largest value; None without one."""
    largest = float(np.nanmax(values, initial=0.0))
    known = values > 0
    if not largest > 0:
        return None
    across = np.linspace(points[known].min(), points[known].max(), _POINTS)
    middle = float(np.median(np.interp(across, points[known], values[known])))
    low = min(largest / 10**_DECADES, middle / 10**_BELOW_MIDDLE)
    return max(low, largest / 10**_MOST_DECADES), largest


def _predicted_density(axes: Axes, density: Density) -> None:
    """The curve with a band of its numerical error, as far as it is known."""
    # Zeros far below the axis let the curve fall through it at the edges.
    low, shown, high = (
        np.maximum(density.curve + way * density.errors, 1e-30) for way in (-1, 0, 1)
    )
    look = style.PREDICTED | {"linewidth": 1.2, "zorder": 5}
    band = {"color": look["color"], "alpha": 0.25, "linewidth": 0, "zorder": 4.9}
    axes.fill_between(density.points, low, high, **band)
    axes.plot(density.points, shown, label="predicted density", **look)


def _measured_density(axes: Axes, density: Density, bulk: Bulk | None) -> None:
    """The density inside the detection edges: beyond them each eigenvalue is marked by itself."""
    every = slice(None, None, max(1, len(density.points) // _POINTS))
    points, values, errors = density.points[every], density.values[every], density.errors[every]
    # A logarithmic axis has no place for what is zero within its error.
    shown = values > errors
    if bulk is not None:
        # A detection edge that is not known bounds nothing.
        shown &= ~((points < bulk.lower.detection) | (points > bulk.upper.detection))
    axes.errorbar(
        points[shown],
        values[shown],
        yerr=errors[shown],
        label="measured density ± s.e.",
        **(style.MEASURED | {"markersize": 2.2, "capsize": 0, "elinewidth": 0.6}),
    )


def _draw_outliers(axes: Axes, measured: Spectrum | None, predicted: Spectrum | None) -> None:
    """Predicted outliers as stems from the axis, measured ones as arrow heads that point at it."""
    stems = [pair.value for side in ENDS for pair in pairs(predicted, side)]
    bulk = predicted.bulk if predicted is not None else None
    arrows = [
        estimate(pair)[0]
        for side in ENDS
        for pair in pairs(measured, side)
        if is_outlier(pair, bulk, side)
    ]
    across = axes.get_xaxis_transform()
    if stems:
        axes.vlines(
            stems, 0, 0.3, transform=across, label="predicted outlier",
            **(style.PREDICTED | {"linestyle": (0, (3, 1))}),
        )  # fmt: skip
    if arrows:
        axes.plot(
            arrows, np.full(len(arrows), 0.36), transform=across, label="measured outlier",
            **style.ARROW,
        )  # fmt: skip
