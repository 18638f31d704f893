"""Descents on drawn landscapes, extrapolated in 1/N, against the law of the limit.

Means over 48 seeds at three sizes. Numbers of the start whose mean over the noise is known to be 0
(energy, slope and curvature of the noise towards the signal) explain most of the spread of m at
finite N: their regression is taken off, and the standard error is that of its intercept. The
intercepts follow a + b/N; a is compared within three standard errors.
"""

import numpy as np
import pytest
import torch

from spectrain.models.spiked.landscape import SpikedLandscape
from spectrain.models.spiked.model import SpikedModel
from spectrain.models.spiked.sphere_descent import SphereDescent
from spectrain.models.spiked.start import random_signal, start_at_overlap
from spectrain.probes.curvature.formed import FormedCurvature
from spectrain.probes.curvature.sphere_curvature import SphereCurvature
from spectrain.theory.spiked.covariance import Covariance
from spectrain.theory.spiked.descent import descent_trajectory
from spectrain.theory.spiked.outliers import independent_outliers

SEEDS, SIZES = 48, (50, 100, 200)
STANDARD_ERRORS = 3.0
CASES = {
    "matrix and tensor": ((0.3, 0.5), 0.2, 0.15, 5),
    "tensor alone": ((None, 0.15), 0.5, 0.05, 4),
    "strong matrix": ((0.2, 4.0), 0.2, 0.1, 4),
}
NAMES = ("overlap", "multiplier", "energy", "outlier - multiplier", "its overlap")


def drawn(noises, overlap, rate, steps, size, seed):
    """The five numbers of one descent, and the mean-zero numbers of its start."""
    source = torch.Generator().manual_seed(1000 * size + seed)
    signal = random_signal(size, source)
    land = SpikedLandscape(signal, *noises, source)
    model = SpikedModel(land, start_at_overlap(signal, overlap, source))
    start = land.at(model.x)
    value, slope, curvature = land.covariance(land.overlap(start.point))
    known = [
        start.energy / size + value,
        signal @ start.gradient / size + slope,
        start.point @ start.gradient / size + slope * overlap,
        signal @ (start.hessian @ signal) / size + curvature,
    ]
    descent = SphereDescent(model.parameters(), rate)
    for _ in range(steps):
        descent.zero_grad()
        model().backward()
        descent.step()
    end = land.at(model.x)
    hessian = SphereCurvature(FormedCurvature(end.hessian), end.point, end.gradient)
    values, vectors = torch.linalg.eigh(hessian.dense())
    alignment = (hessian.embedded(vectors[:, :1])[:, 0] @ signal) ** 2 / size
    told = [
        land.overlap(end.point),
        end.multiplier,
        end.energy / size,
        values[0] - end.multiplier,
        alignment,
    ]
    return torch.stack(told).double().numpy(), torch.stack(known).double().numpy()


def intercepts(case, size):
    """Mean of each number with the known ones at 0, and its standard error."""
    rows = [drawn(*case, size, seed) for seed in range(SEEDS)]
    told = np.array([row[0] for row in rows])
    design = np.column_stack([np.ones(SEEDS), _independent(rows)])
    solved, _, _, _ = np.linalg.lstsq(design, told, rcond=None)
    residual = told - design @ solved
    freedom = SEEDS - design.shape[1]
    variance = np.linalg.inv(design.T @ design)[0, 0] * (residual**2).sum(0) / freedom
    return solved[0], variance**0.5


def _independent(rows):
    """The known numbers, without those that the ones before them make up.

    A tensor's energy is its slope along x, by Euler.
    """
    known = np.array([row[1] for row in rows])
    _, triangle = np.linalg.qr(known / np.linalg.norm(known, axis=0))
    return known[:, np.abs(np.diag(triangle)) > 1e-3]


@pytest.fixture(scope="module", params=CASES)
def compared(request):
    """Prediction, its naive outlier, the extrapolated numbers and their standard errors."""
    case = CASES[request.param]
    noises, overlap, rate, steps = case
    covariance = Covariance(*noises)
    path = descent_trajectory(covariance, overlap, rate, [steps])
    (outlier,) = path.outliers[0]
    mu = path.multiplier[0]
    said = [path.overlap[0], mu, path.energy[0], outlier.value - mu, outlier.overlap]
    naive = independent_outliers(covariance, path.overlap[0], mu)
    means, errors = map(np.array, zip(*(intercepts(case, size) for size in SIZES), strict=True))
    design = np.column_stack([np.ones(len(SIZES)), 1 / np.array(SIZES)])
    limit, deviation = np.zeros(5), np.zeros(5)
    for k in range(5):
        weighted = design.T / errors[:, k] ** 2
        inverse = np.linalg.inv(weighted @ design)
        limit[k] = (inverse @ weighted @ means[:, k])[0]
        deviation[k] = inverse[0, 0] ** 0.5
    return request.param, np.array(said), naive, limit, deviation


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_law_is_the_limit_of_drawn_descents(compared):
    name, said, naive, limit, deviation = compared
    report = {
        key: f"{a:.4f} +- {b:.4f}, said {c:.4f}"
        for key, a, b, c in zip(NAMES, limit, deviation, said, strict=True)
    }
    print(name, report, "naive", naive)
    assert (np.abs(limit - said) < STANDARD_ERRORS * deviation).all(), report
    assert (deviation < 0.03 * np.maximum(1, np.abs(said))).all(), report
    if name == "matrix and tensor":
        (independent,) = naive
        assert abs(limit[3] - (independent.value - said[1])) > 5 * deviation[3]
        assert abs(limit[4] - independent.overlap) > 5 * deviation[4]
