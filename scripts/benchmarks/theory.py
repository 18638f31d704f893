"""The effective theory, beside what finding the same numbers by simulation would take.

Every job starts from the statistics alone: quadrature, factors and solutions are computed afresh.
Only what depends on the head and not on the statistics (how far D reaches, quadrature nodes of a
standard Gaussian) is remembered by the modules from one repeat to the next; what the very first
call takes is printed too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spectrain.models.heads import SoftmaxHead, TwoLayerHead
from spectrain.theory.mixture.dynamics import SGD, DynamicsPath, EffectiveDynamics
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.factors import Matrix
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics
from spectrain.theory.spectrum import Spectrum

from .demo_predictions import print_demo_predictions
from .linear_models import print_ratios
from .simulation import Problem, SampledPath, SampledSpectrum, Simulation, scaling
from .timing import duration, machine, once, side_by_side

__all__ = ["add_arguments", "run"]

_MATRICES: tuple[Matrix, ...] = ("hessian", "information")
_TIME, _TIMES = 20.0, 50
_REPORTS = 21  # times at which a path of the dynamics is asked for
_DIMENSION = 1000  # at which theory and simulation are compared for use at finite d
_GUARANTEED = 1e-6  # relative; the error asked of an outlier, if a result happens to be better


@dataclass(frozen=True)
class _Job:
    """One line of the table.

    Attributes:
        name: what is predicted.
        target: seconds it should take.
        run: the prediction, afresh.
        simulation: of the same numbers.
        sizes: of the simulation: d and draws for its error, d for its seconds.
    """

    name: str
    target: float
    run: Callable[[], list[Spectrum] | DynamicsPath]
    simulation: Simulation
    sizes: tuple[int, int, int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the suite."""
    parser.add_argument("--repeats", type=int, default=7, help="of each job (default 7)")
    parser.add_argument("--epochs", type=int, default=30, help="of the demo's training")
    parser.add_argument("--no-simulation", action="store_true", help="time the theory alone")


