"""Figures and words of linear models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.figure import Figure

from ..probes.records.record_file import Run
from ..theory.linear.algorithm import Algorithm
from ..theory.linear.loss_curves import loss_curves
from ..theory.linear.phases import phase
from ..theory.linear.power_law import PowerLaw
from ..theory.linear.problem import LinearProblem
from ..theory.linear.scaling import frontier, width_losses
from ..theory.linear.stability import critical_learning_rate
from ..theory.linear.static import ridge_losses
from ..theory.spectrum import FloatArray
from ..training.loop import fit
from ..training.systems.linear import CovarianceConfig, LinearConfig
from ..views.figures import style
from ..views.figures.curve_panels import Curve, Panel, Plane, curve_panels, plane
from ..views.figures.figure import RunFigure, SystemFigure
from ..views.figures.split_losses import split_losses

__all__ = ["REPORT_TEXTS", "RUN_FIGURES", "system_figures"]

REPORT_TEXTS = (
    "A linear model trained from zero on the mean square. The forecast knows the spectrum of the "
    "covariance, the target, the noise and the algorithm, and nothing of the run; the predicted "
    "Hessian is that of random samples and features, which training does not change.",
)


def _has_split(run: Run) -> bool:
    return any(r.forecast and r.forecast.quantity("test_parts") for r in run.records)


RUN_FIGURES = (
    RunFigure(
        "split-losses",
        "Losses and their causes",
        "Test loss (left) stacked from the forecast's parts - bias, finite width, finite samples, "
        "label noise, noise of SGD - and the loss on the probe sample (right): measured points "
        "over the forecast (line).",
        _has_split,
        lambda run, columns: split_losses(run.records, columns),
    ),
)


@dataclass(frozen=True)
class _Scale:
    """How much is trained and predicted for the figures that need no run."""

    dimension: int
    seeds: int
    steps: int
    grid: int


_FULL, _QUICK = _Scale(200, 12, 400, 5), _Scale(40, 2, 20, 2)


def system_figures(quick: bool) -> tuple[SystemFigure, ...]:
    """Training in each setting, double descent, scaling, stability, shift, phases."""
    scale = _QUICK if quick else _FULL
    figures: dict[str, Callable[[_Scale, style.Columns], Figure]] = {
        "linear-settings": _settings,
        "linear-double-descent": _double_descent,
        "linear-scaling": _scaling,
        "linear-stability": _stability,
        "linear-shift": _shift,
        "linear-phases": _phases,
    }

    def drawn(
        make: Callable[[_Scale, style.Columns], Figure],
    ) -> Callable[[style.Columns], Figure]:
        return lambda columns: make(scale, columns)

    return tuple(SystemFigure(name, drawn(make)) for name, make in figures.items())


def _settings(scale: _Scale, columns: style.Columns) -> Figure:
    """Every algorithm, on inputs and on random features."""
    panels = []
    for features in (None, scale.dimension // 2):
        curves = []
        for name in ("gd", "sgd", "one-pass", "shuffled"):
            config = _config(scale, name, features=features)
            curves.append(_trained(config, scale, name))
        title = "inputs" if features is None else f"{features} random features"
        panels.append(Panel(title, "steps", "test loss", tuple(curves)))
    return curve_panels(panels, columns)


def _shift(scale: _Scale, columns: style.Columns) -> Figure:
    """Test covariances other than that of the inputs."""
    curves = []
    for exponent, words in ((None, "same"), (0.6, "k^-0.6"), (2.0, "k^-2")):
        config = _config(scale, "sgd")
        covariance = replace(config.covariance, test_exponent=exponent)
        curves.append(_trained(replace(config, covariance=covariance), scale, words))
    return curve_panels([Panel("test covariance", "steps", "test loss", tuple(curves))], columns)


def _config(scale: _Scale, name: str, features: int | None = None) -> LinearConfig:
    samples = 3 * scale.dimension // 4 // 4 * 4
    return LinearConfig(
        covariance=CovarianceConfig(dimension=scale.dimension),
        samples=None if name == "one-pass" else samples,
        features=features,
        algorithm=name,  # type: ignore[arg-type]
        batch_size=samples if name == "gd" else 1 if samples % 4 else 4,
        dtype="float64",
    )


def _trained(config: LinearConfig, scale: _Scale, label: str) -> Curve:
    """Test loss of real runs, and its prediction."""
    steps = sorted({round(step) for step in np.geomspace(1, scale.steps, 10)})
    line = np.unique(np.round(np.geomspace(1, scale.steps, 60)))
    losses = np.array([_losses(replace(config, seed=s), steps) for s in range(scale.seeds)])
    curves = loss_curves(config.problem(), config.trained(), line)
    error = losses.std(0, ddof=1) / math.sqrt(len(losses))
    return Curve(label, line, curves.test, np.array(steps, float), losses.mean(0), error)


def _losses(config: LinearConfig, steps: Sequence[int]) -> list[float]:
    system = config.build(torch.Generator().manual_seed(config.seed))
    batches = system.batches(torch.Generator().manual_seed(config.seed + 1_000_000))
    theory, found, before = system.theory, [], 0
    assert theory is not None
    for step in steps:
        fit(
            system.model,
            system.loss,
            batches,
            system.optimiser,
            epochs=1,
            steps_per_epoch=int(step) - before,
        )
        before = int(step)
        (quantity,) = theory.statistics(system.model, (None, None)).quantities()
        found.append(float(quantity.values))
    return found


def _grows(config: LinearConfig, steps: int) -> bool:
    """Whether a run's loss is larger in the end than after its first step."""
    try:
        start, end = _losses(config, [1, steps])
    except FloatingPointError:  # it has left the number range
        return True
    return end > start


