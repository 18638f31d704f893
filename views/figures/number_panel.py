"""Numbers of a quantity along training in one panel: measured over predicted and forecast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ...probes.records.record import Record
from ...probes.records.record_table import BAND
from ...theory.spectrum import FloatArray
from ..quantities import compared_quantities
from . import style

__all__ = ["Series", "draw_series", "series_of"]

_SHORT = 8  # characters of a label

_OWN = {"unit": "that of the quantity"}

# A threshold that is so many times as large as what is measured wants a logarithmic axis.
_FAR = 20.0


@dataclass(frozen=True)
class Series:
    """One number over N records; NaN where it is not known.

    Attributes:
        label: in the legend of its panel; empty for a single one.
        errors: standard errors of ``measured``.
        half: half widths of the band about ``forecast``, or about ``predicted`` without it.
        runs: those of the band about ``measured``, the mean of an ensemble.
        is_lost: where a probing failed that it is missing from.
        threshold: what ``measured`` is compared with.
    """

    label: str = field(metadata={"unit": "none"})
    measured: FloatArray = field(metadata=_OWN)
    errors: FloatArray = field(metadata=_OWN)
    predicted: FloatArray = field(metadata=_OWN)
    forecast: FloatArray = field(metadata=_OWN)
    half: FloatArray = field(metadata=_OWN)
    runs: FloatArray = field(metadata=_OWN)
    is_lost: NDArray[np.bool_] = field(metadata={"unit": "none"})
    threshold: FloatArray = field(metadata=_OWN)


def series_of(records: Sequence[Record], quantity: str) -> dict[str, Series]:
    """The numbers of a quantity by name, its place in the quantity as label."""
    held = [compared_quantities(record).get(quantity, ()) for record in records]
    columns: dict[str, FloatArray] = {}
    for place, entries in enumerate(held):
        for entry in entries:
            column = columns.setdefault(entry.any.name, np.full((7, len(records)), math.nan))
            if entry.measured is not None:
                column[:2, place] = entry.measured.value, entry.measured.standard_error
                column[5, place] = entry.measured.threshold
                column[6, place] = BAND * entry.measured.band
            for row, number in ((2, entry.predicted), (3, entry.forecast)):
                if number is not None:
                    column[row, place] = number.value
                    column[4, place] = BAND * number.band
    incomplete = np.array([bool(record.failures) for record in records])
    return {
        name: Series(
            label=name.removeprefix(quantity).removeprefix("/"),
            measured=column[0],
            errors=column[1],
            predicted=column[2],
            forecast=column[3],
            half=column[4],
            runs=column[6],
            is_lost=incomplete & np.isnan(column[0]),
            threshold=column[5],
        )
        for name, column in columns.items()
    }


def draw_series(axes: Axes, times: FloatArray, shown: Sequence[Series]) -> None:
    """Measured points with their errors over predicted and forecast lines with their bands.

    A single number has the look of all figures; several have a colour and a marker each, and a
    legend of their own.
    """
    several = len(shown) > 1
    thresholds = np.stack([one.threshold for one in shown])
    is_common = np.array_equal(thresholds, thresholds[:1].repeat(len(shown), 0), equal_nan=True)
    for place, one in enumerate(shown):
        color, marker, line = style.SERIES[place % len(style.SERIES)]
        own: dict[str, Any] = {"color": color, "linewidth": 1.1} if several else {}
        center = np.where(np.isnan(one.forecast), one.predicted, one.forecast)
        if np.isfinite(one.half).any():
            axes.fill_between(
                times, center - one.half, center + one.half, alpha=0.13, linewidth=0, zorder=1,
                color=color if several else style.FORECAST["color"],
            )  # fmt: skip
        if np.isfinite(one.threshold).any():
            look = style.THRESHOLD | ({} if is_common else own)
            style.draw_line(axes, times, one.threshold, **look)
        if np.isfinite(one.runs).any():
            axes.fill_between(
                times, one.measured - one.runs, one.measured + one.runs, alpha=0.13, linewidth=0,
                zorder=1, color=color if several else style.MEASURED["color"],
            )  # fmt: skip
        both = np.isfinite(one.predicted).any()
        if both:
            style.draw_line(axes, times, one.predicted, **(style.PREDICTED | own))
        if np.isfinite(one.forecast).any():
            dashes = {"linestyle": line} if several and not both else {}
            style.draw_line(axes, times, one.forecast, **(style.FORECAST | own | dashes))
        look = {"color": color, "marker": marker, "markeredgecolor": "#111111",
                "markeredgewidth": 0.3}  # fmt: skip
        if np.isfinite(one.measured).any():
            axes.errorbar(
                times, one.measured, yerr=one.errors if np.isfinite(one.errors).any() else None,
                **(style.MEASURED | (look if several else {})),
            )  # fmt: skip
    lost = np.logical_or.reduce([one.is_lost for one in shown])
    style.mark_failures(axes, times[lost])
    if np.isfinite(thresholds).any():
        values = np.concatenate([thresholds.ravel(), *(one.measured for one in shown)])
        axes.set_yscale(style.scale_for(values, _FAR))
    if several:
        low, high = axes.get_ylim()
        is_log = axes.get_yscale() == "log"
        # Room for the legend.
        axes.set_ylim(low, high * (high / low) ** 0.42 if is_log else high + 0.42 * (high - low))
        keys = [_key(place, one) for place, one in enumerate(shown)]
        is_long = max(len(one.label) for one in shown) > _SHORT
        legend = axes.legend(
            handles=keys,
            fontsize=6 if is_long else 6.5, ncols=2 if len(shown) > 3 else 1, handlelength=1.2,
            labelspacing=0.2, columnspacing=0.6, handletextpad=0.4, borderpad=0.1,
            loc="upper left",
        )  # fmt: skip
        legend.set_in_layout(False)  # it must not push panels aside


def _key(place: int, one: Series) -> Line2D:
    """A number's colour in the legend: its marker if it is measured, else a line."""
    color, marker, _ = style.SERIES[place % len(style.SERIES)]
    if np.isfinite(one.measured).any():
        look: dict[str, Any] = {"linestyle": "none", "marker": marker, "markersize": 3}
    else:
        look = {"linewidth": 1.1}
    return Line2D([], [], color=color, label=one.label, **look)
