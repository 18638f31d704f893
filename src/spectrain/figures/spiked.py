"""Figures of the spiked matrix-tensor model: of its runs, and of its landscape without one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from ..probes.records.record_file import Run
from ..theory.spiked.complexity import complexity
from ..theory.spiked.covariance import Covariance
from ..theory.spiked.flow import flow_trajectory
from ..theory.spiked.lines import Lines, lines
from ..theory.spiked.signal_minimum import signal_minimum
from ..views.figures import style
from ..views.figures.figure import RunFigure, SystemFigure
from ..views.figures.lowest_outlier import lowest_outlier
from ..views.figures.noise_lines import OverlapCurves, noise_lines, overlap_curves
from ..views.figures.rough_landscape import ageing, complexity_map

__all__ = ["REPORT_TEXTS", "RUN_FIGURES", "Scale", "figures_at", "system_figures"]


def _has_overlap(run: Run) -> bool:
    return any(record.measured.quantity("overlap") for record in run.records)


REPORT_TEXTS = (
    "Descent on the sphere |x|² = N in the energy H of a matrix and a tensor that hide a signal "
    "in Gaussian noise. Forecasts follow from the overlap of the start alone, by the exact law of "
    "the descent for N to infinity. Predictions take overlap and multiplier of the step as "
    "measured and the position as if it did not know the noise; where an outlier of the forecast "
    "differs from theirs, it is the memory of the descent that makes the difference.",
)
RUN_FIGURES = (
    RunFigure(
        "lowest-outlier",
        "The lowest eigenvalue on the sphere",
        "Lowest eigenvalue minus the multiplier, and its eigenvector's squared overlap with the "
        "signal: measured points, the law along the descent (dashed), the formula for a position "
        "that is independent of the noise (line, with two standard deviations over the noise as a "
        "band), and the edge of the bulk.",
        _has_overlap,
        lambda run, columns: lowest_outlier(run.records, columns),
    ),
)
_TENSOR_NOISE = 4.0
_NAMES = {
    "trivialisation": "trivialisation",
    "gradient_flow": "gradient flow",
    "maximum_likelihood_amp": "maximum-likelihood AMP",
    "bayes_amp": "Bayes AMP",
}
_RATE = 0.3  # times sigma, of the descents: 2 / (mu + 2 sigma) would be unstable


@dataclass(frozen=True)
class Scale:
    """How much is computed for the figures that need no run.

    Attributes:
        sizes: N of the descents.
        noises: values of Delta_2 in them.
        seeds: of each.
        steps: of each.
        last: last time of the ageing flows.
        times: of them.
        grid: points of a line, and of each side of a map.
    """

    sizes: tuple[int, ...]
    noises: int
    seeds: int
    steps: int
    last: float
    times: int
    grid: int


_FULL = Scale((30, 60, 120), 7, 10, 160, 1000.0, 25, 60)
_QUICK = Scale((20, 30), 3, 2, 40, 10.0, 6, 20)


def system_figures(quick: bool) -> tuple[SystemFigure, ...]:
    """Overlaps of descents, the four lines, ageing, and the complexity of minima."""
    return figures_at(_QUICK if quick else _FULL)


def figures_at(scale: Scale) -> tuple[SystemFigure, ...]:
    """The same at any scale."""
    return (
        SystemFigure("spiked-overlaps", lambda columns: _overlaps(scale, columns)),
        SystemFigure("spiked-lines", lambda columns: _lines(scale, columns)),
        SystemFigure("spiked-ageing", lambda columns: _ageing(scale, columns)),
        SystemFigure("spiked-complexity", lambda columns: _complexity(scale, columns)),
    )


def _overlaps(scale: Scale, columns: style.Columns) -> Figure:
    noises = np.linspace(0.3, 1.1, scale.noises)
    means = np.empty((len(scale.sizes), scale.noises))
    errors = np.empty_like(means)
    total = means.size * scale.seeds
    with tqdm(total=total, desc="spiked overlaps", unit="descent", disable=None) as bar:
        for (row, column), _ in np.ndenumerate(means):
            found = []
            for seed in range(scale.seeds):
                found.append(_final_overlap(scale, scale.sizes[row], float(noises[column]), seed))
                bar.update()
            means[row, column] = np.mean(found)
            errors[row, column] = np.std(found, ddof=1) / math.sqrt(scale.seeds)
    fine = np.linspace(noises[0], noises[-1], 200)
    minima = [signal_minimum(Covariance(float(noise), _TENSOR_NOISE)) for noise in fine]
    overlaps = np.array([math.nan if each is None else each.overlap for each in minima])
    at = _by_name(lines(_TENSOR_NOISE))
    curves = OverlapCurves(noises, scale.sizes, means, errors, fine, overlaps, at)
    return overlap_curves(curves, columns)


def _final_overlap(scale: Scale, size: int, noise: float, seed: int) -> float:
    """|m| at the end of a descent from a random start."""
    import torch

    from ..models.spiked.landscape import SpikedLandscape
    from ..models.spiked.model import SpikedModel
    from ..models.spiked.sphere_descent import SphereDescent
    from ..models.spiked.start import random_signal

    source = torch.Generator().manual_seed(seed)
    landscape = SpikedLandscape(random_signal(size, source), noise, _TENSOR_NOISE, source)
    model = SpikedModel(landscape, random_signal(size, source))
    sigma = Covariance(noise, _TENSOR_NOISE).sigma
    descent = SphereDescent(model.parameters(), _RATE / sigma)
    for _ in range(scale.steps):
        descent.zero_grad()
        model().backward()
        descent.step()
    return abs(float(landscape.overlap(model.x.detach())))


def _lines(scale: Scale, columns: style.Columns) -> Figure:
    noises = np.geomspace(0.1, 100, scale.grid)
    rows = [_by_name(lines(float(noise))) for noise in noises]
    values = {name: np.array([row[name] for row in rows]) for name in _NAMES.values()}
    return noise_lines(noises, values, columns)


def _ageing(scale: Scale, columns: style.Columns) -> Figure:
    times = np.geomspace(1, scale.last, scale.times)
    gaps = {}
    for name, covariance in (
        ("tensor alone, Δ₃ = 2/3", Covariance(None, 2 / 3)),
        ("Δ₂ = .9, Δ₃ = 4", Covariance(0.9, 4.0)),
    ):
        path = flow_trajectory(covariance, 0.0, times.tolist())
        gaps[name] = 2 * covariance.sigma - path.multiplier, path.error
    return ageing(times, gaps, columns)


def _complexity(scale: Scale, columns: style.Columns) -> Figure:
    """Largest over the multiplier, at Delta_2 = .7 and Delta_3 = 1/5: a rough landscape."""
    covariance = Covariance(0.7, 0.2)
    overlaps, energies = np.linspace(0, 0.4, scale.grid), np.linspace(-2.48, -2.4, scale.grid)
    multipliers = np.linspace(2, 2.3, scale.grid) * covariance.sigma
    values = np.array(
        [
            [max(complexity(covariance, m, mu, e) for mu in multipliers.tolist()) for m in overlaps]
            for e in energies.tolist()
        ]
    )
    return complexity_map(overlaps, energies, values, columns)


def _by_name(found: Lines) -> dict[str, float]:
    values = {name: getattr(found, key) for key, name in _NAMES.items()}
    return {name: math.nan if value is None else value for name, value in values.items()}
