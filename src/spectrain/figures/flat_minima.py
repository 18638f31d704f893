"""Figures of flat minima: profiles of a run, and flatness against test error without one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from ..probes.records.record_file import Run
from ..theory.flat_minima.ridge import Clusters, ridge_solution
from ..training.systems.flat_minima import FlatMinimaConfig
from ..views.figures import style
from ..views.figures.figure import RunFigure, SystemFigure
from ..views.figures.flatness_profiles import Minima, flatness_against_error, flatness_profiles

__all__ = ["REPORT_TEXTS", "RUN_FIGURES", "Scale", "figures_at", "system_figures"]

REPORT_TEXTS = (
    "A linear classifier of two Gaussian clusters, with ridge. Its flatness profile is the error "
    "after a random perturbation of length s |w|. That of new samples is predicted from overlap "
    "and norm as measured, whatever the loss; that of the samples trained on is known at the "
    "minimiser of the squared loss, and is forecast as where the training ends.",
)


def _has_profile(run: Run) -> bool:
    return any(record.measured.quantity("flatness_test_error") for record in run.records)


RUN_FIGURES = (
    RunFigure(
        "flatness-profiles",
        "Flatness profiles",
        "Train and test error after random perturbations of the weights, at the last record: "
        "points with standard errors, the prediction from the statistics as measured (line), and "
        "that for the minimiser of the squared loss with ridge (dashed).",
        _has_profile,
        lambda run, columns: flatness_profiles(run.records, columns),
    ),
)


@dataclass(frozen=True)
class Scale:
    """How much is computed for the figure that needs no run.

    Attributes:
        dimension: N.
        ridges: values of lambda that are trained at.
        steps: of gradient descent; other optimisers take as many.
        draws: of random directions.
        seeds: of each minimum, at least 2.
    """

    dimension: int
    ridges: int
    steps: int
    draws: int
    seeds: int


_FULL = Scale(1000, 5, 400, 12, 4)
_QUICK = Scale(60, 2, 20, 2, 2)
_SAMPLES_PER_DIMENSION, _NOISE = 2.0, 1.0
_RIDGES = 0.03, 30.0
_LOW = 0.03  # the ridge at which optimisers and losses are compared
_OTHERS = (
    ("Entropy-SGD", "entropy-sgd", "squared"),
    ("replicated SGD", "replicated-sgd", "squared"),
    ("hinge", "gd", "hinge"),
    ("cross-entropy", "gd", "cross-entropy"),
)


def system_figures(quick: bool) -> tuple[SystemFigure, ...]:
    """Flatness against test error, along the ridge and over losses and optimisers."""
    return figures_at(_QUICK if quick else _FULL)


def figures_at(scale: Scale) -> tuple[SystemFigure, ...]:
    """The same at any scale."""
    return (SystemFigure("flat-minima-errors", lambda columns: _errors(scale, columns)),)


def _errors(scale: Scale, columns: style.Columns) -> Figure:
    clusters = Clusters(_NOISE)
    ends = [
        ridge_solution(clusters, _SAMPLES_PER_DIMENSION, float(ridge))
        for ridge in np.geomspace(*_RIDGES, 60)
    ]
    predicted = Minima(
        np.array([float(end.test_error()) for end in ends]),
        np.array([float(end.train_error(1.0) - end.train_error()) for end in ends]),
    )
    tasks = [("ridge", "gd", "squared", float(r)) for r in np.geomspace(*_RIDGES, scale.ridges)]
    tasks += [(*each, _LOW) for each in _OTHERS]
    found: dict[str, list[list[tuple[float, float]]]] = {}
    for name, optimiser, loss, ridge in tqdm(tasks, desc="flat minima", disable=None):
        runs = [_trained(scale, optimiser, loss, ridge, seed) for seed in range(scale.seeds)]
        found.setdefault(name, []).append(runs)
    measured = {}
    for name, minima in found.items():
        table = np.array(minima)  # (P, seeds, 2)
        errors = table.std(1, ddof=1) / math.sqrt(scale.seeds)
        test_error, flatness = table.mean(1).T
        measured[name] = Minima(test_error, flatness, errors.T)
    return flatness_against_error(predicted, measured, columns)


def _trained(
    scale: Scale, optimiser: str, loss: str, ridge: float, seed: int
) -> tuple[float, float]:
    """Test error, and growth of the train error at s = 1, after a training."""
    import torch

    from ..training.loop import fit

    config = FlatMinimaConfig(
        dimension=scale.dimension,
        samples_per_dimension=_SAMPLES_PER_DIMENSION,
        noise=_NOISE,
        ridge=ridge,
        loss=loss,  # type: ignore[arg-type]
        optimiser=optimiser,  # type: ignore[arg-type]
        learning_rate=min(0.2, 0.5 / ridge),  # n / N = 2: a ridge of lambda adds lambda / 2
        stiffness=0.3,
        perturbations=(0.0, 1.0),
        draws=scale.draws,
    )
    system = config.build(torch.Generator().manual_seed(2 * seed))
    source = torch.Generator().manual_seed(2 * seed + 1)
    batches = system.batches(source)
    fit(system.model, system.loss, batches, system.optimiser, epochs=1, steps_per_epoch=scale.steps)
    (measure,) = system.measures
    batch = system.probe_sample(source)
    profiles = {
        each.name: each.values for each in measure(system.model, system.loss, batch, source)
    }
    gained: Sequence[float] = np.diff(profiles["flatness_train_error"]).tolist()
    return float(profiles["flatness_test_error"][0]), gained[0]
