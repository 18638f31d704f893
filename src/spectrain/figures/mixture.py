"""Figures of mixtures that need no run: where outliers leave the bulk before any training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from ..training.systems.softmax_mixture import SoftmaxMixtureConfig
from ..views import figures as views
from ..views.figures import style
from ..views.figures.figure import SystemFigure

__all__ = ["FULL", "QUICK", "REPORT_TEXTS", "Scale", "figures_at", "system_figures"]

REPORT_TEXTS = (
    "A model of the projections x·Y of inputs Y on its directions x, trained by SGD on a Gaussian "
    "mixture with means mu. Theory reads the Gram matrix of x and mu alone: predictions come from "
    "the one measured at the step, forecasts from the initial one through the effective dynamics.",
)


@dataclass(frozen=True)
class Scale:
    """How much is measured for the figures that need no run.

    Attributes:
        dimension: d of the static transition; the phase diagram takes 60 % of it.
        sweep: number of values of snr in the static transition.
        fine: values of snr, and of the aspect ratio, in the predicted phase diagram.
        coarse: the same in the measured one.
    """

    dimension: int
    sweep: int
    fine: tuple[int, int]
    coarse: tuple[int, int]


FULL = Scale(1000, 14, (36, 36), (6, 5))
QUICK = Scale(200, 4, (10, 10), (3, 3))


def system_figures(quick: bool) -> tuple[SystemFigure, ...]:
    """The static transition and the phase diagram of softmax regression."""
    return figures_at(QUICK if quick else FULL)


def figures_at(scale: Scale) -> tuple[SystemFigure, ...]:
    """The same at any scale."""
    return (
        SystemFigure("static-transition", lambda columns: _static_transition(scale, columns)),
        SystemFigure("phase-diagram", lambda columns: _phase_diagram(scale, columns)),
    )


def _static_transition(scale: Scale, columns: style.Columns) -> Figure:
    from ..training.systems.mixture_sweeps import snr_sweep

    config = SoftmaxMixtureConfig(dimension=scale.dimension)
    snrs = np.geomspace(0.5, 8, scale.sweep)
    with tqdm(total=len(snrs), desc="static transition", unit="probing", disable=None) as bar:
        sweep = snr_sweep(config, snrs, bar.update)
    return views.static_transition(sweep, columns)


def _phase_diagram(scale: Scale, columns: style.Columns) -> Figure:
    from ..training.systems.mixture_sweeps import count_maps

    config = SoftmaxMixtureConfig(dimension=round(0.6 * scale.dimension))
    fine = (np.geomspace(0.5, 8, scale.fine[0]), np.geomspace(0.5, 8, scale.fine[1]))
    coarse = (np.geomspace(0.6, 7, scale.coarse[0]), np.geomspace(0.6, 7, scale.coarse[1]))
    total = scale.coarse[0] * scale.coarse[1]
    with tqdm(total=total, desc="phase diagram", unit="probing", disable=None) as bar:
        maps = count_maps(config, "hessian", fine, coarse, bar.update)
    return views.phase_diagram(*maps, columns)
