"""Figures and words of linear models."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..probes.records.record_file import Run
from ..theory.linear.algorithm import Algorithm
from ..theory.linear.loss_curves import loss_curves
from ..theory.linear.phases import phase
from ..theory.linear.power_law import PowerLaw
from ..theory.linear.problem import LinearProblem
from ..theory.linear.scaling import (
    frontier,
    local_exponents,
    loss_over_features,
    loss_over_samples,
    width_losses,
)
from ..theory.linear.stability import critical_learning_rate
from ..theory.linear.static import ridge_losses
from ..theory.spectrum import FloatArray
from ..training.systems.kernel import KernelConfig
from ..training.systems.linear import CovarianceConfig, LinearConfig
from ..training.systems.linear_runs import LinearRuns
from ..training.systems.linear_training import LinearTrainingConfig
from ..views.figures import style
from ..views.figures.curve_panels import Curve, Panel, Plane, curve_panels, plane
from ..views.figures.figure import RunFigure, SystemFigure
from ..views.figures.split_losses import split_losses
from .linear_frontier import power_law_runs, predicted_exponent, trained_exponent

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


_LOSS = "test loss (squared target)"
_FULL, _QUICK = _Scale(200, 32, 400, 5), _Scale(40, 2, 20, 2)


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
    """Every algorithm, on inputs, on random features and with a kernel; schedule and decay."""
    names = ("flow", "gd", "sgd", "one-pass", "shuffled")
    panels = []
    for features in (None, scale.dimension // 2):
        curves = [_trained(_config(scale, name, features), scale, name) for name in names]
        title = "inputs" if features is None else f"{features} random features"
        panels.append(Panel(title, "steps", _LOSS, tuple(curves), logarithmic=True))
    kernel = KernelConfig(samples=_samples(scale))
    curves = [
        _trained(replace(kernel, algorithm=name), scale, name)
        for name in ("flow", "gd", "sgd", "shuffled")
    ]
    title = "kernel on the sphere"
    panels.append(Panel(title, "steps", _LOSS, tuple(curves), logarithmic=True))
    plain, last = _config(scale, "sgd"), scale.steps
    factors = tuple(
        (t, min(1.0, (1 + t) / (last // 10)) * (1 + math.cos(math.pi * t / last)) / 2)
        for t in range(last)
    )
    curves = [
        _trained(plain, scale, "constant rate"),
        _trained(replace(plain, schedule=factors), scale, "warm-up, cosine"),
        _trained(replace(plain, weight_decay=0.02), scale, "weight decay .02"),
    ]
    panels.append(Panel("sgd on inputs", "steps", _LOSS, tuple(curves), logarithmic=True))
    return curve_panels(panels, columns)


def _shift(scale: _Scale, columns: style.Columns) -> Figure:
    """Test covariances other than that of the inputs."""
    tested: dict[str, dict[str, Any]] = {
        "same": {},
        "$k^{-0.6}$": {"test_exponent": 0.6},
        "$k^{-2}$": {"test_exponent": 2.0},
        "$k^{-2}$, half of it turned": {"test_exponent": 2.0, "test_rotation": 0.5},
    }
    curves = []
    for words, given in tested.items():
        config = _config(scale, "gd")
        covariance = replace(config.covariance, **given)
        curves.append(_trained(replace(config, covariance=covariance), scale, words))
    panel = Panel("gd, by test covariance", "steps", _LOSS, tuple(curves), logarithmic=True)
    return curve_panels([panel], columns)


def _samples(scale: _Scale) -> int:
    """A multiple of the batch size 4."""
    return 3 * scale.dimension // 4 // 4 * 4


def _config(scale: _Scale, name: str, features: int | None = None) -> LinearConfig:
    return LinearConfig(
        covariance=CovarianceConfig(dimension=scale.dimension),
        samples=None if name == "one-pass" else _samples(scale),
        features=features,
        algorithm=name,  # type: ignore[arg-type]
        batch_size=4,
        dtype="float64",
    )


def _trained(config: LinearTrainingConfig, scale: _Scale, label: str) -> Curve:
    """Test loss of real runs, and its prediction."""
    steps = sorted({round(step) for step in np.geomspace(1, scale.steps, 10)})
    line = np.unique(np.round(np.geomspace(1, scale.steps, 60)))
    config = replace(config, lr=config.learning_rate())
    (runs,) = LinearRuns()([replace(config, seed=seed) for seed in range(scale.seeds)], steps)
    losses = runs.values
    curves = loss_curves(config.problem(), config.trained(), line)
    error = losses.std(0, ddof=1) / math.sqrt(len(losses))
    return Curve(label, line, curves.test, np.array(steps, float), losses.mean(0), error)


def _grows(config: LinearConfig, steps: int) -> bool:
    """Whether the loss of most of eight runs is larger in the end than after the first step."""
    (runs,) = LinearRuns()([replace(config, seed=seed) for seed in range(8)], [1, steps])
    start, end = runs.values.T
    return float(np.median(np.nan_to_num(end / start, nan=math.inf))) > 1


def _double_descent(scale: _Scale, columns: style.Columns) -> Figure:
    """Over samples, and over the width, for three ridges."""
    k = np.arange(1, scale.dimension + 1.0)
    s, w = k**-1.0 / (k**-1.0).sum(), k**-0.2
    fixed, seeds = scale.dimension // 2, 4 * scale.seeds
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
                [[_ridge_run(problem(n), w, ridge, i) for i in range(seeds)] for n in some]
            )
            error = runs.std(1, ddof=1) / math.sqrt(seeds)
            curves.append(Curve(f"ridge {ridge:g}", grid, line, some, runs.mean(1), error))
        label, other = ("samples P", "features") if over_samples else ("features N", "samples")
        mark = (f"{fixed} {other}", float(fixed))
        panels.append(Panel(title, label, _LOSS, tuple(curves), (mark,)))
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
    """Loss over compute for several widths, the frontier under them, and its exponents."""
    alpha, beta, inputs = 0.75, 0.25, 2000
    widths = np.geomspace(30, 3000, 4 * scale.grid)
    compute = np.geomspace(1e4, 1e7, 4 * scale.grid)
    found = frontier(lambda n: PowerLaw(2 * alpha, 2 * beta, 10**6, 200), widths, compute)
    shown = range(0, len(widths), max(1, len(widths) // 5))
    curves = [Curve("frontier", compute, found.loss)]
    for i in shown:
        kept = np.isfinite(found.losses[:, i])
        if not kept.any():
            continue
        width = round(widths[i])
        curve = Curve(f"N = {width}", compute[kept], found.losses[kept, i])
        if width < 300:
            steps = [round(c / width) for c in (1e4, 3e4, 1e5)]
            runs = power_law_runs(alpha, beta, inputs, width, steps, max(2, scale.seeds // 4))
            error = runs.std(0, ddof=1) / math.sqrt(len(runs))
            trained = {"points": width * np.array(steps, float), "means": runs.mean(0)}
            curve = replace(curve, errors=error, **trained)
        curves.append(curve)
    expected = phase(alpha, beta)
    assert expected is not None
    slope = found.width[0] * (compute / compute[0]) ** expected.width_exponent
    best = (
        Curve("N*(C)", compute, found.width),
        Curve(f"$C^{{{expected.width_exponent:.2g}}}$", compute, slope),
    )
    local = []
    for label, values, limit in (
        ("−d log L* / d log C", 1 / found.loss, expected.loss_exponent),
        ("d log N* / d log C", found.width, expected.width_exponent),
    ):
        here = local_exponents(compute, values)
        local.append(Curve(label, here.x, here.values, doubts=here.errors))
        local.append(Curve(f"{limit:.2g}, phase {expected.name}", here.x, 0 * here.x + limit))
    time = np.geomspace(1, 1e6, 30)
    flow = PowerLaw(1.4, 0.2, 10**6).problem()
    counts = np.geomspace(50, 5000, 15)
    law = PowerLaw(1.4, 0.2, 10**6)
    laws = (
        Curve("over time of the flow", time, width_losses(flow, Algorithm("flow"), time)),
        Curve("over features", counts, loss_over_features(law, counts)),
        Curve("over samples", counts, loss_over_samples(law, counts)),
        Curve("$t^{-0.43}$", time, time ** (-0.6 / 1.4)),
        Curve("$n^{-0.6}$", counts, counts**-0.6),
    )
    title, across = "one-pass SGD, α = 0.75, β = 0.25", "compute N t (features × steps)"
    return curve_panels(
        [
            Panel(title, across, _LOSS, tuple(curves), logarithmic=True),
            Panel("best width", across, "features", best, logarithmic=True),
            Panel("local exponents", across, "exponent", tuple(local)),
            Panel(
                "$s=k^{-1.4}$, $as=k^{-1.6}$", "time, features, samples", _LOSS, laws,
                logarithmic=True,
            ),
        ],
        columns,
    )  # fmt: skip


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
    points: dict[str, list[tuple[float, float]]] = {"measured, decays": [], "measured, grows": []}
    for batch in (1, 4, 16):
        for share in (0.7, 1.3):
            rate = share * critical[int(np.abs(batches - batch).argmin())]
            run = replace(config, batch_size=batch, lr=float(rate) / 2)
            grows = _grows(run, 4 * scale.steps)
            points["measured, grows" if grows else "measured, decays"].append((rate, batch))
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
                ("predicted critical rate", critical, batches),
                (r"$2/\lambda_+$, whole batch", np.full(2, edge), batches[[0, -1]]),
            ),
            tuple((label, *np.array(places).reshape(-1, 2).T) for label, places in points.items()),
            logarithmic=True,
        ),
        columns,
    )


_PLACES = (
    (0.9, 0.33),
    (0.42, 0.4),
    (0.2, 0.65),
    (1.05, 0.72),
    (0.75, 1.15),
    (0.4, 1.1),
    (0.27, 0.9),
)


def _phases(scale: _Scale, columns: style.Columns) -> Figure:
    """Exponent of the frontier from theory, the phases of arXiv 2405.15074, and runs as points."""
    alphas = np.linspace(0.125, 1.225, 2 * scale.grid + 1)
    betas = np.linspace(0.15, 1.35, 2 * scale.grid - 2)
    large, small = np.array([1e8, 1e9]), np.array([1e4, 1e5])
    values = np.array([[predicted_exponent(a, b, large) for a in alphas] for b in betas])
    left, right, top = alphas[0], alphas[-1], betas[-1]
    quarter, third = 0.25, 1 - math.sqrt(0.5)
    lines = (
        ("phases of arXiv 2405.15074", np.array([0.5, 0.5]), betas[[0, -1]]),
        ("", np.array([left, right]), np.array([0.5, 0.5])),
        ("", np.array([0.5, right]), np.array([0.5, right])),
        ("", np.array([quarter, quarter]), np.array([0.5, top])),
        ("", np.array([third, third]), np.array([0.5, top])),
        ("", np.array([left, 0.5 - betas[0]]), np.array([0.5 - left, betas[0]])),
    )
    texts, measured = [], []
    for alpha, beta in _PLACES if scale.seeds > 2 else _PLACES[:1]:
        expected = phase(alpha, beta)
        assert expected is not None
        runs = trained_exponent(alpha, beta, small, max(2, scale.seeds // 8))
        measured.append((alpha, beta, runs.value))
        words = f"{expected.name}: {expected.loss_exponent:.2f}\n"
        words += f"{runs.value:.2f} ± {runs.error:.2f} / {runs.expected:.2f}"
        texts.append((alpha, beta + 0.085, words))
    return plane(
        Plane(
            "compute-optimal loss: exponent for $C$ from $10^8$ to $10^9$\n"
            "at points: limit, measured ± s.e. / predicted for $C$ from $10^4$ to $10^5$",
            "exponent α of the data",
            "exponent β of the target",
            "predicted −d log L* / d log C",
            alphas,
            betas,
            values,
            lines,
            measured=("measured exponent", *np.array(measured).T),
            texts=tuple(texts),
        ),
        columns,
    )