def run(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    jobs = _jobs()
    print(machine(), flush=True)
    cold = once(jobs[0].run)
    results = [job.run() for job in jobs]
    timings = side_by_side([job.run for job in jobs], arguments.repeats)
    print(f"{arguments.repeats} repeats; the first job took {duration(cold)} in a new process\n")
    width = max(len(job.name) for job in jobs)
    print(f"{'job':{width}}  {'target':>8} {'median':>8} {'minimum':>8} {'spread':>8}")
    for job, timing in zip(jobs, timings, strict=True):
        row = (job.target, timing.median, timing.minimum, timing.spread)
        print(
            f"{job.name:{width}}  " + " ".join(f"{duration(value):>8}" for value in row), flush=True
        )
    if not arguments.no_simulation:
        _print_simulations(jobs, results, width)
    print_ratios(arguments.repeats, not arguments.no_simulation)
    print_demo_predictions(arguments.epochs)
    print(f"\n{machine()}")


def _print_simulations(
    jobs: list[_Job], results: list[list[Spectrum] | DynamicsPath], width: int
) -> None:
    print(
        "\nSimulation with the same error in the largest outlier (dynamics: in x_0.mu_0). Edges,\n"
        "whose bias is of order d^(-2/3), would take more. 'limit': numerical error against\n"
        "bias / d + spread / (d draws)^(1/2), half from each. 'd = 1000': the theory's distance\n"
        "bias / d from the mean at this d, against the standard error of the draws. Seconds are\n"
        "extrapolated by d to the exponent from those measured, by the cheapest\n"
        "method. ~: bias within two standard errors of zero: it may be smaller than printed, and\n"
        "the draws needed at d = 1000 more.\n"
    )
    for job, result in zip(jobs, results, strict=True):
        predicted, error = _leading(result)
        found = scaling(job.simulation, predicted, *job.sizes)
        error = max(error, _GUARANTEED)
        dimension, draws, seconds = found.in_the_limit(error)
        some, at = found.at(_DIMENSION)
        bias = f"{'' if found.resolved else '~'}{found.bias:.2g}"
        costs = "; ".join(
            f"{method.name} {duration(seconds)} at d = {found.dimension}, exponent "
            f"{method.exponent:g}"
            for seconds, method in zip(found.seconds, found.methods, strict=True)
        )
        print(
            f"{job.name}\n"
            f"    {costs}; spread {found.spread:.2g}, bias {bias}\n"
            f"    d = {_DIMENSION}: {some:.3g} draws, {duration(at)}\n"
            f"    limit, error {error:.1g}: d = {dimension:.2g}, {draws:.3g} draws, "
            f"{duration(seconds)}",
            flush=True,
        )


def _leading(result: list[Spectrum] | DynamicsPath) -> tuple[float, float]:
    """The number that is compared, and its relative numerical error."""
    if isinstance(result, DynamicsPath):
        c = result.gram.shape[1] // 2
        return float(result.gram[-1, 0, c]), float(result.error[-1])
    outlier = result[0].top[0]
    return outlier.value, outlier.error / outlier.value


def _jobs() -> list[_Job]:
    softmax, narrow, wide = _softmax(), _xor(2), _xor(8)
    sgd = SGD(scaled_learning_rate=0.5, ridge=0.05)
    times = np.linspace(0, _TIME, _REPORTS)
    dynamics = _dynamics(softmax, sgd)
    along = [dynamics.at(float(time)) for time in np.linspace(0, _TIME, _TIMES)]
    every = (0, 1, 2)

    def sampled(
        problem: Problem, rows: tuple[int, ...], whole: bool, times: int = 1
    ) -> SampledSpectrum:
        return SampledSpectrum(problem, "hessian", rows, whole, times)

    return [
        _Job(
            "softmax, one class: edges, outliers, overlaps",
            0.03,
            lambda: [_predict(softmax, softmax.statistics, (0,), 0)],
            sampled(softmax, (0,), False),
            (100, 400, 1000),
        ),
        _Job(
            "the same, and density at 400 points",
            0.1,
            lambda: [_predict(softmax, softmax.statistics, (0,), 400)],
            sampled(softmax, (0,), True),
            (100, 400, 1000),
        ),
        _Job(
            "softmax, all classes: the same",
            0.5,
            lambda: [_predict(softmax, softmax.statistics, every, 400)],
            sampled(softmax, every, True),
            (60, 300, 400),
        ),
        _Job(
            f"softmax, dynamics to t = {_TIME:g}, bands at {_REPORTS} times",
            0.5,
            lambda: _dynamics(softmax, sgd).path(times),
            SampledPath(softmax, sgd, _TIME),
            (40, 20, 250),
        ),
        _Job(
            f"softmax, 3 classes, both matrices, {_TIMES} times",
            6.0,
            lambda: _predict_along(softmax, along),
            sampled(softmax, (0,), False, 2 * len(every) * _TIMES),
            (100, 400, 1000),
        ),
        _Job(
            "two-layer, width 2, all units: everything",
            0.6,
            lambda: [_predict(narrow, narrow.statistics, (0, 1), 400)],
            sampled(narrow, (0, 1), True),
            (60, 300, 500),
        ),
        _Job(
            "two-layer, width 8, all units: edges, outliers",
            4.0,
            lambda: [_predict(wide, wide.statistics, tuple(range(8)), 0)],
            sampled(wide, tuple(range(8)), False),
            (50, 60, 250),
        ),
    ]


def _predict(
    problem: Problem, statistics: Statistics, rows: tuple[int, ...], points: int
) -> Spectrum:
    theory = EffectiveSpectrum(problem.head, statistics, problem.law, problem.aspect_ratio)
    return theory.spectrum("hessian", rows, "block", points)


def _predict_along(problem: Problem, along: list[Statistics]) -> list[Spectrum]:
    found = []
    for statistics in along:
        theory = EffectiveSpectrum(problem.head, statistics, problem.law, problem.aspect_ratio)
        found += [
            theory.spectrum(matrix, (row,), f"class {row}", 0)
            for matrix in _MATRICES
            for row in range(problem.head.directions)
        ]
    return found


def _dynamics(problem: Problem, sgd: SGD) -> EffectiveDynamics:
    return EffectiveDynamics(problem.head, problem.law, sgd, problem.statistics)


def _softmax() -> Problem:
    """Three classes with orthonormal means, directions somewhat towards their means."""
    vectors = np.eye(6)
    vectors[:3, 3:] = 0.4 * np.eye(3) + 0.2 * np.random.default_rng(0).standard_normal((3, 3))
    vectors[:3] *= 0.6
    law = MixtureLaw(np.array([0.4, 0.35, 0.25]), np.arange(3), 6.0)
    return Problem(SoftmaxHead(3), Statistics(vectors @ vectors.T), law, 3.0)


def _xor(width: int) -> Problem:
    """A network with exact GELU and a second layer of alternating signs on XOR."""
    means = 1.5 * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    x = 0.4 * np.random.default_rng(1).standard_normal((width, 2 + width))
    vectors = np.vstack([x, np.hstack([means, np.zeros((4, width))])])
    second_layer = 1.5 * (-1.0) ** np.arange(width)
    law = MixtureLaw(np.full(4, 0.25), np.array([0, 0, 1, 1]), 6.0)
    return Problem(TwoLayerHead(width), Statistics(vectors @ vectors.T, second_layer), law, 4.0)
