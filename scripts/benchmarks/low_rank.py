"""Low-rank reconstruction: steps, batches, a phase portrait and predictions, in ratios.

Each job stands beside its own unit, timed in turn with it: a pass over the operator's memory, a
cosine transform of the matrix, the same runs one after the other, `numpy.linalg.eigvalsh`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch

from spectrain.answers.dispatch import answer
from spectrain.models.low_rank.descent import descend
from spectrain.models.low_rank.factorisation import local_loss
from spectrain.models.low_rank.gaussian import GaussianMeasurements
from spectrain.models.low_rank.measurements import Measurements
from spectrain.models.low_rank.standing import relative_error
from spectrain.models.low_rank.structured import StructuredMeasurements
from spectrain.models.low_rank.truth import random_matrix, small_start
from spectrain.theory.low_rank.problem import LowRankProblem
from spectrain.theory.low_rank.stages import Start
from spectrain.training.systems.low_rank_sweeps import Patience, success_map

from .timing import duration, machine, side_by_side

__all__ = ["add_arguments", "run"]

_LAM = (1.0, 0.6, 0.35)
_RATE = 0.1
_RUNS = 16
_UNIT = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the suite."""
    parser.add_argument("--repeats", type=int, default=30, help="of each job (default 30)")
    parser.add_argument("--portrait", action="store_true", help="time the phase portrait too")


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(machine(), flush=True)
    print(f"{'job':44} {'unit':28} {'target':>7} {'ratio':>7} {'job':>9} {'unit':>9}", flush=True)
    repeats = arguments.repeats
    _dense(repeats)
    _structured(repeats)
    _predictions(max(3, repeats // 3))
    if arguments.portrait:
        _portrait()
    print(machine())


def _row(
    name: str,
    unit_name: str,
    target: float,
    job: Callable[[], object],
    unit: Callable[[], object],
    repeats: int,
    share: float = 1.0,
) -> None:
    """A line: the job over the unit, times what the job is a share of."""
    job()
    unit()
    one, ours = side_by_side([unit, job], repeats)
    ratio = share * ours.minimum / one.minimum
    print(
        f"{name:44} {unit_name:28} {target:7.3g} {ratio:7.2f} "
        f"{duration(ours.minimum):>9} {duration(one.minimum):>9}",
        flush=True,
    )


def _step(
    measurements: Measurements, factors: int, batch: tuple[int, ...] = ()
) -> Callable[[], object]:
    """A step of descent from somewhere on the way."""
    source = torch.Generator().manual_seed(0)
    n = measurements.size
    outcomes = measurements.forward(random_matrix(n, _LAM, source).matrix)
    starts = [small_start(n, factors, 0.1, source) for _ in range(batch[0] if batch else 1)]
    point = torch.stack(starts) if batch else starts[0]
    return lambda: point - _RATE * local_loss(measurements, outcomes, point).gradient


def _dense(repeats: int) -> None:
    source = torch.Generator().manual_seed(0)
    dense = GaussianMeasurements(60, 720, source)
    vector = torch.randn(dense.symmetric.length, dtype=torch.float64, generator=source)
    _row(
        "step, n = q = 60, m = 720", "a product with the operator", 3, _step(dense, 60),
        lambda: dense.matrix @ vector, repeats,
    )  # fmt: skip
    # At n = 60 the operator lies in the cache of a processor; at n = 120 it does not.
    for n, m in ((60, 720), (120, 2160)):
        own = dense if n == dense.size else GaussianMeasurements(n, m, source)
        name = f"run-step of 16 side by side, n = q = {n}"
        job, unit = _step(own, n, (_RUNS,)), _step(own, n)
        _row(name, "a step alone", 0.25, job, unit, repeats if n == 60 else 5, 1 / _RUNS)


def _structured(repeats: int) -> None:
    source = torch.Generator().manual_seed(0)
    structured = StructuredMeasurements(400, 9600, source)
    matrix = torch.randn(400, 400, dtype=torch.float64, generator=source)
    step = _step(structured, 4)
    for name, unit in (
        ("complex fft2 of the matrix", lambda: torch.fft.fft2(matrix)),
        ("fft of its entries", lambda: torch.fft.rfft(matrix.flatten())),
    ):
        _row("step, n = 400, q = 4, structured", name, 10, step, unit, repeats)


def _predictions(repeats: int) -> None:
    matrix = np.random.default_rng(0).standard_normal((_UNIT, _UNIT))
    matrix += matrix.T
    asked = {
        "system": "low-rank", "size": 400, "eigenvalues": list(_LAM), "factors": 400,
        "measurements": 9600, "scale": 1e-4, "learning_rate": _RATE,
    }  # fmt: skip
    curves = {**asked, "times": list(range(0, 400, 4))}
    for command, content in (("predict", asked), ("dynamics, 100 times", curves)):
        _row(
            command, f"eigvalsh of size {_UNIT}", 2,
            lambda command=command, content=content: answer(command.split(",")[0], content),
            lambda: np.linalg.eigvalsh(matrix), repeats,
        )  # fmt: skip


def _portrait() -> None:
    """The 8 x 8 portrait of 8 trials beside an eighth of its 512 runs one by one."""
    n, lam, scales, trials = 40, (1.0, 1.0), np.geomspace(1e-8, 1e-1, 8).tolist(), 8
    counts = [round(ratio * n * len(lam)) for ratio in np.linspace(1, 5.5, 8)]
    patience = Patience(1000, 0.01)

    def together() -> object:
        return success_map(n, lam, n, (counts, scales), trials, patience)

    def stopped() -> None:
        for m in counts:
            for scale in scales:
                _alone(LowRankProblem(n, lam, m), scale, patience)

    def whole() -> None:
        for m in counts:
            for scale in scales:
                _alone(LowRankProblem(n, lam, m), scale, None)

    for unit, alone in (("512 runs, stopped alike", stopped), ("512 runs, all steps", whole)):
        _row("phase portrait", unit, 0.25, together, alone, 1, 1 / trials)


def _alone(problem: LowRankProblem, scale: float, patience: Patience | None) -> None:
    """One run, from the draw on; all 1000 steps without patience."""
    n = problem.size
    source = torch.Generator().manual_seed(0)
    matrix = random_matrix(n, problem.eigenvalues, source).matrix
    dense = GaussianMeasurements(n, problem.measurements, source)
    outcomes, point = dense.forward(matrix), small_start(n, n, scale, source)
    if patience is None:
        descend(dense, outcomes, point, _RATE, 1000)
        return
    earliest = patience.earliest(problem, Start(n, scale, _RATE))
    steps, before, now, over = 0, np.inf, np.inf, False
    while not over:
        point = descend(dense, outcomes, point, _RATE, patience.look)
        steps, before, now = steps + patience.look, now, float(relative_error(point, matrix))
        over = patience.over(steps, earliest, before, now)
