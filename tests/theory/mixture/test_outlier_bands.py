"""Bands of outliers against spectra solved again, exact cases and runs of SGD."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spectrain.models.heads import FunctionHead, SoftmaxHead
from spectrain.models.threads import single_thread
from spectrain.theory.mixture.dynamics import SGD, EffectiveDynamics
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.outlier_bands import outlier_bands
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics

SHIFT = 3e-3


def bands_of(problem, path, dimension, matrix, rows, joint=False):
    return outlier_bands(
        path, problem.head, problem.law, problem.aspect_ratio, dimension, matrix, rows, joint
    )


def path_of(problem, sgd, times):
    return EffectiveDynamics(problem.head, problem.law, sgd, problem.statistics).path(times)


def moved(path, step):
    """The last statistics of a path, moved by a step of the state."""
    gram, entries = path.gram[-1].copy(), len(path.rows)
    gram[path.rows, path.columns] += step[:entries]
    gram[path.columns, path.rows] = gram[path.rows, path.columns]
    return Statistics(gram, path.parameters[-1] + step[entries:])


def values(spectrum):
    return np.array([one.value for one in (*spectrum.top, *spectrum.inside, *spectrum.bottom)])


def symmetric_softmax(problem):
    """Every x_a = mu_a / 2: two eigenvalues of the block of all directions coincide."""
    vectors = np.vstack([0.5 * np.eye(3), np.eye(3)])
    law = MixtureLaw(np.full(3, 1 / 3), np.arange(3), 6.0)
    return problem(SoftmaxHead(3), Statistics(vectors @ vectors.T), law, 3.0)


@pytest.mark.parametrize(
    ("name", "matrix", "rows", "joint"),
    [
        ("softmax", "hessian", (0, 1, 2), False),
        ("softmax", "information", (1,), False),
        pytest.param("xor", "hessian", (0, 1), True, marks=pytest.mark.slow),
        ("xor", "hessian", (1,), False),
        ("symmetric", "hessian", (0, 1, 2), False),
    ],
)
def test_bands_are_those_of_spectra_solved_again(name, matrix, rows, joint, softmax, xor, problem):
    """Along one axis, a draw of the fluctuations, the band is the outlier's change along it.

    Members of a degenerate group split; their mean has the slope.
    """
    chosen = {
        "softmax": softmax,
        "xor": xor,
        "symmetric": lambda: symmetric_softmax(problem),
    }[name]()
    path = path_of(chosen, SGD(0.5, second_layer_rate=0.4), [0.5])
    spread, axes = np.linalg.eigh(path.covariance[0])
    draw = np.random.default_rng(1).standard_normal(len(spread))
    axis = SHIFT * axes @ (np.sqrt(np.maximum(spread, 0.0)) * draw)
    dimension = 400
    one = replace(path, covariance=dimension * np.outer(axis, axis)[None])
    (bands,) = bands_of(chosen, one, dimension, matrix, rows, joint)
    ahead, behind = (
        values(
            EffectiveSpectrum(
                chosen.head, moved(path, step), chosen.law, chosen.aspect_ratio, dimension, 1e-6
            ).spectrum(matrix, rows, "", 0, joint)
        )
        for step in (axis, -axis)
    )
    places = np.array([band.outlier.value for band in bands])
    same = abs(places[:, None] - places) < 1e-6 * abs(places)
    assert (same.sum() > len(places)) == (name == "symmetric")
    slopes = same / same.sum(1)[:, None] @ (ahead - behind) / 2
    found = np.array([band.band for band in bands])
    assert found.max() > 1e-6
    np.testing.assert_allclose(found, abs(slopes), atol=5e-3 * found.max())


def test_a_constant_curvature_does_not_fluctuate(problem):
    """D = 1: the outlier is the mean's alone, whatever x does."""
    head = FunctionHead(lambda h, v, y: (h[0] - y) ** 2 / 2, directions=1)
    gram = np.array([[0.5, 0.3], [0.3, 2.0]])
    law = MixtureLaw(np.array([1.0]), np.array([1]), 3.0)
    chosen = problem(head, Statistics(gram), law, 2.0)
    path = path_of(chosen, SGD(0.5), [1.0])
    (bands,) = bands_of(chosen, path, 300, "hessian", (0,))
    assert path.band(300)[0, 0, 0] > 1e-3
    assert [one.side for one in bands] == ["top"]
    assert bands[0].band < 1e-9


