"""Wall times of several jobs, side by side in one process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Timing", "duration", "machine", "once", "side_by_side"]


@dataclass(frozen=True)
class Timing:
    """Wall times of one job in seconds.

    Attributes:
        median: of all repeats.
        minimum: the fastest.
        spread: half of the distance between the quartiles.
    """

    median: float
    minimum: float
    spread: float


def once(job: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def side_by_side(jobs: Sequence[Callable[[], object]], repeats: int) -> list[Timing]:
    """Time the jobs in turn, so that a busy spell of the machine meets all of them."""
    seconds = np.array([[once(job) for job in jobs] for _ in range(repeats)])
    low, middle, high = np.percentile(seconds, [25, 50, 75], axis=0)
    return [
        Timing(*map(float, row))
        for row in zip(middle, seconds.min(0), (high - low) / 2, strict=True)
    ]


def machine() -> str:
    """Cores, threads of BLAS and load average, without which no time can be read."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = " ".join(f"{number:.1f}" for number in os.getloadavg())
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "all")
    return f"{cores} cores, BLAS threads: {threads}; load average {load} (1, 5, 15 minutes)"


def duration(seconds: float) -> str:
    """Seconds in a readable unit."""
    for unit, size in (("years", 3.156e7), ("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
