"""Transitions along paths, against closed forms at x = 0 and counts on both sides.

At x = 0 the softmax Hessian's diagonal block is (1/C)(1 - 1/C) times a sample covariance whose
spikes are 1 + snr times the eigenvalues of sum_b p_b mu_b mu_b^T (docs/theory.md, Closed forms).
"""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from spectrain.models.heads import SoftmaxHead
from spectrain.theory.bulk.exterior import exterior
from spectrain.theory.bulk.law import CurvatureLaw
from spectrain.theory.bulk.law_spectrum import LawSpectrum
from spectrain.theory.bulk.outliers import count_outliers
from spectrain.theory.mixture.dynamics import SGD, EffectiveDynamics
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.factor_law import FactorLaw
from spectrain.theory.mixture.quadrature import MixtureLaw, quadrature
from spectrain.theory.mixture.statistics import Statistics
from spectrain.theory.scans.block_path import BlockPath, block_law, edge_excess, varied
from spectrain.theory.scans.transition_points import transition_points

PHI, SNR = 4.0, 6.0
WEIGHTS = np.array([0.5, 0.3, 0.2])


def origin(means, weights=WEIGHTS, snr=SNR, phi=PHI):
    """x = 0 and means given as columns, one class a mean."""
    k = means.shape[1]
    gram = np.zeros((2 * k, 2 * k))
    gram[k:, k:] = means.T @ means
    law = MixtureLaw(weights, np.arange(k), snr)
    return EffectiveSpectrum(SoftmaxHead(k), Statistics(gram), law, phi, 1000)


def symmetric_origin(k, snr=1.0, phi=PHI):
    return origin(np.eye(k), np.full(k, 1 / k), snr, phi)


def spiked(theta, classes=3, snr=SNR, phi=PHI):
    """Place of the outlier of an eigenvalue theta of sum_b p_b mu_b mu_b^T."""
    c0, spike = (1 - 1 / classes) / classes, 1 + snr * theta
    return c0 / snr * spike * (1 + 1 / (phi * (spike - 1)))


def meetings(path, low, high, **options):
    return [
        point
        for point in transition_points(path, "hessian", (0,), low, high, **options)
        if not math.isnan(point.gap)
    ]


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("phi", [1.0, 4.0])
def test_the_hessians_outliers_appear_at_the_bbp_threshold(k, phi):
    theory = symmetric_origin(k, phi=phi)
    (point,) = transition_points(
        lambda snr: varied(theory, snr=snr), "hessian", (0,), 0.1, 10.0, tolerance=1e-9
    )
    expected = k / math.sqrt(phi)
    assert point.place == pytest.approx(expected, rel=1e-8)
    assert abs(point.place - expected) < point.error < 2e-8
    assert (point.kind, point.side, point.ranks) == ("appears", "top", (1, k))
    assert (point.before, point.after) == (0, k)
    edge = (1 - 1 / k) / k / expected * (1 + phi**-0.5) ** 2
    assert point.value == pytest.approx(edge, rel=1e-8)


def test_the_same_threshold_along_the_aspect_ratio():
    theory = symmetric_origin(3, snr=2.0)
    (point,) = transition_points(
        lambda phi: varied(theory, aspect_ratio=phi), "hessian", (0,), 0.5, 9.0, tolerance=1e-9
    )
    assert point.place == pytest.approx((3 / 2.0) ** 2, rel=1e-8)


def test_the_excess_is_linear_in_the_snr_at_the_origin():
    for snr in (0.5, 2.0, 7.0):
        state = BlockPath(lambda s: symmetric_origin(3, s), "hessian", (0,)).at(snr, "top")
        np.testing.assert_allclose(state.excess, -1 + snr * math.sqrt(PHI) / 3, rtol=1e-9)


@pytest.mark.parametrize("rows", [1, 2])
def test_directions_of_noise_have_excess_minus_one(rows):
    law = CurvatureLaw(
        weights=np.ones(1),
        factors=np.eye(rows)[None],
        moments=np.eye(3)[None] / SNR,
        supremum=1.0,
        infimum=0.0,
        extremes=np.eye(rows)[None],
        aspect_ratio=PHI,
        snr=SNR,
    )
    np.testing.assert_allclose(edge_excess(exterior(law)), -np.ones(3 * rows), rtol=1e-8)


