"""Edge and outlier of the Hessian on the sphere, at random positions and at measured laws."""

import math

import numpy as np
import pytest
import torch

from spectrain.models.phase_retrieval.loss import PhaseLoss
from spectrain.models.phase_retrieval.model import Measurements
from spectrain.models.spiked.start import start_at_overlap
from spectrain.theory.phase_retrieval.joint_law import JointLaw, gaussian_law, measured_law
from spectrain.theory.phase_retrieval.law_spectrum import tangent_spectrum
from spectrain.theory.phase_retrieval.tangent_hessian import TangentHessian, random_position

ONE = PhaseLoss(1.0)


def dense(dimension, alpha, overlap, loss, seed, descent=0, rate=0.1):
    """Eigenvalues on the tangent space, by numpy alone, and the law of (z, z*), after a descent."""
    source = torch.Generator().manual_seed(seed)
    made = Measurements.drawn(dimension, round(alpha * dimension), source, torch.float64)
    start = start_at_overlap(made.signal * dimension**0.5, overlap, source) / dimension**0.5
    a, w, signal = made.sensing.numpy(), start.numpy(), made.signal.numpy()
    y = (a @ signal) ** 2
    for _ in range(descent):
        gradient = a.T @ loss.slope(a @ w, y) / len(a)
        w = w - rate * (gradient - (gradient @ w) * w)
        w /= np.linalg.norm(w)
    z = a @ w
    hessian = (a.T * loss.curvature(z, y)) @ a / len(a)
    tangent = np.linalg.svd(w[None])[2][1:]
    values, vectors = np.linalg.eigh(tangent @ hessian @ tangent.T)
    values -= (loss.slope(z, y) * z).mean()
    m = float(w @ signal)
    u = (signal - m * w) / math.sqrt(1 - m * m)
    return values, (tangent @ u @ vectors) ** 2, measured_law(z, a @ signal, m)


@pytest.mark.parametrize("overlap", [0.0, 0.3, -0.8])
def test_moments_of_a_random_position(overlap):
    law = gaussian_law(overlap)
    assert law.mean(law.z**2) == pytest.approx(1, abs=1e-12)
    assert law.mean(law.target**2) == pytest.approx(1, abs=1e-12)
    assert law.mean(law.z * law.target) == pytest.approx(overlap, abs=1e-12)
    assert law.mean(law.signal**4) == pytest.approx(3, abs=1e-11)
    assert law.mean(law.signal * law.z) == pytest.approx(0, abs=1e-12)


def test_the_numbers_of_the_normalised_loss():
    found = random_position(0.0, ONE, 2.0)
    assert found.multiplier == pytest.approx(-1.62271817, abs=1e-8)
    assert found.lower_edge == pytest.approx(-2.056910, abs=1e-6)


@pytest.mark.parametrize("overlap", [0.0, 0.4])
def test_the_quartic_has_a_multiplier_and_no_edge(overlap):
    """-E[l'z] = -E z^4 + E[z^2 z*^2] = 2 m^2 - 2."""
    found = random_position(overlap, PhaseLoss(None), 2.0)
    assert found.multiplier == pytest.approx(2 * overlap**2 - 2, abs=1e-11)
    assert found.lower_edge == -math.inf
    assert found.outliers == ()


def test_the_law_of_marchenko_and_pastur():
    """D = 1: edges (1 -+ alpha^(-1/2))^2 or an atom at zero, and no outlier at any law of s."""
    one = np.ones(1)
    law = JointLaw(one, 0 * one, one, 0.0)
    for alpha in (0.5, 4.0):
        found = TangentHessian(law, PhaseLoss(None), alpha)
        found.factors = one
        found.infimum = 1.0
        lowest = (1 - alpha**-0.5) ** 2 if alpha > 1 else 0.0
        assert found.lower_edge == pytest.approx(lowest, abs=1e-8)
        assert found.outliers == ()


def test_two_values_of_the_curvature_against_a_polynomial():
    """With D = -+1 the edge is a root of the discriminant of a cubic."""
    law = JointLaw(np.array([0.3, 0.7]), np.zeros(2), np.array([2.0, 0.5]), 0.0)
    found = TangentHessian(law, PhaseLoss(None), 2.0)
    found.factors, found.infimum = np.array([-1.0, 1.0]), -1.0
    # lambda(g) = 1/(2g) - .3/(1+g) + .7/(1-g), its derivative as a polynomial of g
    p = np.polynomial.Polynomial
    g = p([0, 1])
    slope = -((1 - g**2) ** 2) / 2 + g**2 * (0.3 * (1 - g) ** 2 + 0.7 * (1 + g) ** 2)
    roots = slope.roots()
    (expected,) = (x.real for x in roots if abs(x.imag) < 1e-9 and -1 < x.real < 0)
    assert found.edge_parameter == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("alpha", "overlap"), [(2.5, 0.1), (3.0, 0.4), (0.7, 0.0)])
