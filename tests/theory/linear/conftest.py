"""Linear models trained for real with torch, many runs side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
import torch
from scipy.stats import t
from torch import nn

DTYPE = torch.float64


@dataclass(frozen=True)
class Runs:
    """Losses of S independent runs at T times, (T, S) each."""

    train: np.ndarray
    test: np.ndarray


class Ensemble:
    """S independent problems: data, features and batches of each from one generator.

    Args:
        spectrum: (D,) of the covariance.
        target: (D,) w*.
        runs: S.
        samples: P.
        features: N, or None for the inputs themselves.
        noise: variance of the label noise.
        entries: "gaussian" or "rademacher".
        seed: of the generator.
        shift: (D,) or (D, D) test covariance; the spectrum by default.
    """

    def __init__(
        self,
        spectrum,
        target,
        runs,
        samples,
        features=None,
        noise=0.0,
        entries="gaussian",
        seed=0,
        shift=None,
    ):
        self.generator = torch.Generator().manual_seed(seed)
        self.spectrum = torch.tensor(np.asarray(spectrum), dtype=DTYPE)
        self.target = torch.tensor(np.asarray(target), dtype=DTYPE)
        self.runs, self.samples, self.noise, self.entries = runs, samples, noise, entries
        self.shift = self.spectrum if shift is None else torch.tensor(shift, dtype=DTYPE)
        self.features = None
        if features is not None:
            shape = (runs, len(self.spectrum), features)
            self.features = self.normal(shape) / math.sqrt(features)
        self.x, self.y = self.draw(samples) if samples else (None, None)

    def normal(self, shape):
        return torch.randn(shape, generator=self.generator, dtype=DTYPE)

    def draw(self, count):
        """Features (S, count, N) and labels (S, count) of fresh samples."""
        shape = (self.runs, count, len(self.spectrum))
        if self.entries == "rademacher":
            z = 2.0 * torch.randint(2, shape, generator=self.generator).to(DTYPE) - 1
        else:
            z = self.normal(shape)
        x = z * self.spectrum.sqrt()
        y = x @ self.target + math.sqrt(self.noise) * self.normal(shape[:2])
        return (x if self.features is None else x @ self.features), y

    def losses(self, v):
        """Train and test loss of each run, (S,), with v (S, N)."""
        delta = v if self.features is None else torch.einsum("sdn,sn->sd", self.features, v)
        delta = delta - self.target
        weighted = delta * self.shift if self.shift.ndim == 1 else delta @ self.shift
        test = (delta * weighted).sum(1)
        if self.x is None:
            return (delta**2 * self.spectrum).sum(1) + self.noise, test
        return ((torch.einsum("spn,sn->sp", self.x, v) - self.y) ** 2).mean(1), test

    def batches(self, algorithm, steps):
        """Indices into the samples, or fresh samples, step by step."""
        name, size = algorithm.name, algorithm.batch_size
        row = torch.arange(self.runs)[:, None]
        order = None
        for step in range(steps):
            if name == "gd":
                yield self.x, self.y
            elif name == "one-pass":
                yield self.draw(size)
            elif name == "sgd":
                chosen = torch.randint(self.samples, (self.runs, size), generator=self.generator)
                yield self.x[row, chosen], self.y[row, chosen]
            else:
                passed = self.samples // size
                if step % passed == 0:
                    keys = torch.rand(self.runs, self.samples, generator=self.generator)
                    order = keys.argsort(1)
                at = step % passed
                chosen = order[:, at * size : (at + 1) * size]
                yield self.x[row, chosen], self.y[row, chosen]

    def train(self, algorithm, times):
        """torch.optim.SGD on nn.MSELoss: the sum of S losses trains S runs independently."""
        width = len(self.spectrum) if self.features is None else self.features.shape[2]
        v = nn.Parameter(torch.zeros(self.runs, width, dtype=DTYPE))
        # torch's lr is half of the theory's, its weight_decay twice.
        optimiser = torch.optim.SGD(
            [v], lr=algorithm.learning_rate / 2, weight_decay=2 * algorithm.weight_decay
        )
        wanted, found = set(map(int, times)), []
        last = int(max(times))
        rates = [rate for rate, count in algorithm.rates(0, last + 1) for _ in range(count)]
        batches = self.batches(algorithm, last)
        for step in range(last + 1):
            if step in wanted:
                found.append([loss.numpy() for loss in self.losses(v.detach())])
            if step == last:
                break
            x, y = next(batches)
            optimiser.param_groups[0]["lr"] = rates[step] / 2
            optimiser.zero_grad()
            outputs = torch.einsum("sbn,sn->sb", x, v)
            (self.runs * nn.MSELoss()(outputs, y)).backward()
            optimiser.step()
        found = np.array(found)
        return Runs(found[:, 0], found[:, 1])

    @cached_property
    def factors(self):
        return [torch.linalg.svd(x / math.sqrt(self.samples), full_matrices=False) for x in self.x]

    def flow(self, times, decay=0.0):
        """The gradient flow, solved in the eigenvectors of each run's kernel matrix."""
        train, test = [], []
        for run in range(self.runs):
            left, values, right = self.factors[run]
            y = self.y[run] / math.sqrt(self.samples)
            h, b = values**2, left.T @ y
            missed = y @ y - b @ b
            lefts = torch.stack(
                [1 - h * (1 - torch.exp(-(h + decay) * time)) / (h + decay) for time in times]
            )
            train.append(missed + lefts**2 @ b**2)
            v = ((1 - lefts) / values.clamp(min=1e-300) * b) @ right
            delta = v if self.features is None else v @ self.features[run].T
            delta = delta - self.target
            weighted = delta * self.shift if self.shift.ndim == 1 else delta @ self.shift
            test.append((delta * weighted).sum(1))
        return Runs(torch.stack(train, 1).numpy(), torch.stack(test, 1).numpy())

    def ridge(self, ridges):
        """Losses of ridge regression, (L, S): the flow with this decay after a long time."""
        parts = [self.flow([1e30], decay) for decay in ridges]
        return Runs(
            np.concatenate([p.train for p in parts]), np.concatenate([p.test for p in parts])
        )


def deviation(runs, predicted, finite_size):
    """Largest |mean - theory| in units of what chance and finite size allow.

    Chance allows the 1e-4 point of Student's law, for the largest of some dozens of correlated
    times, and a single problem's leading correction is of the order of ``finite_size``, twice of
    which is allowed.
    """
    mean, count = runs.mean(1), runs.shape[1]
    chance = t.ppf(1 - 1e-4, count - 1) * runs.std(1, ddof=1) / math.sqrt(count)
    return float(np.max(np.abs(mean - predicted) / (chance + 2 * finite_size * predicted + 1e-12)))


@pytest.fixture
def ensemble():
    return Ensemble


@pytest.fixture
def deviate():
    return deviation