@pytest.fixture(scope="module")
def training():
    """The softmax run of docs/theory.md at infinite dimension: x(0) = .3 N(0, I/d)."""
    statistics = Statistics(np.diag([0.09] * 3 + [1.0] * 3))
    law = MixtureLaw(np.array([0.4, 0.35, 0.25]), np.arange(3), 3.0)
    dynamics = EffectiveDynamics(SoftmaxHead(3), law, SGD(0.5, ridge=0.05), statistics)
    theory = EffectiveSpectrum(SoftmaxHead(3), statistics, law, 4.0, 1000)
    return lambda time: varied(theory, statistics=dynamics.at(time))


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [("hessian", [(3.1, 3, 2), (11.9, 2, 1)]), ("information", [(3.7, 1, 0)])],
)
def test_transitions_of_a_training(training, matrix, expected):
    points = transition_points(training, matrix, (0,), 0.0, 20.0)
    assert [(point.kind, point.before, point.after) for point in points] == [
        ("disappears", before, after) for _, before, after in expected
    ]
    for point, (place, before, after) in zip(points, expected, strict=True):
        assert point.place == pytest.approx(place, abs=0.15)
        assert point.error < 3e-5
        step = 1e-6 * point.place
        assert training(point.place - step).counts(matrix, (0,)) == (before, 0)
        assert training(point.place + step).counts(matrix, (0,)) == (after, 0)
        # An outlier about to join the bulk is where the edge is.
        spectrum = training(point.place - 1e-3).spectrum(matrix, (0,), "b", density_points=0)
        if spectrum.bulk.upper.kind == "square-root":
            assert spectrum.top[before - 1].value == pytest.approx(point.value, rel=1e-4)


@pytest.mark.parametrize("matrix", ["hessian", "information"])
def test_the_error_covers_what_a_finer_quadrature_finds(training, matrix):
    """With nearly twice as many nodes a dimension and no bins."""

    def count(place):
        theory = training(place)
        nodes = quadrature(theory.projection, theory.mixture, level=-2)
        law = FactorLaw(theory.head, theory.statistics, nodes, theory.aspect_ratio)
        return count_outliers(exterior(law.law(matrix, (0,))))

    for point in transition_points(training, matrix, (0,), 2.0, 13.0, points=9):
        assert count(point.place - point.error) == point.before
        assert count(point.place + point.error) == point.after


@pytest.fixture(scope="module")
def growing_network(xor, problem):
    """XOR with width 2: theory at a scale of weights of random direction, for each seed."""
    base = xor()
    means = np.linalg.cholesky(base.statistics.gram[2:, 2:] + 1e-12 * np.eye(4))

    def path_of(seed):
        x = np.random.default_rng(seed).standard_normal((2, 6))

        def path(scale):
            vectors = np.vstack([scale * x, np.hstack([means, np.zeros((4, 2))])])
            statistics = Statistics(vectors @ vectors.T, base.statistics.parameters)
            return problem(base.head, statistics, base.law, base.aspect_ratio).theory(500)

        return path

    return path_of


@pytest.mark.parametrize(("seed", "rows"), [(0, (0,)), (3, (0,)), (0, (0, 1))])
@pytest.mark.parametrize("matrix", ["hessian", "information"])
def test_random_networks_have_the_counts_of_both_sides(growing_network, seed, matrix, rows):
    """Along growing weights of random direction; the Hessian has outliers on both sides."""
    path = growing_network(seed)
    low, high, points = (0.1, 1.5, 17) if len(rows) == 1 else (0.3, 0.6, 4)
    changes = [
        point
        for point in transition_points(path, matrix, rows, low, high, points=points)
        if point.kind in ("appears", "disappears")
    ]
    counts = list(path(low).counts(matrix, rows))
    for point in changes:
        index = 0 if point.side == "top" else 1
        step = 3e-6 * point.place
        assert path(point.place - step).counts(matrix, rows) == tuple(counts)
        assert counts[index] == point.before
        assert abs(point.after - point.before) == 1
        assert (point.kind == "appears") == (point.after > point.before)
        counts[index] = point.after
        assert path(point.place + step).counts(matrix, rows) == tuple(counts)
    assert path(high).counts(matrix, rows) == tuple(counts)
    if seed == 0:
        sides = {("hessian", 2): {"bottom", "top"}}
        assert {point.side for point in changes} == sides.get((matrix, len(rows)), {"top"})