def _double_descent(scale: _Scale, columns: style.Columns) -> Figure:
    """Over samples at infinite width, and over the width, for three ridges."""
    k = np.arange(1, scale.dimension + 1.0)
    s, w = k**-1.0 / (k**-1.0).sum(), k**-0.2
    fixed = scale.dimension // 2
    grid = np.unique(np.round(np.geomspace(fixed / 8, 8 * fixed, 81)))
    some = np.unique(np.round(np.geomspace(fixed / 6, 6 * fixed, scale.grid)))
    panels = []
    for title, over_samples in (("over samples", True), ("over features", False)):
        curves = []
        for ridge in (1e-6, 1e-3, 1e-2):

            def problem(n: float, over: bool = over_samples) -> LinearProblem:
                samples, features = (n, fixed) if over else (fixed, n)
                return LinearProblem(s, w**2, noise=0.05, samples=samples, features=features)

            line = np.array([ridge_losses(problem(n), ridge).test for n in grid])
            runs = np.array(
                [[_ridge_run(problem(n), w, ridge, i) for i in range(scale.seeds)] for n in some]
            )
            error = runs.std(1, ddof=1) / math.sqrt(scale.seeds)
            curves.append(Curve(f"ridge {ridge:g}", grid, line, some, runs.mean(1), error))
        label, other = ("samples P", "features") if over_samples else ("features N", "samples")
        mark = (f"{fixed} {other}", float(fixed))
        panels.append(Panel(title, label, "test loss", tuple(curves), (mark,)))
    return curve_panels(panels, columns)


def _ridge_run(problem: LinearProblem, w: FloatArray, ridge: float, seed: int) -> float:
    """Test loss of ridge regression on one draw of samples and features."""
    rng = np.random.default_rng(seed)
    samples, features = int(problem.samples), int(problem.features)
    x = rng.standard_normal((samples, len(w))) * np.sqrt(problem.spectrum)
    f = rng.standard_normal((len(w), features)) / math.sqrt(features)
    y = x @ w + math.sqrt(problem.noise) * rng.standard_normal(samples)
    phi = x @ f
    if features < samples:
        v = np.linalg.solve(phi.T @ phi / samples + ridge * np.eye(features), phi.T @ y / samples)
    else:
        dual = np.linalg.solve(phi @ phi.T / samples + ridge * np.eye(samples), y / samples)
        v = phi.T @ dual
    return float((f @ v - w) ** 2 @ problem.spectrum)


