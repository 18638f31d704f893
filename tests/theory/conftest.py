"""Oracles: samples of a mixture with a prescribed Gram matrix, and their dense blocks."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from spectrain.models.heads import (
    SoftmaxHead,
    TwoLayerHead,
    curvature_factors,
    gradient_factors,
    joint_curvature_factors,
)
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics


@dataclass(frozen=True)
class Problem:
    """A head on a mixture at one value of the statistics."""

    head: object
    statistics: Statistics
    law: MixtureLaw
    aspect_ratio: float

    def theory(self, dimension: int) -> EffectiveSpectrum:
        return EffectiveSpectrum(self.head, self.statistics, self.law, self.aspect_ratio, dimension)

    def embedded(self, dimension: int) -> tuple[np.ndarray, np.ndarray]:
        """Vectors x (C, d) and mu (k, d) with the Gram matrix."""
        values, vectors = np.linalg.eigh(self.statistics.gram)
        root = vectors * np.sqrt(np.maximum(values, 0))
        basis = np.linalg.qr(np.random.default_rng(9).standard_normal((dimension, len(root))))[0]
        all_directions = root @ basis.T
        return all_directions[: self.head.directions], all_directions[self.head.directions :]

    def dense(
        self,
        matrix: str,
        rows: tuple[int, ...],
        dimension: int,
        seed: int,
        with_parameters: bool = False,
    ) -> np.ndarray:
        """The block (m d, m d), or (m d + q, the same), on one sample of n = phi d points."""
        x, mu = self.embedded(dimension)
        n, c = round(self.aspect_ratio * dimension), self.head.directions
        rng = np.random.default_rng(seed)
        component = rng.choice(len(mu), size=n, p=self.law.weights)
        y = mu[component] + rng.standard_normal((n, dimension)) * self.law.snr**-0.5
        arguments = (
            torch.from_numpy(y @ x.T),
            torch.from_numpy(self.statistics.parameters),
            torch.from_numpy(self.law.labels[component]),
        )
        if matrix == "information":
            g = torch.cat(gradient_factors(self.head, *arguments), dim=1).numpy()
            m = g[:, :, None] * g[:, None, :]
        elif with_parameters:
            m = joint_curvature_factors(self.head, *arguments).numpy()
        else:
            m = curvature_factors(self.head, *arguments).numpy()
        block = np.vstack([np.hstack([(y.T * m[:, a, b]) @ y / n for b in rows]) for a in rows])
        if not with_parameters:
            return block
        mixed = np.vstack([y.T @ m[:, a, c:] / n for a in rows])
        return np.block([[block, mixed], [mixed.T, m[:, c:, c:].mean(0)]])


def softmax_problem(
    x_scale: float = 0.6, snr: float = 6.0, phi: float = 3.0, classes: int = 3, seed: int = 0
) -> Problem:
    """Orthonormal means, unequal weights, directions somewhat towards their means."""
    rng = np.random.default_rng(seed)
    vectors = np.eye(2 * classes)
    vectors[:classes, classes:] = 0.4 * np.eye(classes)
    vectors[:classes, classes:] += 0.2 * rng.standard_normal((classes, classes))
    vectors[:classes] *= x_scale
    weights = np.linspace(1.6, 1.0, classes)
    law = MixtureLaw(weights / weights.sum(), np.arange(classes), snr)
    return Problem(SoftmaxHead(classes), Statistics(vectors @ vectors.T), law, phi)


def xor_problem(width: int = 2, x_scale: float = 0.4, snr: float = 6.0, phi: float = 4.0):
    """Means +-mu (label 0) and +-nu (label 1), second layer of alternating signs."""
    rng = np.random.default_rng(1)
    means = 1.5 * np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    x = x_scale * rng.standard_normal((width, 2 + width))
    vectors = np.vstack([x, np.hstack([means, np.zeros((4, width))])])
    v = 1.5 * (-1.0) ** np.arange(width)
    law = MixtureLaw(np.full(4, 0.25), np.array([0, 0, 1, 1]), snr)
    return Problem(TwoLayerHead(width), Statistics(vectors @ vectors.T, v), law, phi)


def simulate(problem, sgd, dimension, runs, time, seed):
    """Runs of SGD from the same start: G (runs, C+k, C+k) and v (runs, q)."""
    rng = np.random.default_rng(seed)
    start, mu = problem.embedded(dimension)
    x = np.repeat(start[None], runs, axis=0)
    v = np.repeat(problem.statistics.parameters[None], runs, axis=0)
    heavy_x, heavy_v = np.zeros_like(x), np.zeros_like(v)
    delta, batch = sgd.scaled_learning_rate / dimension, sgd.batch_size
    # The parameters differ from run to run, as derivatives by formula do not allow.
    gradients = torch.func.vmap(torch.func.grad(problem.head.ell, argnums=(0, 1)))
    for step in range(round(time / delta)):
        component = rng.choice(len(mu), size=(runs, batch), p=problem.law.weights)
        noise = rng.standard_normal((runs, batch, dimension))
        y = mu[component] + noise * problem.law.snr**-0.5
        g, g_v = gradients(
            torch.from_numpy(y @ x.swapaxes(1, 2)).flatten(0, 1),
            torch.from_numpy(np.repeat(v, batch, axis=0)),
            torch.from_numpy(problem.law.labels[component]).flatten(),
        )
        g, g_v = g.unflatten(0, (runs, batch)).numpy(), g_v.unflatten(0, (runs, batch)).numpy()
        heavy_x = sgd.momentum * heavy_x + sgd.ridge * x + g.swapaxes(1, 2) @ y / batch
        heavy_v = sgd.momentum * heavy_v + sgd.ridge * v + g_v.mean(1)
        rate = delta * sgd.factor(step * delta)
        x = x - rate * heavy_x
        v = v - rate * sgd.second_layer_rate * heavy_v
    vectors = np.concatenate([x, np.repeat(mu[None], runs, axis=0)], axis=1)
    return vectors @ vectors.swapaxes(1, 2), v


@pytest.fixture(scope="session")
def softmax():
    return softmax_problem


@pytest.fixture(scope="session")
def xor():
    return xor_problem


@pytest.fixture(scope="session")
def problem():
    return Problem


@pytest.fixture(scope="session")
def runs():
    return simulate


@pytest.fixture(scope="session")
def convergence():
    """scripts/convergence.py: its systems, its samples and what it reads off them."""
    path = Path(__file__).parents[2] / "scripts" / "convergence.py"
    spec = importlib.util.spec_from_file_location("convergence", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
