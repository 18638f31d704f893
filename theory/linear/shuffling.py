"""Passes over the samples in a new order each: an approximation.

In a pass no sample is met twice, so that the noise of its steps s, s' has the covariance

    (1/P) (M delta_ss' - 1),   M = P / B

instead of M delta_ss' / P, and what drives it is the residual of samples not yet met, the test loss
with label noise, in the first pass, and the train loss later. Second moments within a pass cancel
at its end to first order, so that the coupling chi is left out. B = P is gradient descent exactly.
"""

from __future__ import annotations

import numpy as np

from ..spectrum import FloatArray
from .curves import Losses, Prepared

__all__ = ["shuffled"]


def shuffled(prepared: Prepared, matched: Prepared, times: FloatArray) -> Losses:
    """Losses at increasing steps.

    Args:
        prepared: the problem and the algorithm.
        matched: the same for a test covariance that is the training one.
        times: (T,) whole steps.
    """
    problem, algorithm, nodes = prepared.problem, prepared.algorithm, prepared.nodes
    assert algorithm.batch_size is not None
    samples, batch = problem.samples, algorithm.batch_size
    passed = int(samples // batch)
    last = int(times[-1])
    steps = np.arange(last + 1.0)
    signal, label = prepared.mean(times)
    forcing = _forcing(prepared, steps)
    unmet = matched.mean(steps[:passed])
    fresh = unmet[0].test + unmet[1].test + problem.noise
    # The gain is that of Gaussian samples; both kernels share the factor z.
    weights = -prepared.noise.gain * nodes.weights * nodes.z
    train_kernel, fresh_kernel, test_kernel = (
        weights * factor for factor in (prepared.degrees, matched.trace, prepared.trace)
    )
    single, together = np.zeros_like(nodes.z), np.zeros_like(nodes.z)
    train, test = np.empty(len(times)), np.empty(len(times))
    place, step = 0, 0
    for rate, count in algorithm.rates(0, last + 1):
        q = 1 - rate * (nodes.z + algorithm.weight_decay)
        for _ in range(count):
            noise = single / batch - together**2 / samples
            loss = forcing[step] + 2 * float((train_kernel * noise).real.sum())
            while place < len(times) and times[place] == step:
                driven = 2 * float((test_kernel * noise).real.sum())
                train[place] = loss
                test[place] = signal.test[place] + label.test[place] + driven
                place += 1
            driver = loss
            if step < passed:
                driver = fresh[step] + 2 * float((fresh_kernel * noise).real.sum())
            single = q**2 * single + rate**2 * driver
            together = q * together + rate * np.sqrt(max(driver, 0.0))
            step += 1
            if step % passed == 0:
                single -= batch / samples * together**2
                together = np.zeros_like(together)
    return Losses(train, test)


def _forcing(prepared: Prepared, steps: FloatArray, chunk: int = 4096) -> FloatArray:
    """Train loss of the mean weights at every step, without the test loss's pairs."""
    found = [
        prepared.mean_train(steps[first : first + chunk]) for first in range(0, len(steps), chunk)
    ]
    return np.concatenate(found)
