"""Gradient flow and Langevin dynamics: the discrete law extrapolated to a step of zero."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..spectrum import FloatArray
from .covariance import Covariance
from .descent import PRECISION, thinned
from .descent_law import DescentLaw
from .signal_minimum import signal_minimum
from .trajectory import Reading, Trajectory, combine, joined, read

__all__ = ["flow_trajectory"]

_LEVELS = (1, 2, 3, 4, 5, 6)  # how many steps the largest one is divided into
_LONG = 1.6  # largest step over long times, in units of the fastest rate; 2 would be unstable
_EXACT = 320  # largest steps up to which every step is remembered
_EARLY = ((1.0, 4), (4.0, 2))  # until these times, in units of 1 / rate, steps so much smaller
_SLACK = 1e-9  # relative; a gap of a whole number of steps has that many
_FEW = _LEVELS[:3]  # for long Langevin dynamics
_LANGEVIN = 1000  # largest steps beyond which Langevin dynamics is refused


def flow_trajectory(
    covariance: Covariance,
    initial_overlap: float,
    times: Sequence[float],
    temperature: float = 0.0,
) -> Trajectory:
    """x' = -(mu x + grad H), or with friction mu + T and noise of variance 2 T, at some times.

    The errors of the discrete law are pure powers of its step: six steps in the ratios 1, 1/2,
    ..., 1/6 leave about 1e-9; the error told is the difference from the last five. Beyond t of
    about 80 / sigma at temperature zero, two steps in the ratio 2 with a thinned memory; the
    error is then the difference from the better of the two.

    Args:
        covariance: Q.
        initial_overlap: m of the start.
        times: strictly increasing, at least 0.
        temperature: T.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    times = [float(time) for time in times]
    ordered = bool(times) and all(map(math.isfinite, times)) and times[0] >= 0
    if not ordered or np.any(np.diff(times) <= 0):
        raise ValueError(f"times: expected strictly increasing numbers from 0 on, got {times}")
    minimum = signal_minimum(covariance)
    multiplier = max(2 * covariance.sigma, minimum.multiplier if minimum else 0.0)
    rate = multiplier + 2 * covariance.sigma  # the fastest of the whole descent
    if temperature > 0 and times[-1] * rate > _LANGEVIN:
        raise ValueError(
            f"times: expected at most {_LANGEVIN / rate:.4g} at a temperature above 0, where the "
            f"memory cannot be thinned, got {times[-1]:.6g}"
        )
    near = [t for t in times if t * rate <= _EXACT]
    start = (covariance, initial_overlap, temperature)
    parts = [_remembered(start, rate, near, _LEVELS)] if near else []
    if len(near) < len(times):
        late = times[len(near) :]
        langevin = temperature > 0
        parts += [_remembered(start, rate, late, _FEW) if langevin else _thin(start, rate, late)]
    return parts[0] if len(parts) == 1 else joined(parts[0], parts[1])


def _remembered(
    start: tuple[Covariance, float, float], rate: float, times: list[float], levels: Sequence[int]
) -> Trajectory:
    """With all of the past."""
    runs = [_run(DescentLaw(*start), times, rate, level) for level in levels]
    checked = np.append(0.0, _at_zero(levels[1:]))
    return combine(times, runs, _at_zero(levels), checked, start[0].sigma)


def _thin(start: tuple[Covariance, float, float], rate: float, times: list[float]) -> Trajectory:
    """With a thinned past."""
    runs = [
        _run(DescentLaw(*start, thinned(start[0], precision)), times, rate / _LONG, level)
        for level, precision in ((1, 2 * PRECISION), (2, PRECISION))
    ]
    return combine(times, runs, _at_zero((1, 2)), np.array([0.0, 1.0]), start[0].sigma)


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