def test_the_engine_of_all_systems_finds_the_same(alpha, overlap):
    _, _, law = dense(120, alpha, overlap, ONE, 3)
    own = TangentHessian(law, ONE, len(law.z) / 119)
    found = tangent_spectrum(law, ONE, 120, 0)
    assert found.bulk.lower.value == pytest.approx(own.lower_edge, rel=1e-6)
    assert len(found.bottom) == len(own.outliers)
    for pair, outlier in zip(found.bottom, own.outliers, strict=True):
        assert pair.value == pytest.approx(outlier.value, rel=1e-6)
        assert pair.overlap == pytest.approx(outlier.overlap, rel=1e-3)


def test_the_bulk_of_one_instance_on_a_trajectory():
    """Counting functions agree within (log N) / N; here N = 200, D and a taken as measured."""
    for descent in (0, 60):
        values, _, law = dense(200, 2.5, 0.15, ONE, 1, descent)
        density = tangent_spectrum(law, ONE, 200, 160).density
        shares = np.searchsorted(values, density.points) / len(values)
        assert np.abs(shares - density.cumulative).max() < math.log(200) / 200


@pytest.mark.slow
def test_the_resolvent_below_the_bulk_within_a_third_of_a_per_cent():
    """(1/N) Tr 1/(lambda - H) over measured-law theory, at start and after a descent."""
    size, alpha = 500, 2.5 * 500 / 499  # n over the dimension of the tangent space
    for descent in (0, 40, 150):
        ratios = []
        for seed in range(3):
            values, _, law = dense(size, 2.5, 0.15, ONE, seed, descent)
            found = TangentHessian(law, ONE, alpha)
            g = 0.3 * found.edge_parameter  # far enough for one outlier in N not to count
            lam = found.position(g) + found.multiplier
            ratios.append(np.mean(1 / (lam - values)) / (alpha * g))
        assert np.mean(ratios) == pytest.approx(1, abs=3e-3)


@pytest.mark.slow
def test_the_lowest_eigenvalue_of_random_positions():
    """N = 600, over seeds: above the outlier's limit by order N^(-2/3) at most, below by noise."""
    size, overlap = 600, 0.2
    for alpha in (1.0, 6.0):
        expected = random_position(overlap, ONE, alpha)
        limit = expected.outliers[0].value if expected.outliers else expected.lower_edge
        found = [dense(size, alpha, overlap, ONE, seed) for seed in range(4)]
        lowest = np.array([values[0] for values, _, _ in found])
        # The outlier's scatter is of order N^(-1/2), Tracy-Widom's of order N^(-2/3).
        spread = lowest.std(ddof=1) / math.sqrt(len(lowest))
        assert abs(lowest.mean() - limit) < 4 * spread + 4 * size ** (-2 / 3) * abs(limit) / 2
        if expected.outliers and expected.outliers[0].overlap > 0.3:
            overlaps = [overlaps[0] for _, overlaps, _ in found]
            assert np.mean(overlaps) == pytest.approx(expected.outliers[0].overlap, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("size", [500, 800])
def test_the_lowest_eigenvalue_along_a_descent(size):
    """alpha = 2.5, three seeds: an outlier below the bulk at the start, which is gone later.

    The last eigenvalue of a bulk is as far from its edge as the place of half an eigenvalue, and
    scatters by as much; an outlier lies where it is told to within that.
    """
    for descent in (0, 40, 150):
        gaps, overlaps = [], []
        for seed in range(3):
            values, shares, law = dense(size, 2.5, 0.15, ONE, seed, descent)
            own = TangentHessian(law, ONE, 2.5 * size / (size - 1))
            edge = tangent_spectrum(law, ONE, size, 0).bulk.lower
            stands_out = bool(own.outliers) and own.outliers[0].overlap > 0.1
            limit = own.outliers[0].value if stands_out else own.lower_edge
            gaps.append((values[0] - limit) / (edge.finite_size - edge.value))
            if descent == 0:
                assert stands_out
                assert values[0] < edge.value
                overlaps.append((shares[0], own.outliers[0].overlap))
            if descent == 150:
                assert not stands_out
                assert shares[0] < 0.1
        assert max(map(abs, gaps)) < 3, (descent, gaps)
        assert abs(np.mean(gaps)) < 2
        if overlaps:
            measured, told = np.mean(overlaps, axis=0)
            assert measured == pytest.approx(told, abs=0.05)


def test_bad_input_is_named():
    law = gaussian_law(0.0)
    with pytest.raises(
        ValueError, match="samples_per_dimension: expected a positive number, got 0"
    ):
        TangentHessian(law, ONE, 0.0)
    with pytest.raises(ValueError, match="overlap: expected a number above -1 and below 1, got 1"):
        gaussian_law(1.0)
    with pytest.raises(ValueError, match="overlap: expected a number above -1 and below 1, got -1"):
        measured_law(np.ones(2), np.ones(2), -1.0)
    with pytest.raises(ValueError, match="target: expected the shape of z"):
        measured_law(np.ones(2), np.ones(3), 0.0)
    with pytest.raises(ValueError, match=r"offset: expected a positive number or None, got 0\.0"):
        PhaseLoss(0.0)
