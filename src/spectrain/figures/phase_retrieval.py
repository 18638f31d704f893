"""Figures of phase retrieval: the lowest eigenvalue of a run, and recovery without one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from ..models.phase_retrieval.loss import PhaseLoss
from ..probes.records.record_file import Run
from ..theory.phase_retrieval.random_start import random_critical
from ..theory.phase_retrieval.threshold_states import threshold_critical
from ..views.figures import style
from ..views.figures.figure import RunFigure, SystemFigure
from ..views.figures.lowest_outlier import lowest_outlier
from ..views.figures.recovery_curves import RecoveryCurves, recovery_curves

__all__ = ["REPORT_TEXTS", "RUN_FIGURES", "Scale", "figures_at", "system_figures"]

REPORT_TEXTS = (
    "Descent on the sphere |w| = 1 for a direction known by the squares of its projections on "
    "Gaussian vectors. Predictions plug the measured law of the projections on position and "
    "signal into the limit of the Hessian on the sphere. They know nothing of the descent: where "
    "the overlap exceeds .3 (plug_in_biased = 1) outliers and their overlaps are some per cent "
    "off, while the bulk still holds.",
)
_RECOVERED = 0.95  # |overlap| from which the signal counts as found


def _has_overlap(run: Run) -> bool:
    return any(record.measured.quantity("overlap") for record in run.records)


RUN_FIGURES = (
    RunFigure(
        "phase-retrieval-lowest",
        "The lowest eigenvalue on the sphere",
        "Lowest eigenvalue minus the multiplier, and its eigenvector's squared overlap with the "
        "signal's direction in the tangent space: measured points, the outlier at the measured "
        "law of the projections (line), and the edge of the bulk.",
        _has_overlap,
        lambda run, columns: lowest_outlier(run.records, columns, "measured law of projections"),
    ),
)


@dataclass(frozen=True)
class Scale:
    """How much is computed for the figure that needs no run.

    Attributes:
        sizes: N of the descents.
        points: values of alpha.
        runs: at each.
        steps: of each.
    """

    sizes: tuple[int, ...]
    points: int
    runs: int
    steps: int


_FULL = Scale((32, 64, 128), 7, 16, 1000)
_QUICK = Scale((16, 32), 4, 8, 200)
_RATE = 0.1
_ALPHAS = (1.5, 8.0)


def system_figures(quick: bool) -> tuple[SystemFigure, ...]:
    """Share of descents that recover the signal."""
    return figures_at(_QUICK if quick else _FULL)


def figures_at(scale: Scale) -> tuple[SystemFigure, ...]:
    """The same at any scale."""
    return (SystemFigure("phase-retrieval-recovery", lambda columns: _recovery(scale, columns)),)


def _recovery(scale: Scale, columns: style.Columns) -> Figure:
    import torch

    from ..models.phase_retrieval.recovery import final_overlaps

    loss = PhaseLoss(1.0)
    alphas = np.linspace(*_ALPHAS, scale.points)
    successes = np.empty((len(scale.sizes), scale.points))
    source = torch.Generator().manual_seed(0)
    with tqdm(total=successes.size, desc="phase retrieval", unit="point", disable=None) as bar:
        for (row, column), _ in np.ndenumerate(successes):
            size = scale.sizes[row]
            samples = round(float(alphas[column]) * size)
            found = final_overlaps(loss, size, samples, scale.runs, _RATE, scale.steps, source)
            successes[row, column] = int((found > _RECOVERED).sum())
            bar.update()
    start, states = random_critical(loss), threshold_critical(loss)
    lines = {
        r"predicted, $\alpha_\mathrm{BBP}$ of a random start": start.samples_per_dimension,
        r"predicted, $\alpha_\mathrm{BBP}$ of threshold states": states.samples_per_dimension,
    }
    curves = RecoveryCurves(alphas, scale.sizes, successes, scale.runs, lines)
    return recovery_curves(curves, columns)
