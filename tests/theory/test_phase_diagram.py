"""Counts and thresholds at x = 0, orthonormal means, equal weights: docs/theory.md, section 6.

The Hessian's diagonal block is (1/C)(1 - 1/C) times a covariance with k spikes 1 + snr/k, which
leave the bulk at snr/k = phi^(-1/2). The information matrix weights the own class by (1 - 1/C)^2
and the others by 1/C^2, so that its outliers leave it one by one.
"""

import math

import numpy as np
import pytest

from spectrain.models.heads import SoftmaxHead
from spectrain.theory.phase_diagram import outlier_counts, snr_thresholds
from spectrain.theory.quadrature import MixtureLaw
from spectrain.theory.statistics import Statistics

K = 3
HEAD = SoftmaxHead(K)


def origin(k=K):
    """x = 0 and orthonormal means."""
    gram = np.zeros((2 * k, 2 * k))
    gram[k:, k:] = np.eye(k)
    return Statistics(gram)


def law(snr=1.0, k=K):
    return MixtureLaw(np.full(k, 1 / k), np.arange(k), snr)


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("phi", [1.0, 4.0])
def test_all_outliers_of_the_hessian_appear_at_the_bbp_threshold(k, phi):
    found = snr_thresholds(
        SoftmaxHead(k), origin(k), law(k=k), "hessian", (0,), np.array([0.1, 10.0]), phi
    )
    expected = k / math.sqrt(phi)
    np.testing.assert_allclose(found, [expected] * k, rtol=1e-4)


def test_counts_jump_from_none_to_all_across_the_threshold():
    snrs, ratios = np.geomspace(0.5, 8, 7), np.array([0.5, 1.0, 2.0, 8.0])
    counts = outlier_counts(HEAD, origin(), law(), "hessian", (0,), snrs, ratios)
    assert counts.shape == (4, 7)
    expected = np.where(snrs[None] / K > ratios[:, None] ** -0.5, K, 0)
    np.testing.assert_array_equal(counts, expected)


def test_the_rows_of_a_symmetric_start_count_alike():
    snrs, ratios = np.array([1.0, 2.0, 5.0]), np.array([1.0, 4.0])
    counts = [
        outlier_counts(HEAD, origin(), law(), matrix, (row,), snrs, ratios)
        for matrix in ("hessian", "information")
        for row in range(K)
    ]
    for row in (1, 2):
        np.testing.assert_array_equal(counts[0], counts[row])
        np.testing.assert_array_equal(counts[3], counts[3 + row])


def information_edge(snr, phi):
    """Right edge of lam(S) = -1/S + E[D/(1 + S D/(phi snr))]/snr: D = 4/9 or 1/9."""
    s = -np.exp(np.linspace(-12, math.log(phi * snr * 9 / 4 - 1e-9), 400_000))
    mean = sum(p * w / (1 + s * w / (phi * snr)) for p, w in ((1 / 3, 4 / 9), (2 / 3, 1 / 9)))
    values = -1 / s + mean / snr
    place = int(np.argmin(values))
    return s[place]


def information_count(snr, phi):
    """Outliers beyond the edge: eigenvalues of E[A z z^T] against lam(S) at the edge's S."""
    s = information_edge(snr, phi)
    own, other = (w / (1 + s * w / (phi * snr)) for w in (4 / 9, 1 / 9))
    mean = (own + 2 * other) / 3
    edge = -1 / s + mean / snr
    # E[A z z^T] = mean/snr I + sum_b weight_b A_b mu_b mu_b^T.
    spikes = mean / snr + np.array([own, other, other]) / 3
    return int((spikes > edge).sum())


@pytest.mark.parametrize("phi", [1.0, 4.0])
def test_outliers_of_the_information_matrix_appear_one_by_one(phi):
    snrs = np.geomspace(0.3, 30, 9)
    counts = outlier_counts(HEAD, origin(), law(), "information", (0,), snrs, np.array([phi]))
    np.testing.assert_array_equal(counts[0], [information_count(snr, phi) for snr in snrs])
    thresholds = snr_thresholds(HEAD, origin(), law(), "information", (0,), snrs, phi)
    for value in thresholds:
        below, above = (information_count(value * factor, phi) for factor in (0.999, 1.001))
        assert below != above


def test_thresholds_are_where_the_counts_change():
    statistics = Statistics(np.diag([0.2, 0.2, 0.2, 1.0, 1.0, 1.0]))
    mixture = MixtureLaw(np.array([0.4, 0.35, 0.25]), np.arange(3), 1.0)
    snrs = np.geomspace(0.5, 8, 6)
    found = snr_thresholds(HEAD, statistics, mixture, "hessian", (0,), snrs, 4.0)
    assert list(found) == sorted(found)
    assert len(found) == 3
    for index, value in enumerate(found):
        counts = outlier_counts(
            HEAD,
            statistics,
            mixture,
            "hessian",
            (0,),
            value * np.array([1 - 1e-4, 1 + 1e-4]),
            np.array([4.0]),
        )
        assert counts.tolist() == [[index, index + 1]]


def test_no_threshold_where_nothing_changes():
    assert snr_thresholds(HEAD, origin(), law(), "hessian", (0,), np.array([2.0, 8.0]), 4.0) == ()
