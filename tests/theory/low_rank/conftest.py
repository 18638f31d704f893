"""Descents that the theory of low-rank reconstruction is held against."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from spectrain.models.low_rank.descent import descend
from spectrain.models.low_rank.gaussian import GaussianMeasurements
from spectrain.models.low_rank.measurements import Measurements
from spectrain.models.low_rank.standing import standing
from spectrain.models.low_rank.structured import StructuredMeasurements
from spectrain.models.low_rank.truth import LowRankMatrix, random_matrix, small_start
from spectrain.theory.low_rank.problem import LowRankProblem
from spectrain.theory.low_rank.stages import Start


@dataclass
class Case:
    """A drawn problem with its start."""

    problem: LowRankProblem
    start: Start
    truth: LowRankMatrix
    measurements: Measurements
    outcomes: torch.Tensor
    u: torch.Tensor

    @classmethod
    def of(cls, n, lam, q, ratio, alpha, seed, operator="gaussian"):
        problem = LowRankProblem(n, lam, ratio * n * len(lam), operator)
        source = torch.Generator().manual_seed(seed)
        kind = GaussianMeasurements if operator == "gaussian" else StructuredMeasurements
        measurements = kind(n, problem.measurements, source)
        truth = random_matrix(n, lam, source)
        u = small_start(n, q, alpha, source)
        outcomes = measurements.forward(truth.matrix)
        return cls(problem, Start(q, alpha, 0.1), truth, measurements, outcomes, u)

    def run(self, steps, look=None):
        return descend(self.measurements, self.outcomes, self.u, 0.1, steps, look)

    def strengths(self, steps):
        """s_k of every step, (steps + 1, r)."""
        rows = []
        basis = self.truth.vectors

        def look(step, local):
            rows.append(torch.linalg.svdvals(basis.mT @ local.point).square().numpy())

        self.run(steps, look)
        return np.array(rows)

    def error(self, steps):
        return float(standing(self.run(steps), self.truth).test_error)


def crossings(strengths, lam):
    """Steps at which s_k = lam_k / 2, in between by the logarithm."""
    found = []
    for k, level in enumerate(np.asarray(lam) / 2):
        after = int(np.argmax(strengths[:, k] >= level))
        below, above = np.log(strengths[after - 1 : after + 1, k])
        found.append(after - 1 + (np.log(level) - below) / (above - below))
    return np.array(found)


@pytest.fixture(scope="session")
def case():
    return Case.of


@pytest.fixture(scope="session")
def learned_at():
    return crossings
