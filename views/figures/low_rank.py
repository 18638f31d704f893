"""Reconstruction of a low-rank matrix: its path, the error it leaves, how often it succeeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...probes.records.record import Record
from ...theory.geometry import Geometry
from ...theory.matrix_kind import HESSIAN
from ...theory.spectrum import FloatArray
from ..readings import clock
from ..saddle_steps import saddle_steps
from . import style

__all__ = ["ErrorCurve", "error_over_scale", "reconstruction", "success_over_grid"]

_MARK: dict[str, Any] = {
    k: style.MEASURED[k] for k in ("color", "linestyle", "marker", "markersize", "zorder")
}
_SADDLE: dict[str, Any] = {
    "color": "#B0579A",
    "linestyle": "none",
    "marker": "*",
    "markersize": 9,
    "zorder": 5,
}
_LEARNED: dict[str, Any] = {"color": style.FORECAST["color"], "linewidth": 0.6, "zorder": 1}
_OUTSIDE: dict[str, Any] = {"color": "#EEEEEE", "linewidth": 0, "label": "outside the theory"}
_PHASE: dict[str, Any] = {
    "color": "#777777",
    "linewidth": 0.8,
    "linestyle": (0, (1, 1.5)),
    "zorder": 1,
}


@style.paper()
def reconstruction(records: Sequence[Record], columns: style.Columns = 2) -> Figure:
    """Largest eigenvalue of A*A(R), strengths, principal angle, and the Hessian's negative end.

    Args:
        records: of one run, in order.
        columns: of the page that the figure spans.
    """
    if not any(record.measured.quantity("rho") for record in records):
        return style.empty_figure("No reconstruction to show.")
    times, label = clock(records)
    if not np.isfinite(times).all():  # without a theory there is no clock
        times, label = np.array([float(record.step) for record in records]), "time t = steps"
    across = 2 if columns == 2 else 1
    figure, panels = style.new_figure(
        4 // across, across, *style.size(columns, 4 // across, 2.1), sharex=True
    )
    stairs, strengths, angle, negative = panels.flat
    _stairs(stairs, times, records)
    _strengths(strengths, times, records)
    _angle(angle, times, records)
    _negative(negative, times, records)
    for axes in panels.flat:
        for end in _phase_ends(times, records):
            axes.axvline(end, label="phases I, II, III", **_PHASE)
    for axes in panels[-1]:
        axes.set_xlabel(label)
    style.legend_below(figure)
    return figure


def _stairs(axes: Axes, times: FloatArray, records: Sequence[Record]) -> None:
    _number_panel(axes, times, records, "rho")
    edges = _numbers([record.measured for record in records], "edge")
    style.draw_line(axes, times, edges, label="edge 2σ from the loss", **style.EDGE)
    place = {record.step: k for k, record in enumerate(records)}
    rho = _numbers([record.measured for record in records], "rho")
    saddles = [place[each.step] for each in saddle_steps(records)]
    axes.plot(times[saddles], rho[saddles], label="most stationary: saddles", **_SADDLE)
    axes.set_ylim(bottom=0)
    axes.set_title("largest eigenvalue of A*A(R)")


def _strengths(axes: Axes, times: FloatArray, records: Sequence[Record]) -> None:
    measured = _rows([record.measured for record in records], "strengths")
    forecast = _rows([record.forecast for record in records], "strengths")
    for k in range(measured.shape[1]):
        axes.plot(times, measured[:, k], label="measured", **_MARK)
    for k in range(forecast.shape[1]):
        style.draw_line(axes, times, forecast[:, k], label="forecast", **style.FORECAST)
    for end in _rows([record.forecast for record in records[:1]], "learning_times").flat:
        if end <= times[-1]:
            axes.axvline(end, label="forecast of learning", **_LEARNED)
    if (measured > 0).any():
        axes.set_yscale("log")
        style.finish_scale(axes.yaxis)
    axes.set_title("strengths s_k = σ_k(VᵀU)²")


def _angle(axes: Axes, times: FloatArray, records: Sequence[Record]) -> None:
    _number_panel(axes, times, records, "principal_angle")
    learned = _rows([record.forecast for record in records[:1]], "learning_times")
    if learned.size and np.max(learned) < times[-1]:
        axes.axvspan(float(np.max(learned)), times[-1], **_OUTSIDE)
    axes.set_title("largest principal angle (radians)")


def _negative(axes: Axes, times: FloatArray, records: Sequence[Record]) -> None:
    for label, look, found in (
        ("predicted", style.PREDICTED, [record.predicted for record in records]),
        ("forecast", style.FORECAST, [record.forecast for record in records]),
    ):
        lines = _lowest(found)
        counts = np.isfinite(lines).sum(1)
        # Lines end where eigenvalues leave: the one of a rank is another one then.
        for part in np.split(np.arange(len(times)), np.flatnonzero(np.diff(counts)) + 1):
            for line in lines[part].T:
                style.draw_line(axes, times[part], line, label=label, **look)
    bottom = _lowest([record.measured for record in records])
    for line in bottom.T:
        axes.plot(times, line, label="measured", **{**_MARK, "markersize": 1.8})
    edges = -_numbers([record.measured for record in records], "edge")
    style.draw_line(axes, times, edges, label="edge 2σ from the loss", **style.EDGE)
    axes.set_title("lowest eigenvalues of the Hessian")


def _number_panel(axes: Axes, times: FloatArray, records: Sequence[Record], name: str) -> None:
    predicted = _numbers([record.predicted for record in records], name)
    forecast = _numbers([record.forecast for record in records], name)
    style.draw_line(axes, times, predicted, label="predicted", **style.PREDICTED)
    style.draw_line(axes, times, forecast, label="forecast", **style.FORECAST)
    measured = _numbers([record.measured for record in records], name)
    axes.plot(times, measured, label="measured", **_MARK)


def _phase_ends(times: FloatArray, records: Sequence[Record]) -> list[float]:
    phases = _numbers([record.measured for record in records], "phase")
    return [float(times[k]) for k in range(1, len(times)) if phases[k] != phases[k - 1]]


def _numbers(found: Sequence[Geometry | None], name: str) -> FloatArray:
    quantities = [None if each is None else each.quantity(name) for each in found]
    return np.array([math.nan if each is None else float(each.values) for each in quantities])


def _rows(found: Sequence[Geometry | None], name: str) -> FloatArray:
    quantities = [None if each is None else each.quantity(name) for each in found]
    width = max((len(each.values) for each in quantities if each is not None), default=0)
    rows = np.full((len(quantities), width), math.nan)
    for place, each in enumerate(quantities):
        if each is not None:
            rows[place] = each.values
    return rows


def _lowest(found: Sequence[Geometry | None]) -> FloatArray:
    """Lowest eigenvalues of the Hessian, (records, most of them), NaN where there are fewer."""
    values: list[list[float]] = []
    for each in found:
        spectra = () if each is None else each.spectra
        own = [spectrum for spectrum in spectra if spectrum.matrix == HESSIAN.name]
        values.append([pair.value for pair in own[0].bottom] if own else [])
    rows = np.full((len(values), max(map(len, values), default=0)), math.nan)
    for place, numbers in enumerate(values):
        rows[place, : len(numbers)] = numbers
    return rows


@dataclass(frozen=True)
class ErrorCurve:
    """Final error against the scale of the start.

    Attributes:
        scales: alpha of the measurements, (A,).
        means: (A,) geometric, over seeds.
        factors: (A,) of the standard error of the mean's logarithm.
        fine: alpha of the theory, (F,).
        predicted: (F,).
    """

    scales: FloatArray
    means: FloatArray
    factors: FloatArray
    fine: FloatArray
    predicted: FloatArray


@style.paper()
def error_over_scale(
    curves: Mapping[str, ErrorCurve], failing: float, columns: style.Columns = 2
) -> Figure:
    """Final |U U^T - Z| / |Z| against alpha, measured and in closed form.

    Args:
        curves: by name.
        failing: alpha from which on the theory is known to fail.
        columns: of the page that the figure spans.
    """
    figure, panels = style.new_figure(1, 1, 3.4, width=4.6 if columns == 2 else style.WIDTHS[1])
    axes = panels[0, 0]
    ends = max(float(curve.fine.max()) for curve in curves.values())
    axes.axvspan(failing, ends, **_OUTSIDE)
    for (name, curve), (color, marker, line) in zip(curves.items(), style.SERIES, strict=False):
        low, high = curve.means * (1 - 1 / curve.factors), curve.means * (curve.factors - 1)
        axes.errorbar(
            curve.scales, curve.means, np.array([low, high]), color=color, marker=marker,
            markersize=3.2, linestyle="none", elinewidth=0.8, label=f"measured, {name}",
        )  # fmt: skip
        style.draw_line(
            axes, curve.fine, curve.predicted, color=color, linestyle=line,
            label=f"predicted, {name}",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("scale of the start α (1)")
    axes.set_ylabel("final |UUᵀ − Z| / |Z| (1)")
    style.legend_below(figure, columns=2)
    return figure


@style.paper()
def success_over_grid(
    measurements: FloatArray,
    scales: FloatArray,
    shares: FloatArray,
    predicted: FloatArray,
    lines: Mapping[str, float],
    holds: tuple[float, float],
    columns: style.Columns = 2,
) -> Figure:
    """Share of successes over measurements and scale, with the thresholds.

    Args:
        measurements: m/(n r), (M,).
        scales: alpha, (A,).
        shares: (M, A).
        predicted: m/(n r) at which the predicted error is the tolerance, (A,).
        lines: m/(n r) of further thresholds, by name.
        holds: alpha from which on, and up to which, the predicted threshold holds.
        columns: of the page that the figure spans.
    """
    figure, panels = style.new_figure(1, 1, 3.6, width=4.8 if columns == 2 else style.WIDTHS[1])
    axes = panels[0, 0]
    place = np.log10(scales)
    mesh = axes.pcolormesh(
        measurements, place, shares.T, cmap="cividis", shading="nearest", vmin=0, vmax=1,
        rasterized=True,
    )  # fmt: skip
    bar = figure.colorbar(mesh, ax=axes, fraction=0.05)
    bar.set_label("measured share of successes (1)")
    bar.outline.set_linewidth(0.5)
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    style.draw_line(axes, predicted, place, label="_under", color="#FFFFFF", linewidth=2.2)
    low, high = np.log10(holds)
    inside = (low - 1e-9 <= place) & (place <= high + 1e-9)
    for part, label, dash in (
        (np.ones_like(inside), "the same outside the theory", (0, (1, 1.2))),
        (inside, "predicted threshold", "-"),
    ):
        told = np.where(part, predicted, math.nan)
        style.draw_line(
            axes, told, place, label=label, color="#C04A00", linewidth=1.4, linestyle=dash
        )
    for (name, value), (_, _, dash) in zip(lines.items(), style.SERIES[1:], strict=False):
        axes.axvline(value, color="#FFFFFF", linewidth=2.0)
        axes.axvline(value, color="#111111", linewidth=1.1, linestyle=dash, label=name)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_xlabel("measurements m / (n r) (1)")
    axes.set_ylabel("log₁₀ of the scale of the start α (1)")
    style.legend_below(figure, columns=2)
    return figure
