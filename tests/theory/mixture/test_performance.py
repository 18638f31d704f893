import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from spectrain.models.heads import MultiIndexHead, SoftmaxHead, sample_classified
from spectrain.theory.mixture.performance import performance
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics


def test_two_classes_have_a_closed_form():
    """P(w.Y > 0) = Phi(snr^(1/2) w.mu / |w|) with w = x_0 - x_1."""
    gram = np.array(
        [[0.9, 0.1, 0.5, -0.2], [0.1, 0.7, 0.1, 0.6], [0.5, 0.1, 1.0, 0.2], [-0.2, 0.6, 0.2, 1.1]]
    )
    law = MixtureLaw(np.array([0.3, 0.7]), np.array([0, 1]), 3.0)
    w = np.array([1.0, -1.0, 0.0, 0.0])
    margins = np.array([1, -1]) * (gram @ w)[2:] / math.sqrt(w @ gram @ w)
    found = performance(SoftmaxHead(2), Statistics(gram), law)
    assert found.accuracy == pytest.approx(law.weights @ norm.cdf(math.sqrt(3.0) * margins))
    assert found.accuracy_error < 1e-6


def test_directions_that_know_nothing_guess():
    """x orthogonal to the means, of equal length and angles: each class wins a third."""
    gram = np.eye(6)
    gram[:3, :3] *= 0.09
    law = MixtureLaw(np.array([0.5, 0.3, 0.2]), np.arange(3), 3.0)
    found = performance(SoftmaxHead(3), Statistics(gram), law)
    assert abs(found.accuracy - 1 / 3) < min(found.accuracy_error, 1e-4)


def test_the_origin_is_exact():
    """All logits are equal: the loss is log C, and ties go to the first class."""
    gram = np.eye(6)
    gram[:3] = gram[:, :3] = 0
    law = MixtureLaw(np.array([0.5, 0.3, 0.2]), np.arange(3), 3.0)
    found = performance(SoftmaxHead(3), Statistics(gram), law)
    assert found.loss == pytest.approx(math.log(3), abs=1e-12)
    assert (found.accuracy, found.accuracy_error) == (0.5, 0.0)


@pytest.mark.parametrize("name", ["softmax", "xor", "wide xor"])
def test_accuracy_agrees_with_samples(name, softmax, xor):
    problem = {
        "softmax": lambda: softmax(x_scale=2.0),
        "xor": xor,
        "wide xor": lambda: xor(width=4),
    }[name]()
    found = performance(problem.head, problem.statistics, problem.law)
    count = 200_000
    x, mu = problem.embedded(12)
    rng = np.random.default_rng(2)
    component = rng.choice(len(mu), size=count, p=problem.law.weights)
    y = mu[component] + rng.standard_normal((count, 12)) * problem.law.snr**-0.5
    right = sample_classified(
        problem.head,
        torch.from_numpy(y @ x.T),
        torch.from_numpy(problem.statistics.parameters),
        torch.from_numpy(problem.law.labels[component]),
    )
    assert abs(found.accuracy - right.double().mean()) < 4 * 0.5 / count**0.5
    assert found.accuracy_error < 1e-3


def test_a_regression_has_a_loss_and_no_accuracy():
    """A silent student: half the second moment of the target."""
    gram = np.zeros((3, 3))
    gram[1, 1] = 1.0
    head = MultiIndexHead(2, (1.0,), "tanh", "softplus")
    law = MixtureLaw(np.array([1.0]), np.array([0]), 2.0)
    found = performance(head, Statistics(gram, np.array([0.0])), law)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    target = np.log1p(np.exp(nodes / math.sqrt(2.0)))
    expected = weights @ target**2 / weights.sum() / 2
    assert found.loss == pytest.approx(expected, abs=1e-6)
    assert math.isnan(found.accuracy)
    assert math.isnan(found.accuracy_error)
