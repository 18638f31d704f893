"""Gradient flow and Langevin dynamics: the discrete law extrapolated to a step of zero."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...models.arguments import require_arguments, require_least
from ..spectrum import FloatArray
from .covariance import Covariance
from .descent import LONGEST, thinned
from .descent_law import DescentLaw
from .signal_minimum import signal_minimum
from .trajectory import Reading, Trajectory, combine, joined, read

__all__ = ["flow_trajectory"]

_LEVELS = (1, 2, 3, 4, 5, 6)  # how many steps the largest one is divided into
_EXACT = 320  # largest steps up to which every step is remembered
# Levels beyond, and the largest step in units of the fastest rate; from 2 on a step is unstable.
_LATE = (2, 3), 3.6
_LATE_LANGEVIN = (1, 2, 3, 4), 1.0  # where fast motion never dies, a step errs more
# Of the first level's thinned memory and of the others': errors nearly alike cancel as they are
# extrapolated, and .1 for the others leaves more than this.
_THINNED = 0.2, 0.15
_EARLY = ((1.0, 4), (4.0, 2))  # until these times, in units of 1 / rate, steps so much smaller
_SLACK = 1e-9  # relative; a gap of a whole number of steps has that many


def flow_trajectory(
    covariance: Covariance,
    initial_overlap: float,
    times: Sequence[float],
    temperature: float = 0.0,
) -> Trajectory:
    """x' = -(mu x + grad H), or with friction mu + T and noise of variance 2 T, at some times.

    The errors of the discrete law are pure powers of its step: six steps in the ratios 1, 1/2,
    ..., 1/6 leave about 1e-9; the error told is the difference from the last five. Beyond t of
    about 80 / sigma the memory is thinned, on two steps in the ratio 3 / 2, at a temperature
    above 0 on four in the ratios 1, 1/2, 1/3, 1/4; the error is the difference from all but the
    first, whose memory is thinned more than the others'.

    Args:
        covariance: Q.
        initial_overlap: m of the start.
        times: strictly increasing, at least 0.
        temperature: T.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    require_arguments(flow_trajectory, locals())
    require_least("temperature", temperature, 0)
    times = [float(time) for time in times]
    ordered = bool(times) and all(map(math.isfinite, times)) and times[0] >= 0
    if not ordered or np.any(np.diff(times) <= 0):
        raise ValueError(f"times: expected strictly increasing numbers from 0 on, got {times}")
    minimum = signal_minimum(covariance)
    multiplier = max(2 * covariance.sigma, minimum.multiplier if minimum else 0.0)
    rate = multiplier + 2 * covariance.sigma + temperature  # the fastest of the whole descent
    levels, long = _LATE_LANGEVIN if temperature > 0 else _LATE
    last = LONGEST * long / (sum(levels) * rate)
    if times[-1] > last:
        most = f"{last:.4g}, which takes {LONGEST:,} steps"
        raise ValueError(f"times: expected at most {most}, got {times[-1]:.6g}")
    near = [t for t in times if t * rate <= _EXACT]
    start = (covariance, initial_overlap, temperature)
    parts = [_remembered(start, rate, near)] if near else []
    if len(near) < len(times):
        parts.append(_thin(start, rate, times[len(near) :]))
    return parts[0] if len(parts) == 1 else joined(parts[0], parts[1])


def _remembered(
    start: tuple[Covariance, float, float],
    rate: float,
    times: list[float],
    levels: Sequence[int] = _LEVELS,
) -> Trajectory:
    """With all of the past."""
    runs = [_run(DescentLaw(*start), times, rate, level) for level in levels]
    return _extrapolated(times, runs, levels, start[0].sigma)


def _thin(start: tuple[Covariance, float, float], rate: float, times: list[float]) -> Trajectory:
    """With a thinned past."""
    levels, long = _LATE_LANGEVIN if start[2] > 0 else _LATE
    runs = []
    for level in levels:
        memory = thinned(start[0], _THINNED[level != levels[0]])
        runs.append(_run(DescentLaw(*start, memory), times, rate / long, level))
    return _extrapolated(times, runs, levels, start[0].sigma)


def _extrapolated(
    times: list[float], runs: Sequence[Sequence[Reading]], levels: Sequence[int], sigma: float
) -> Trajectory:
    """To a step of zero; the error is the difference from what all but the first run give."""
    return combine(times, runs, _at_zero(levels), np.append(0.0, _at_zero(levels[1:])), sigma)


def _run(law: DescentLaw, times: Sequence[float], rate: float, level: int) -> list[Reading]:
    """Readings at the times; every step is the largest one, divided by the level."""
    readings, now = [], 0.0
    for end, told in sorted([*((t, True) for t in times), *((s / rate, False) for s, _ in _EARLY)]):
        if end > times[-1]:
            break
        finer = next((share for until, share in _EARLY if now * rate < until), 1)
        count = math.ceil((end - now) * rate * finer * (1 - _SLACK)) * level
        for _ in range(count):
            law.step((end - now) / count)
        now = end
        if told:
            readings.append(read(law))
    return readings


def _at_zero(levels: Sequence[int]) -> FloatArray:
    """Weights of the values at steps h/k that give the polynomial's value at step zero."""
    h = 1 / np.array(levels, float)
    others = h[None, :] - h[:, None] + np.eye(len(h))
    ratios = h[None, :] / others
    np.fill_diagonal(ratios, 1.0)
    return np.asarray(ratios.prod(1))
