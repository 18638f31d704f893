"""How often a signal is recovered against the number of samples, with the predicted lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ...theory.spectrum import FloatArray
from . import style

__all__ = ["RecoveryCurves", "recovery_curves"]

_DASHES = ("--", ":", "-.")


@dataclass(frozen=True)
class RecoveryCurves:
    """Shares of descents that recover the signal.

    Attributes:
        samples_per_dimension: alpha, (A,).
        sizes: N of each row of ``successes``.
        successes: (S, A) how many of ``runs``.
        runs: at each point.
        lines: alpha of each line, by name.
    """

    samples_per_dimension: FloatArray
    sizes: tuple[int, ...]
    successes: FloatArray
    runs: int
    lines: Mapping[str, float]


@style.paper()
def recovery_curves(curves: RecoveryCurves, columns: style.Columns = 2) -> Figure:
    """Share of recovered signals against alpha for several N, with the lines.

    Bars are one standard error of a share after adding a success and a failure (Laplace).

    Args:
        curves: what is drawn.
        columns: of the page that the figure spans.
    """
    figure, panels = style.new_figure(1, 1, 3.2, width=4.6 if columns == 2 else style.WIDTHS[1])
    axes = panels[0, 0]
    for size, counts, (color, marker, _) in zip(
        curves.sizes, curves.successes, style.SERIES, strict=False
    ):
        share = (counts + 1) / (curves.runs + 2)
        errors = np.sqrt(share * (1 - share) / (curves.runs + 2))
        axes.errorbar(
            curves.samples_per_dimension, counts / curves.runs, errors,
            color=color, marker=marker, markersize=3.2, linewidth=0.8, elinewidth=0.8,
            label=f"measured ± s.e., N = {size}",
        )  # fmt: skip
    for (name, value), dash in zip(curves.lines.items(), _DASHES, strict=False):
        if np.isfinite(value):
            axes.axvline(
                value, color="#777777", linewidth=0.9, linestyle=dash, label=name, zorder=1
            )
    axes.set_xlabel("samples per dimension α (1)")
    axes.set_ylabel("share of recovered signals (1)")
    axes.set_ylim(-0.02, 1.02)
    style.legend_below(figure, columns=2)
    return figure
