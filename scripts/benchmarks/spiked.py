"""The spiked matrix-tensor model: laws of descent, outliers and a probing, in ratios.

The unit is `numpy.linalg.eigvalsh` of a 1000 x 1000 matrix, timed in turn with every job.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch

from spectrain.models.spiked.landscape import SpikedLandscape
from spectrain.models.spiked.start import random_signal, start_at_overlap
from spectrain.probes.curvature.formed import FormedCurvature
from spectrain.probes.curvature.sphere_curvature import SphereCurvature
from spectrain.probes.krylov.density import spectral_densities
from spectrain.probes.krylov.eigenpairs import extreme_eigenpairs
from spectrain.probes.krylov.krylov_space import krylov_space
from spectrain.theory.spiked.covariance import Covariance
from spectrain.theory.spiked.descent import PRECISION, thinned
from spectrain.theory.spiked.descent_law import DescentLaw
from spectrain.theory.spiked.flow import flow_trajectory
from spectrain.theory.spiked.outliers import trajectory_outliers

from .heun import heun
from .timing import Timing, duration, machine, side_by_side

__all__ = ["add_arguments", "run"]

_MIXED = Covariance(0.9, 4.0)
_SIGNAL = Covariance(0.3, 1.0)
_UNIT = 1000
_STEP = 0.1
_SIZE = 400  # of the landscape that is probed
_HEUN_STEPS = 1000  # that are timed; more cost as the cube


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the suite."""
    parser.add_argument("--repeats", type=int, default=3, help="of each job (default 3)")


def run(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    matrix = np.random.default_rng(0).standard_normal((_UNIT, _UNIT))
    matrix += matrix.T
    late = _law(_SIGNAL, 400)
    jobs: list[tuple[str, float, Callable[[], object]]] = [
        ("law of 1,000 steps", 3, lambda: _law(_MIXED, 1000)),
        ("law of 2,000 steps", 20, lambda: _law(_MIXED, 2000)),
        (
            "flow to t = 1000, thinned memory, with its error",
            10,
            lambda: flow_trajectory(_MIXED, 0.01, [1000.0]),
        ),
        ("outliers at 400 steps", 3, lambda: trajectory_outliers(late)),
    ]
    print(machine(), flush=True)

    def unit() -> object:
        return np.linalg.eigvalsh(matrix)

    unit()
    print(f"{'job':50} {'target':>7} {'units':>7} {'seconds':>9}")
    for name, target, job in jobs:
        one, timing = side_by_side([unit, job], arguments.repeats)
        ratio = timing.minimum / one.minimum
        print(f"{name:50} {target:7.3g} {ratio:7.2f} {duration(timing.minimum):>9}", flush=True)
    path = flow_trajectory(_MIXED, 0.01, [1000.0])
    fine = 2 * _late_multiplier(_STEP) - _late_multiplier(2 * _STEP)
    gap = abs(path.multiplier[0] - fine)
    print(f"mu at t = 1000: error told {path.error[0]:.1e}, {gap:.1e} from finer steps and memory")
    _compare_with_heun()
    _probe(arguments.repeats)
    print(machine())


def _law(covariance: Covariance, steps: int) -> DescentLaw:
    law = DescentLaw(covariance, 0.01)
    for _ in range(steps):
        law.step(_STEP)
    return law


def _late_multiplier(step: float) -> float:
    """mu at t = 1000 by equal steps, with half of the spacing of the times that are kept."""
    law = DescentLaw(_MIXED, 0.01, memory=thinned(_MIXED, PRECISION / 2))
    for _ in range(round(1000 / step)):
        law.step(step)
    return law.multiplier


def _compare_with_heun() -> None:
    """Thinned memory to t = 2,000 against Heun's scheme at step .1, whose cost is cubic."""

    def long() -> None:
        law = DescentLaw(_MIXED, 0.01, memory=thinned(_MIXED, PRECISION))
        for _ in range(20_000):
            law.step(_STEP)

    ours, theirs = side_by_side(
        [long, lambda: heun(_MIXED, 0.01, _HEUN_STEPS * _STEP, _HEUN_STEPS)], 1
    )
    whole = theirs.minimum * (20_000 / _HEUN_STEPS) ** 3
    print(
        f"t = 2,000 at step .1: thinned {duration(ours.minimum)}, Heun {duration(whole)} by the "
        f"cube from {duration(theirs.minimum)} for {_HEUN_STEPS} steps: "
        f"{whole / ours.minimum:.3g} times (target 50)"
    )


def _probe(repeats: int) -> None:
    """A probing at N = 400 in gradient steps; both pass over the tensor once."""
    source = torch.Generator().manual_seed(0)
    signal = random_signal(_SIZE, source)
    land = SpikedLandscape(signal, 0.3, 1.0, source)
    points = iter([start_at_overlap(signal, 0.2, source) for _ in range(4 * repeats)])

    def step() -> None:
        land.at(next(points))

    def probing() -> None:
        local = land.at(next(points))
        hessian = FormedCurvature(local.hessian)
        operator = SphereCurvature(hessian, local.point, local.gradient)
        krylov = krylov_space(
            operator, 6, 3, generator=torch.Generator().manual_seed(0), tolerance=1e-3
        )
        extreme_eigenpairs(operator, krylov, 6, 3, 1e-3)
        spectral_densities(krylov, None)

    one, probe = side_by_side([step, probing], repeats)
    _print_probing(one, probe)


def _print_probing(one: Timing, probe: Timing) -> None:
    print(
        f"N = {_SIZE}: gradient {duration(one.minimum)}, probing {duration(probe.minimum)}: "
        f"{probe.minimum / one.minimum:.2f} gradient steps (target 30)"
    )
