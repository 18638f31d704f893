"""Linear models: the contour beside an eigendecomposition, time-domain DMFT and simulation.

Every line is a ratio of times of one run, so that the machine's load meets both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from spectrain.theory.linear.algorithm import Algorithm
from spectrain.theory.linear.curves import Prepared
from spectrain.theory.linear.loss_curves import loss_curves
from spectrain.theory.linear.power_law import PowerLaw
from spectrain.theory.linear.problem import LinearProblem
from spectrain.theory.linear.scaling import width_losses
from spectrain.theory.spectrum import FloatArray

from .timing import duration, once, side_by_side

__all__ = ["print_ratios"]

_STEPS = 100  # of the time-domain DMFT
_SWEEPS = 400  # of its fixed points, at most
_SEEDS = 8  # of the simulation


def print_ratios(repeats: int, simulation: bool) -> None:
    """Print the table.

    Args:
        repeats: of each job; the median counts.
        simulation: whether to time time-domain DMFT and simulation as well.
    """
    print("\nLinear models; eigvalsh(n) is that of one random symmetric matrix\n")
    print(f"{'job':58} {'median':>9} {'ratio':>7} {'target':>7}  of")
    problem = _problem(800, 300.0, 400.0)
    flow, sgd = Algorithm("flow"), Algorithm("sgd", 1.0, 4)
    flow_times = np.geomspace(0.1, 1e4, 60)
    steps = np.unique(np.round(np.geomspace(1, 1e4, 75)))[-60:]
    prepared, noisy = Prepared(problem, flow, 1e4), Prepared(problem, sgd, 1e4)
    _ = prepared.pairs, noisy.pairs  # the set-up, which is timed apart

    def set_up() -> object:
        return Prepared(problem, flow, 1e4).pairs

    jobs: list[tuple[str, Callable[[], object], float, int]] = [
        ("set-up at D = 800, N = 400, P = 300", set_up, 1.0, 500),
        ("60 times of gradient flow", lambda: prepared.mean(flow_times), 0.05, 500),
        ("60 times of SGD, up to 10,000 steps", lambda: noisy.stochastic(steps), 4.0, 500),
        ("ten curves at D = 10^6 in merged bins", _ten_curves, 1.0, 2000),
    ]
    references = {size: _eigenvalues(size) for size in (500, 2000)}
    timings = side_by_side([job[1] for job in jobs] + list(references.values()), repeats)
    whole = dict(zip(references, timings[len(jobs) :], strict=True))
    for (name, _, target, size), timing in zip(jobs, timings, strict=False):
        ratio = timing.median / whole[size].median
        print(
            f"{name:58} {duration(timing.median):>9} {ratio:7.3g} {target:7g}  eigvalsh({size}), "
            f"{duration(whole[size].median)}",
            flush=True,
        )
    if simulation:
        _print_slower(repeats)


def _print_slower(repeats: int) -> None:
    problem, rate = _problem(100, 75.0, math.inf), 1.0
    times = np.arange(_STEPS + 1.0)
    algorithm = Algorithm("gd", rate)

    def contour() -> tuple[FloatArray, FloatArray]:
        signal, label = Prepared(problem, algorithm, _STEPS).mean(times)
        return signal.train + label.train, signal.test + label.test

    ours = side_by_side([contour], repeats)[0].median
    seconds = once(lambda: dynamical_mean_field(problem, rate, _STEPS))
    pairs = zip(dynamical_mean_field(problem, rate, _STEPS), contour(), strict=True)
    apart = max(float(np.abs(one / two - 1).max()) for one, two in pairs)
    print(
        f"\ntime-domain DMFT, {_STEPS} steps, D = 100: {duration(seconds)}, "
        f"{seconds / ours:.3g} times the contour ({duration(ours)}; target 100); "
        f"the two differ by {apart:.1g}",
        flush=True,
    )
    problem, times = _problem(400, 300.0, math.inf), np.array([1.0, 10, 100, 1000])
    algorithm = Algorithm("sgd", 1.0, 4)
    ours = side_by_side([lambda: loss_curves(problem, algorithm, times)], repeats)[0].median
    runs: list[FloatArray] = []
    seconds = once(lambda: runs.append(_simulated(problem, 1.0, 4, times, _SEEDS))) / _SEEDS
    spread = float((runs[0].std(0, ddof=1) / runs[0].mean(0)).max())
    for error in (1e-2, 1e-4, 1e-9):
        draws = (spread / error) ** 2
        print(
            f"simulation, 1000 steps of SGD, D = 400, to a standard error of {error:g}: "
            f"{draws:.2g} runs, {duration(draws * seconds)}, {draws * seconds / ours:.2g} times "
            f"the split curves ({duration(ours)})",
            flush=True,
        )


def _problem(dimension: int, samples: float, features: float) -> LinearProblem:
    k = np.arange(1, dimension + 1.0)
    s = k**-1.2
    return LinearProblem(s / s.sum(), k**-0.4, noise=0.05, samples=samples, features=features)


def _ten_curves() -> object:
    law = PowerLaw(1.4, 0.2, 10**6, 200)
    times = np.geomspace(1, 1e6, 40)
    return [
        width_losses(law.problem(features=float(n)), Algorithm("flow"), times)
        for n in np.geomspace(50, 5000, 10)
    ]


def _eigenvalues(size: int) -> Callable[[], object]:
    matrix = np.random.default_rng(0).standard_normal((size, size))
    matrix += matrix.T
    return lambda: np.linalg.eigvalsh(matrix)


def dynamical_mean_field(
    problem: LinearProblem, rate: float, steps: int
) -> tuple[FloatArray, FloatArray]:
    """Train and test loss of gradient descent at infinite width, by matrices in two times.

    R answers for the samples and H_k for mode k, both (T, T) and lower triangular:

        R = 1 - (1/P) sum_k m_k s_k H_k R Theta,   H_k = (1 + s_k R Theta)^-1
        Theta_ts = eta for s < t
        C_test = sum_k s_k [ a_k H_k 11^T H_k^T + (m_k s_k / P) H_k Theta C Theta^T H_k^T ]
        C = R (C_test + sig2) R^T

    iterated to their fixed points.
    """
    size = steps + 1
    theta = rate * np.tri(size, k=-1)
    one, response = np.eye(size), np.eye(size)
    s, m, a = problem.spectrum, problem.multiplicity, problem.target
    for _ in range(_SWEEPS):
        heard = response @ theta
        modes = np.linalg.inv(one + s[:, None, None] * heard)
        following = one - np.tensordot(m * s, modes, 1) @ heard / problem.samples
        done = np.abs(following - response).max() < 1e-13
        response = following
        if done:
            break
    modes = np.linalg.inv(one + s[:, None, None] * (response @ theta))
    ones = modes.sum(2)
    bias = (ones.T * (a * s)) @ ones
    driven = modes @ theta
    correlation = np.zeros((size, size))
    for _ in range(_SWEEPS):
        noise = driven @ correlation @ driven.transpose(0, 2, 1)
        tested = bias + np.tensordot(m * s * s, noise, 1) / problem.samples
        following = response @ (tested + problem.noise) @ response.T
        done = np.abs(following - correlation).max() < 1e-13
        correlation = following
        if done:
            break
    return np.diag(correlation).copy(), np.diag(tested).copy()


def _simulated(
    problem: LinearProblem, rate: float, batch: int, times: FloatArray, seeds: int
) -> FloatArray:
    """Test losses of single runs, (seeds, T)."""
    s, w = problem.spectrum, np.sqrt(problem.target)
    samples = int(problem.samples)
    found = np.empty((seeds, len(times)))
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((samples, len(s))) * np.sqrt(s)
        y = x @ w + math.sqrt(problem.noise) * rng.standard_normal(samples)
        v, place = np.zeros(len(s)), 0
        for step in range(int(times[-1]) + 1):
            if step == times[place]:
                found[seed, place] = (v - w) ** 2 @ s
                place += 1
            chosen = rng.integers(samples, size=batch)
            v -= rate / batch * (x[chosen] @ v - y[chosen]) @ x[chosen]
    return found
