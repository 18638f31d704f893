"""Expected loss and accuracy at one value of the statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from ...models.heads import Head, sample_classified, sample_losses
from ..spectrum import FloatArray
from .quadrature import MixtureLaw, project, quadrature
from .sobol import sobol
from .statistics import Statistics

__all__ = ["Performance", "performance"]

_LINES, _LOG2_LINES = 257, 10  # across one and across more dimensions of h
_REACH = 6.5  # standard deviations
_SCAN, _COARSE_SCAN = 131, 53  # points of the scan along a line, up to two dimensions and beyond
_HALVINGS = 20


@dataclass(frozen=True)
class Performance:
    """Loss and accuracy of a fresh sample.

    Attributes:
        loss: E[ell], without ridge.
        loss_error: estimated numerical error.
        accuracy: probability that the head is right; NaN if labels have no meaning to it.
        accuracy_error: estimated numerical error; NaN likewise.
    """

    loss: float = field(metadata={"unit": "loss"})
    loss_error: float = field(metadata={"unit": "loss"})
    accuracy: float = field(metadata={"unit": "1, between 0 and 1"})
    accuracy_error: float = field(metadata={"unit": "1"})


def performance(head: Head, statistics: Statistics, law: MixtureLaw) -> Performance:
    """Loss by two rules of quadrature; accuracy by lines through the Gaussian.

    Being right is a discontinuous function of h, for which smooth quadrature converges slowly.
    Here one coordinate is integrated exactly: along each line the places where the head's
    answer changes are bracketed on a grid and halved, and the
    share of right answers is a sum of normal distribution functions. The mean over lines, whose
    integrand is continuous, is a trapezoidal rule or one of scrambled Sobol points. With one
    direction there is one line, and nothing else to average over.

    Args:
        head: the head.
        statistics: G and v.
        law: the mixture.
    """
    losses = [_loss(head, statistics, law, level) for level in (0, 1)]
    one = np.zeros((1, head.directions)), np.zeros(head.parameters), np.zeros(1, dtype=np.int64)
    if sample_classified(head, *one) is None:
        accuracy, error = math.nan, math.nan
    else:
        accuracy, error = _accuracy(head, statistics, law)
    return Performance(losses[0], abs(losses[0] - losses[1]), accuracy, error)


def _loss(head: Head, statistics: Statistics, law: MixtureLaw, level: int) -> float:
    nodes = quadrature(project(statistics, head), law, level)
    losses = sample_losses(head, nodes.preactivations, statistics.parameters, nodes.labels)
    return float(nodes.weights @ losses)


def _right(head: Head, h: FloatArray, v: FloatArray, labels: np.ndarray) -> np.ndarray:
    """Whether the head, one that classifies, is right at h (N, C), (N,) bool."""
    if len(h) == 0:
        return np.zeros(0, dtype=bool)
    right = sample_classified(head, h, v, labels)
    assert right is not None
    result: np.ndarray = right
    return result


@lru_cache(maxsize=16)
def _lines(dimensions: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Standard Gaussian points (L, dimensions) through which lines are laid.

    Two sets of weights (L,) follow: those of the rule and those of a coarser one within it. Across
    one dimension the rule is trapezoidal; across more it has scrambled Sobol points.
    """
    if dimensions == 0:
        return np.zeros((1, 0)), np.ones(1), np.ones(1)
    if dimensions == 1:
        points = np.linspace(-_REACH, _REACH, _LINES)[:, None]
        fine = np.exp(-(points[:, 0] ** 2) / 2)
        coarse = np.where(np.arange(_LINES) % 2 == 0, fine, 0.0)
    else:
        uniform = sobol(dimensions, _LOG2_LINES, seed=0)
        points, fine = ndtri(uniform), np.ones(len(uniform))
        coarse = (np.arange(len(uniform)) < len(uniform) // 2).astype(float)
    return points, fine / fine.sum(), coarse / coarse.sum()


def _accuracy(head: Head, statistics: Statistics, law: MixtureLaw) -> tuple[float, float]:
    p = project(statistics, head)
    k, v = len(law.weights), statistics.parameters
    centres = p.coordinates[: p.active, p.directions :].T @ p.to_preactivations  # (k, C)
    if p.active == 0:
        return float(law.weights @ _right(head, centres, v, law.labels)), 0.0
    # Turned by a fixed rotation, lest lines run parallel to where the answer changes.
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((p.active, p.active)))[0]
    axes = rotation @ p.to_preactivations * law.snr**-0.5
    along, across = axes[0], axes[1:]
    points, fine, coarse = _lines(p.active - 1)
    lines = len(points)
    starts = (centres[:, None] + points @ across).reshape(k * lines, -1)
    labels = np.repeat(law.labels, lines)

    scan = np.linspace(-_REACH, _REACH, _SCAN if p.active <= 2 else _COARSE_SCAN)
    h = (starts[:, None] + scan[:, None] * along).reshape(-1, starts.shape[1])
    right = _right(head, h, v, np.repeat(labels, len(scan))).reshape(-1, len(scan))
    line, left = np.nonzero(right[:, 1:] != right[:, :-1])
    low, high, before = scan[left], scan[left + 1], right[line, left]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        same = _right(head, starts[line] + middle[:, None] * along, v, labels[line]) == before
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    # Right up to the last crossing or from it on: every crossing adds or takes its lower tail.
    shares = right[:, -1].astype(float)
    np.add.at(shares, line, np.where(before, 1.0, -1.0) * ndtr((low + high) / 2))
    by_component = shares.reshape(k, lines)

    # Answers that differ from both neighbours are as many as fall through the scan unseen.
    alone = (right[:, 1:-1] != right[:, :-2]) & (right[:, 1:-1] != right[:, 2:])
    width = np.exp(-(scan[1:-1] ** 2) / 2) * (scan[1] - scan[0]) / (2 * np.pi) ** 0.5
    unseen = float(law.weights @ (alone @ width).reshape(k, lines) @ fine)
    accuracy = float(law.weights @ by_component @ fine)
    return accuracy, abs(accuracy - float(law.weights @ by_component @ coarse)) + unseen
