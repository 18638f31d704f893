"""Flatness profiles of a run, and flatness against test error over many minima."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from ...probes.records.record import Record
from ...theory.geometry import Geometry
from ...theory.spectrum import FloatArray
from . import style

__all__ = ["Minima", "flatness_against_error", "flatness_profiles"]

_NAMES = ("flatness_train_error", "flatness_test_error")


@style.paper()
def flatness_profiles(records: Sequence[Record], columns: style.Columns = 2) -> Figure:
    """Train and test error against the size s of random perturbations, at the last record.

    Args:
        records: of one run, in order.
        columns: of the page that the figure spans.
    """
    last = records[-1] if records else None
    shown = [name for name in _NAMES if last and last.measured.quantity(name)]
    if last is None or not shown:
        return style.empty_figure("No flatness profile to show.")
    figure, panels = style.new_figure(
        1, len(shown), *style.size(columns, 1, 2.4), sharex=True, sharey=True
    )
    for axes, name in zip(panels.flat, shown, strict=True):
        measured = last.measured.quantity(name)
        assert measured is not None
        x = _perturbations(measured.axes[0])
        axes.errorbar(
            x, measured.values, measured.errors, color="black", marker="o", markersize=3.2,
            linestyle="none", elinewidth=0.8, label="measured",
        )  # fmt: skip
        for found, words, drawn in (
            (last.predicted, "from m, q, b as measured", style.PREDICTED),
            (last.forecast, "at the minimiser", style.FORECAST),
        ):
            line = _profile(found, name)
            if line is not None:
                style.draw_line(axes, x, line, label=words, **drawn)
        axes.set_title(name.removeprefix("flatness_").replace("_", " ") + " (share)")
        axes.set_xlabel("perturbation s (|w|)")
    style.legend_below(figure)
    return figure


def _perturbations(names: Sequence[str]) -> FloatArray:
    return np.array([float(name.removeprefix("s=")) for name in names])


def _profile(found: Geometry | None, name: str) -> FloatArray | None:
    quantity = None if found is None else found.quantity(name)
    return None if quantity is None else quantity.values


@dataclass(frozen=True)
class Minima:
    """Test errors and flatness of some minima.

    Attributes:
        test_error: (P,).
        flatness: (P,) growth of the train error under a perturbation.
        errors: (2, P) standard errors of both; empty for a prediction.
    """

    test_error: FloatArray
    flatness: FloatArray
    errors: FloatArray = field(default_factory=lambda: np.zeros((2, 0)))


@style.paper()
def flatness_against_error(
    predicted: Minima, measured: Mapping[str, Minima], columns: style.Columns = 2
) -> Figure:
    """Growth of the train error at s = 1 against the test error.

    Args:
        predicted: along the ridge.
        measured: by what made the minima.
        columns: of the page that the figure spans.
    """
    figure, panels = style.new_figure(1, 1, 3.2, width=4.6 if columns == 2 else style.WIDTHS[1])
    axes = panels[0, 0]
    style.draw_line(
        axes, predicted.test_error, predicted.flatness, label="predicted, ridge", **style.PREDICTED
    )
    for (name, minima), (color, marker, _) in zip(measured.items(), style.SERIES, strict=False):
        across, up = minima.errors
        axes.errorbar(
            minima.test_error, minima.flatness, up, across, color=color, marker=marker,
            markersize=3.6, linestyle="none", elinewidth=0.8, label=f"measured ± s.e., {name}",
        )  # fmt: skip
    axes.set_xlabel("test error (share)")
    axes.set_ylabel("train error gained at s = 1 (share)")
    style.legend_below(figure, columns=2)
    return figure