def test_the_second_layer_belongs_to_the_block_if_asked(growing_network):
    """Counts of the whole spectrum on both sides; without v the transitions are elsewhere."""
    path = growing_network(0)
    points, without = (
        transition_points(
            path, "information", (0,), 0.5, 0.9, tolerance=1e-4, points=3, with_parameters=joint
        )
        for joint in (True, False)
    )
    assert {point.side for point in points} == {"top", "bottom"}
    for point in points:
        for step, count in ((-1e-3, point.before), (1e-3, point.after)):
            law = path(point.place * (1 + step)).law("information", (0,), with_parameters=True)
            spectrum = LawSpectrum(law)
            found = spectrum.top if point.side == "top" else spectrum.bottom
            assert len(found) == count
        assert all(abs(point.place - other.place) > 0.01 for other in without)


def test_orthogonal_means_let_outliers_cross():
    """p_0 s^2 = p_b l_b^2: a reflection keeps the eigenvectors apart."""
    lengths = np.array([1.3, 1.1])

    def path(s):
        return origin(np.diag([s, *lengths]))

    points = meetings(path, 0.5, 1.5)
    expected = sorted(np.sqrt(WEIGHTS[1:] / WEIGHTS[0]) * lengths)
    np.testing.assert_allclose([point.place for point in points], expected, rtol=1e-6)
    assert [point.kind for point in points] == ["crosses", "crosses"]
    assert [point.ranks for point in points] == [(2, 3), (1, 2)]
    for point in points:
        assert point.value == pytest.approx(spiked(WEIGHTS[0] * point.place**2), rel=1e-6)
        assert point.gap <= 1e-5
        assert point.error < 1e-5
        assert (point.before, point.after) == (3, 3)


def test_an_outlier_crosses_a_degenerate_pair_at_once():
    weights = np.array([0.5, 0.25, 0.25])
    (point,) = meetings(lambda s: origin(np.diag([s, 1.0, 1.0]), weights), 0.5, 1.5)
    assert (point.kind, point.ranks) == ("crosses", (1, 3))
    assert point.place == pytest.approx(math.sqrt(0.5), rel=1e-6)


def test_outliers_of_a_block_of_two_directions_cross_where_those_of_one_do():
    """There D is constant with eigenvalues 1/3 and 1/9, each with its own outliers."""

    def path(s):
        return origin(np.diag([s, 1.3, 0.2]))

    points = transition_points(path, "hessian", (0, 1), 0.95, 1.05, points=3)
    (point,) = [point for point in points if not math.isnan(point.gap)]
    assert (point.kind, point.ranks) == ("crosses", (1, 2))
    assert point.place == pytest.approx(1.3 * math.sqrt(WEIGHTS[1] / WEIGHTS[0]), rel=1e-6)


@pytest.mark.parametrize("tilt", [0.1, 0.01])
def test_tilted_means_let_outliers_avoid_each_other(tilt):
    """The gap of the eigenvalues of sum_b p_b mu_b mu_b^T, on a fine grid."""

    def means(s):
        columns = np.diag([s, 1.3, 0.4])
        columns[1, 0] = tilt * s
        return columns

    def gap(s):
        theta = np.linalg.eigvalsh((means(s) * WEIGHTS) @ means(s).T)[:0:-1]
        first, second = spiked(theta)
        return 2 * (first - second) / (first + second)

    grid = np.linspace(0.9, 1.1, 20_001)
    gaps = np.array([gap(s) for s in grid])
    (point,) = meetings(lambda s: origin(means(s)), 0.7, 1.3)
    assert (point.kind, point.ranks) == ("avoids", (1, 2))
    assert point.gap == pytest.approx(gaps.min(), rel=1e-6)
    assert point.gap > 100 * point.gap_error
    assert point.place == pytest.approx(grid[gaps.argmin()], abs=2e-5)
    assert abs(point.place - grid[gaps.argmin()]) < point.error + 1e-5


