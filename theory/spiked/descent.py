"""Gradient descent and Langevin dynamics with a finite step: the law at some of the steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...models.arguments import require_arguments
from .covariance import Covariance
from .descent_law import DescentLaw
from .memory import Memory
from .thinned_memory import ThinnedMemory
from .trajectory import Reading, Trajectory, combine, read

__all__ = ["LONGEST", "PRECISION", "REMEMBERED", "descent_trajectory", "thinned"]

PRECISION = 0.1  # of a thinned memory
REMEMBERED = 3000  # steps up to which every one is
LONGEST = 10_000_000  # steps that are computed at most, a quarter of an hour or so


def descent_trajectory(
    covariance: Covariance,
    initial_overlap: float,
    learning_rate: float,
    steps: Sequence[int],
) -> Trajectory:
    """The law of projected gradient descent after some numbers of steps.

    Exact up to 3000 steps. Beyond, the memory is thinned, with the difference from one thinned
    twice as much for an error.

    Args:
        covariance: Q.
        initial_overlap: m of the start.
        learning_rate: eta; below 1 / (2 sigma) for more than 3000 steps.
        steps: strictly increasing, at least 0.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    require_arguments(descent_trajectory, locals())
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(f"learning_rate: expected a positive number, got {learning_rate}")
    counts = [int(step) for step in steps]
    if not counts or counts != list(steps) or counts[0] < 0 or np.any(np.diff(counts) <= 0):
        raise ValueError(
            f"times: expected steps, strictly increasing integers from 0 on, got {list(steps)}"
        )
    if counts[-1] > LONGEST:
        raise ValueError(f"times: expected at most {LONGEST:,} steps, got {counts[-1]:,}")
    bound = 1 / (2 * covariance.sigma)
    if counts[-1] > REMEMBERED and learning_rate >= bound:
        raise ValueError(
            f"learning_rate: expected less than {bound:.6g} = 1 / (2 sigma) for more than "
            f"{REMEMBERED} steps, beyond which descent settles nowhere, got {learning_rate}"
        )

    def run(memory: Memory | None) -> list[Reading]:
        law = DescentLaw(covariance, initial_overlap, memory=memory)
        readings = []
        for before, count in zip([0, *counts], counts, strict=False):
            for _ in range(count - before):
                law.step(learning_rate)
            readings.append(read(law))
        return readings

    if counts[-1] <= REMEMBERED:
        runs, weights, checked = [run(None)], np.ones(1), np.ones(1)
    else:
        runs = [run(thinned(covariance, share)) for share in (2 * PRECISION, PRECISION)]
        weights, checked = np.array([0.0, 1.0]), np.array([1.0, 0.0])
    times = [learning_rate * count for count in counts]
    return combine(times, runs, weights, checked, covariance.sigma)


def thinned(covariance: Covariance, precision: float) -> ThinnedMemory:
    """A memory on the times of this model: 1 / sigma is that of its fastest correlations."""
    return ThinnedMemory(precision, 1 / covariance.sigma)