def _scaling(scale: _Scale, columns: style.Columns) -> Figure:
    """Loss over compute for several widths, and the frontier under them."""
    widths = np.geomspace(30, 3000, 4 * scale.grid)
    compute = np.geomspace(1e4, 1e7, 4 * scale.grid)
    found = frontier(lambda n: PowerLaw(1.5, 0.5, 10**6, 200), widths, compute)
    shown = range(0, len(widths), max(1, len(widths) // 5))
    curves = [Curve("frontier", compute, found.loss)]
    curves += [
        Curve(f"N = {widths[i]:.0f}", compute[kept], found.losses[kept, i])
        for i in shown
        if (kept := np.isfinite(found.losses[:, i])).any()
    ]
    expected = phase(0.75, 0.25)
    assert expected is not None
    slope = found.width[0] * (compute / compute[0]) ** expected.width_exponent
    best = (
        Curve("N*(C)", compute, found.width),
        Curve(f"C^{expected.width_exponent:.2g}", compute, slope),
    )
    return curve_panels(
        [
            Panel("one-pass SGD, alpha 0.75, beta 0.25", "compute N t", "test loss", tuple(curves)),
            Panel("best width", "compute N t", "features", best),
        ],
        columns,
    )


def _stability(scale: _Scale, columns: style.Columns) -> Figure:
    """Critical rate over batch sizes, and runs on both sides of it."""
    config = _config(scale, "sgd")
    problem = config.problem()
    batches = np.unique(np.round(np.geomspace(1, config.samples or 1, 4 * scale.grid)))
    edge = critical_learning_rate(problem, Algorithm("gd", 1.0))
    assert edge is not None
    rates = edge * np.geomspace(0.01, 1.5, 5 * scale.grid)
    critical = np.array(
        [critical_learning_rate(problem, Algorithm("sgd", 1.0, int(b))) for b in batches]
    )
    values = np.full((len(batches), len(rates)), math.nan)
    for row, batch in enumerate(batches):
        for column, rate in enumerate(rates):
            if rate < critical[row]:
                algorithm = Algorithm("sgd", float(rate), int(batch))
                values[row, column] = math.log10(
                    width_losses(problem, algorithm, np.array([200.0]))[0]
                )
    points: dict[str, list[tuple[float, float]]] = {"run decays": [], "run grows": []}
    for batch in (1, 4, 16):
        for share in (0.7, 1.3):
            rate = share * critical[int(np.abs(batches - batch).argmin())]
            run = replace(config, batch_size=batch, lr=float(rate) / 2)
            grows = _grows(run, 4 * scale.steps)
            points["run grows" if grows else "run decays"].append((rate, batch))
    return plane(
        Plane(
            "loss after 200 steps",
            "learning rate (2 lr)",
            "batch size",
            "log10 of the predicted test loss",
            rates,
            batches,
            values,
            (
                ("critical rate", critical, batches),
                ("2 / lam+", np.full(2, edge), batches[[0, -1]]),
            ),
            tuple((label, *np.array(places).reshape(-1, 2).T) for label, places in points.items()),
            logarithmic=True,
        ),
        columns,
    )


def _phases(scale: _Scale, columns: style.Columns) -> Figure:
    """Exponent of the frontier from theory, with the phases of arXiv 2405.15074 over it."""
    alphas = np.linspace(0.35, 1.25, 2 * scale.grid - 1)
    betas = np.linspace(0.2, 1.4, 2 * scale.grid - 1)
    values = np.array([[_exponent(a, b) for a in alphas] for b in betas])
    half = np.array([0.5, 0.5])
    lines = (
        ("2405.15074", half, betas[[0, -1]]),
        ("", alphas[[0, -1]], half),
        ("", np.array([0.5, alphas[-1]]), np.array([0.5, alphas[-1]])),
    )
    places = ((0.9, 0.33), (0.42, 0.4), (1.05, 0.72), (0.75, 1.15), (0.42, 1.1))
    texts = tuple((a, b, found.name) for a, b in places if (found := phase(a, b)))
    return plane(
        Plane(
            "exponent of the compute-optimal loss",
            "data exponent alpha",
            "target exponent beta",
            "-d log L* / d log C",
            alphas,
            betas,
            values,
            lines,
            texts=texts,
        ),
        columns,
    )


def _exponent(alpha: float, beta: float) -> float:
    """Between two computes; NaN where the best width is out of reach."""
    expected = phase(alpha, beta)
    if expected is None:
        return math.nan
    compute = np.array([1e6, 1e7])
    centre = float(compute.mean() ** expected.width_exponent)
    widths = np.geomspace(max(8.0, centre / 10), centre * 60, 10)
    try:
        found = frontier(
            lambda n: PowerLaw(2 * alpha, 2 * beta, 10**6 if alpha > 0.5 else int(10 * n), 100),
            widths,
            compute,
        )
    except ValueError:
        return math.nan
    return float(-np.diff(np.log(found.loss))[0] / np.diff(np.log(compute))[0])