def test_bands_fall_like_the_root_of_the_dimension_from_none_at_the_start(softmax):
    problem = softmax()
    path = path_of(problem, SGD(1.0), [0.0, 1.0])
    coarse, fine = (bands_of(problem, path, d, "hessian", (0,)) for d in (1000, 4000))
    for one in coarse[0]:
        assert one.band == 0
        assert one.deviation == one.outlier.sampling_error
    assert len(coarse[1]) == 3
    for one, other in zip(coarse[1], fine[1], strict=True):
        assert one.band == pytest.approx(2 * other.band, rel=1e-2)
        assert one.deviation == pytest.approx(math.hypot(one.band, one.outlier.sampling_error))


def test_no_band_where_the_linearisation_says_nothing(softmax):
    """Of unknown fluctuations, or such that would take the outlier into the bulk."""
    problem = softmax()
    path = path_of(problem, SGD(1.0), [1.0])
    (bands,) = bands_of(problem, path, 400, "hessian", (0,))
    bulk = problem.theory(400).spectrum("hessian", (0,), "", 0).bulk
    assert all(one.band < one.outlier.value - bulk.upper.value for one in bands)
    unknown = replace(path, covariance=np.full_like(path.covariance, np.nan))
    (none,) = bands_of(problem, unknown, 400, "hessian", (0,))
    assert [one.outlier.value for one in none] == [one.outlier.value for one in bands]
    assert all(math.isnan(one.band) and math.isnan(one.deviation) for one in none)
    wide = replace(path, covariance=1e4 * path.covariance)
    (some,) = bands_of(problem, wide, 400, "hessian", (0,))
    beyond = [100 * one.band > one.outlier.value - bulk.upper.value for one in bands]
    assert [math.isnan(one.band) for one in some] == beyond == [False, True, True]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "matrix", "rows", "rate"),
    [
        ("xor", "hessian", (0,), 2.0),
        ("softmax", "hessian", (0,), 4.0),
        ("softmax", "information", (0,), 2.0),
    ],
)
def test_outliers_of_runs_stay_in_the_bands(name, matrix, rows, rate, softmax, xor, problem, runs):
    """Each run ends on a probe sample of its own: standard deviations and coverage of its outliers.

    R runs leave a standard deviation uncertain by (2 R)^(-1/2); 15 % are for the finite size, at
    which neighbours repel and means are off by a part of a deviation.
    """
    start, d, count, time = xor() if name == "xor" else softmax(), 200, 80, 2.0
    sgd = SGD(rate)
    path = path_of(start, sgd, [time])
    (bands,) = bands_of(start, path, d, matrix, rows)
    with single_thread():
        grams, parameters = runs(start, sgd, d, count, time, 0)
    ends = [
        problem(start.head, Statistics(gram, v), start.law, start.aspect_ratio)
        for gram, v in zip(grams, parameters, strict=True)
    ]
    measured = np.array(
        [np.linalg.eigvalsh(end.dense(matrix, rows, d, 1000 + i)) for i, end in enumerate(ends)]
    )
    top = [one for one in bands if one.side == "top"]
    assert max(one.band / one.outlier.sampling_error for one in top) > 0.35
    for rank, one in enumerate(top):
        found = measured[:, -1 - rank]
        allowed = 3 / np.sqrt(2 * count) + 0.15
        assert found.std(ddof=1) == pytest.approx(one.deviation, rel=allowed)
        coverage = (abs(found - one.outlier.value) < 1.96 * one.deviation).mean()
        assert abs(coverage - 0.95) < 3 * (0.05 * 0.95 / count) ** 0.5 + d**-0.5