def test_outliers_that_meet_without_crossing_touch():
    def path(s):
        strength = WEIGHTS[1] * 1.3**2 + (s - 0.37) ** 2
        return origin(np.diag([math.sqrt(strength / WEIGHTS[0]), 1.3, 0.2]))

    (point,) = meetings(path, 0.0, 1.0)
    assert (point.kind, point.ranks) == ("touches", (1, 2))
    assert abs(point.place - 0.37) < point.error < 1e-3
    assert point.gap <= point.gap_error


@pytest.mark.parametrize(("sign", "kind"), [(1, "splits"), (-1, "merges")])
def test_a_degenerate_pair_splits(sign, kind):
    def path(s):
        strength = WEIGHTS[1] * 1.3**2 + max(0.0, sign * (s - 0.37))
        return origin(np.diag([math.sqrt(strength / WEIGHTS[0]), 1.3, 0.2]))

    (point,) = meetings(path, 0.0, 1.0)
    assert (point.kind, point.ranks) == (kind, (1, 2))
    assert abs(point.place - 0.37) < point.error < 1e-5


def test_degenerate_outliers_that_stay_so_do_not_meet():
    assert meetings(lambda snr: symmetric_origin(3, snr), 2.0, 8.0) == []


def test_outliers_appear_in_a_gap():
    """The information matrix at x = 0 with ten classes: D = .81 on a tenth of the samples, or .01.

    In P = phi snr / S the ends of the gap are critical points of
    snr lam(P) = E[D P/(P + D)] - P/phi, and an outlier along the mean of another class leaves at
    snr = -P (P + D) / (phi p D P), D = .01, p = .1.
    """
    k, phi = 10, 1.0
    d, w = np.array([0.81, 0.01]), np.array([0.1, 0.9])
    p = brentq(lambda p: phi * (w @ (d / (p + d)) ** 2) - 1, -0.01 - 0.09, -0.01 - 1e-9)
    expected = -p * (p + d[1]) / (phi * w[0] * d[1] * p)
    theory = symmetric_origin(k, phi=phi)
    points = transition_points(
        lambda snr: varied(theory, snr=snr),
        "information",
        (0,),
        2.0,
        20.0,
        tolerance=1e-9,
        points=5,
    )
    assert [(point.side, point.before, point.after) for point in points] == [
        ("top", 0, 1),
        ("inside", 0, k - 1),
    ]
    assert points[1].place == pytest.approx(expected, rel=1e-8)
    assert points[1].ranks == (1, k - 1)
    assert points[1].value * points[1].place == pytest.approx(
        w @ (d * p / (p + d)) - p / phi, rel=1e-8
    )
    for factor, count in ((1 - 1e-4, 0), (1 + 1e-4, k - 1)):
        law = block_law(varied(theory, snr=factor * expected), "information", (0,))
        assert len(LawSpectrum(law).inside) == count


def test_fewer_samples_than_dimensions_leave_no_outlier_at_the_atom():
    """Below phi = 1 all directions of the span have eigenvalue 0: they belong to the atom."""
    for phi in (0.4, 0.9, 1.5):
        state = BlockPath(lambda s, phi=phi: symmetric_origin(3, s, phi), "hessian", (0,)).at
        assert len(state(1.0, "bottom").values) == 0
        assert (state(1.0, "bottom").excess < -1).all()


def test_arguments_are_checked():
    path = symmetric_origin
    with pytest.raises(ValueError, match="low, high: expected finite low < high, got 2, 1"):
        transition_points(path, "hessian", (0,), 2, 1)
    with pytest.raises(ValueError, match="points: expected at least 3, got 2"):
        transition_points(path, "hessian", (0,), 1, 2, points=2)
    with pytest.raises(ValueError, match="tolerance: expected a number in"):
        transition_points(path, "hessian", (0,), 1, 2, tolerance=0)
