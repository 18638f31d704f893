"""Draw how time and memory of the curvature engine grow with the size of the problem.

Usage: python scripts/curvature_scaling.py [--output docs/images/curvature-scaling]

One size is varied at a time: features d, samples n and classes C of a softmax regression with
hand-written products, parameters of a perceptron by automatic differentiation, and the number of
eigenvalues asked for. But for the last, the work is a fixed number of panels. Memory is what the
process grows by at its peak (Linux only), without the Krylov basis and the products that are kept
beside it, which are known in advance.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.problems import Problem
    from matplotlib.axes import Axes

_WIDTH, _STEPS = 8, 6


@dataclass(frozen=True)
class _Curve:
    """What is varied, its values, the job at each, and bytes of its basis."""

    label: str
    sizes: Sequence[int]
    job: Callable[[int], tuple[Callable[[], object], float]]


@dataclass(frozen=True)
class _Point:
    size: int
    seconds: float
    bytes: float


def main() -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="docs/images/curvature-scaling", help="without suffix")
    parser.add_argument("--repeats", type=int, default=5, help="of each job (default 5)")
    parser.add_argument(
        "--largest", type=int, default=10**7, help="parameters of the perceptron (default 10^7)"
    )
    arguments = parser.parse_args()
    from benchmarks.timing import machine

    print(machine())
    curves = {}
    for curve in _curves(arguments.largest):
        curves[curve.label] = [_measured(curve, size, arguments.repeats) for size in curve.sizes]
        for point in curves[curve.label]:
            print(
                f"{curve.label:24} {point.size:>9} {point.seconds:8.3f} s "
                f"{point.bytes / 1e6:8.0f} MB",
                flush=True,
            )
    _draw(curves, arguments.output)
    print(machine())


def _measured(curve: _Curve, size: int, repeats: int) -> _Point:
    from benchmarks.memory import peak_memory
    from benchmarks.timing import once

    job, basis = curve.job(size)
    once(job)
    seconds = statistics.median(once(job) for _ in range(repeats))
    return _Point(size, seconds, max(peak_memory(job) - basis, 0))


def _curves(largest: int) -> list[_Curve]:
    from benchmarks import ours
    from benchmarks.problems import softmax

    def fixed(problem: Problem) -> tuple[Callable[[], object], float]:
        operator = ours.hessian(problem)
        return lambda: ours.panels(operator, _STEPS, _WIDTH), 4.0 * _STEPS * _WIDTH * problem.size

    def eigenvalues(count: int) -> tuple[Callable[[], object], float]:
        operator = ours.hessian(softmax())
        held = float(ours.largest(operator, count, 1e-3).peak_memory)
        return lambda: ours.largest(operator, count, 1e-3), held

    parameters = [size for size in (10**4, 10**5, 10**6, 10**7) if size <= largest]
    return [
        _Curve("features d", (250, 500, 1000, 2000, 4000), lambda d: fixed(softmax(dimension=d))),
        _Curve(
            "samples n",
            (1000, 2000, 4000, 8000, 16000, 32000),
            lambda n: fixed(softmax(samples=n)),
        ),
        _Curve("classes C", (2, 4, 8, 16, 32), lambda c: fixed(softmax(classes=c))),
        _Curve("parameters", parameters, lambda size: fixed(_perceptron(size))),
        _Curve("eigenvalues", (1, 4, 16, 64, 128), eigenvalues),
    ]


def _perceptron(size: int) -> Problem:
    """Two hidden layers of equal width, about ``size`` parameters, 64 samples."""
    import torch
    from benchmarks.problems import Problem, mixture_sample
    from torch import nn

    # width^2 + (100 + 10 + 2) width = size
    width = round((56.0**2 + size) ** 0.5 - 56)
    inputs, targets = mixture_sample(100, 64, 10, torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(100, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, 10),
        )
    return Problem("perceptron", model, nn.CrossEntropyLoss(), inputs, targets)


def _draw(curves: dict[str, list[_Point]], output: str) -> None:
    from spectrain.views.figures.style import finish_scale, new_figure, paper, save

    with paper():
        figure, axes = new_figure(2, len(curves), height=3.6, sharey="row", sharex="col")
        for column, (label, points) in enumerate(curves.items()):
            sizes = [point.size for point in points]
            _panel(axes[0, column], sizes, [point.seconds for point in points])
            _panel(axes[1, column], sizes, [point.bytes / 1e6 for point in points])
            axes[1, column].set_xlabel(label)
            axes[1, column].set_xticks([sizes[0], sizes[-1]], minor=False)
            axes[1, column].set_xticks([], minor=True)
            if sizes[-1] < 1e6:  # powers of ten, where the numbers would be long
                axes[1, column].set_xticklabels([f"{sizes[0]}", f"{sizes[-1]}"])
        axes[0, 0].legend(loc="upper left")
        axes[0, 0].set_ylabel("seconds")
        axes[1, 0].set_ylabel("MB beyond the basis")
        for panel in axes.flat:
            finish_scale(panel.yaxis)
    save(figure, output)


def _panel(axes: Axes, sizes: list[int], values: list[float]) -> None:
    """Points and, through the upper half of them, a power."""
    import numpy as np

    from spectrain.views.figures.style import MEASURED, PREDICTED

    style = {key: MEASURED[key] for key in ("color", "linestyle", "marker", "markersize")}
    axes.loglog(sizes, values, **style, label="measured")
    upper = slice(max(0, (len(sizes) - 2) // 2), None)
    x, y = np.array(sizes[upper], dtype=float), np.array(values[upper])
    if len(x) > 1 and (y > 0).all():
        slope, offset = np.polyfit(np.log(x), np.log(y), 1)
        line = np.exp(offset) * x**slope
        axes.loglog(x, line, **{**PREDICTED, "linewidth": 1}, label="power law")
        axes.set_title(f"power {slope:.2f}")


if __name__ == "__main__":
    main()
