"""Marchenko-Pastur, spiked covariance, and softmax regression at the origin, to 1e-8."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spectrain.models.heads import SoftmaxHead, TwoLayerHead
from spectrain.theory.bulk.exterior import exterior
from spectrain.theory.bulk.interior import interior
from spectrain.theory.bulk.law import CurvatureLaw
from spectrain.theory.bulk.outliers import count_outliers, find_outliers
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics

TIGHT = 1e-8


def spiked_law(phi, snr, spikes=(), level=1.0, rows=1):
    """D = level I and E[z z^T] = diag(1/snr + spikes)."""
    factors = level * np.eye(rows)[None]
    return CurvatureLaw(
        weights=np.ones(1),
        factors=factors,
        moments=np.diag(1 / snr + np.array(spikes))[None],
        supremum=max(level, 0.0) if level < 0 else level,
        infimum=min(level, 0.0) if level > 0 else level,
        extremes=factors,
        aspect_ratio=phi,
        snr=snr,
    )


def marchenko_pastur_edges(phi):
    return (1 - phi**-0.5) ** 2, (1 + phi**-0.5) ** 2


def marchenko_pastur_density(x, phi):
    low, high = marchenko_pastur_edges(phi)
    return phi * np.sqrt(np.maximum((high - x) * (x - low), 0)) / (2 * math.pi * x)


def marchenko_pastur_cumulative(x, phi):
    """Closed form of the integral of the continuous part, for phi > 1."""
    low, high = marchenko_pastur_edges(phi)
    x = np.clip(x, low, high)
    root = np.sqrt((high - x) * (x - low))
    mean, product = (low + high) / 2, math.sqrt(low * high)
    first = mean * np.arcsin(np.clip((x - mean) / ((high - low) / 2), -1, 1))
    inner = (mean * x - low * high) / (x * (high - low) / 2)
    second = product * np.arcsin(np.clip(inner, -1, 1))
    total = root + first - second
    at_low = -math.pi / 2 * mean + math.pi / 2 * product
    return phi / (2 * math.pi) * (total - at_low)


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("phi", [1.5, 4.0, 9.0])
def test_bulk_of_a_constant_factor_is_marchenko_pastur(phi, rows):
    snr = 2.5
    law = spiked_law(phi, snr, rows=rows)
    right, left = exterior(law), exterior(law.mirrored)
    low, high = (edge / snr for edge in marchenko_pastur_edges(phi))
    assert right.kind == left.kind == "square-root"
    assert right.edge == pytest.approx(high, rel=TIGHT)
    assert -left.edge == pytest.approx(low, rel=TIGHT)
    inside = interior(law, low, high)
    assert inside.atom == 0
    profile = inside.profile(60, law)
    x = snr * profile.points
    density = snr * marchenko_pastur_density(x, phi)
    np.testing.assert_allclose(profile.density, density, atol=TIGHT * density.max())
    np.testing.assert_allclose(profile.cumulative, marchenko_pastur_cumulative(x, phi), atol=TIGHT)
    assert profile.density_errors.max() < TIGHT * density.max()
    assert profile.cumulative_errors.max() < TIGHT


@pytest.mark.parametrize("rows", [1, 2])
def test_fewer_samples_than_dimensions_leave_an_atom_at_zero(rows):
    phi = 0.6
    law = spiked_law(phi, 1.0, rows=rows)
    left = exterior(law.mirrored)
    assert left.kind == "hard"
    assert left.edge == 0
    low, high = marchenko_pastur_edges(phi)
    inside = interior(law, 0.0, high)
    assert inside.atom == pytest.approx(1 - phi, abs=1e-6)
    profile = inside.profile(60, law)
    assert profile.cumulative[0] == pytest.approx(1 - phi, abs=0.03)
    gap = profile.points < 0.99 * low
    assert gap.any()
    np.testing.assert_allclose(profile.density[gap], 0, atol=1e-6)
    np.testing.assert_allclose(profile.cumulative[gap], 1 - phi, atol=1e-6)
    bulk = ~gap & (profile.points > low)
    density = marchenko_pastur_density(profile.points[bulk], phi)
    np.testing.assert_allclose(profile.density[bulk], density, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("side", ["right", "left"])
def test_spiked_marchenko_pastur(rows, side):
    """Outlier at l (1 + (1/phi) / (l-1)), overlap (1 - 1/(phi (l-1)^2)) / (1 + 1/(phi (l-1)))."""
    phi, snr = 4.0, 2.0
    spike = 1.7 if side == "right" else -0.8
    law = spiked_law(phi, snr, [spike / snr], rows=rows)
    found = find_outliers(exterior(law if side == "right" else law.mirrored))
    ell = 1 + spike
    assert len(found) == rows
    for outlier in found:
        value = ell * (1 + 1 / phi / (ell - 1)) / snr
        overlap = (1 - 1 / (phi * (ell - 1) ** 2)) / (1 + 1 / (phi * (ell - 1)))
        assert abs(outlier.value) == pytest.approx(value, rel=TIGHT)
        assert outlier.overlap == pytest.approx(overlap, rel=TIGHT)
        assert np.linalg.norm(outlier.direction) == pytest.approx(1)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("phi", [1.5, 4.0])
def test_a_spike_leaves_the_bulk_at_the_bbp_threshold(rows, phi):
    for sign in (1, -1):
        for beyond in (1, -1):
            spike = sign * phi**-0.5 * (1 + beyond * 1e-7)
            law = spiked_law(phi, 1.0, [spike], rows=rows)
            side = exterior(law if sign > 0 else law.mirrored)
            assert count_outliers(side) == (rows if beyond > 0 else 0)


def origin(classes, snr, phi, dimension=1000):
    gram = np.zeros((2 * classes, 2 * classes))
    gram[classes:, classes:] = np.eye(classes)
    law = MixtureLaw(np.full(classes, 1 / classes), np.arange(classes), snr)
    return EffectiveSpectrum(SoftmaxHead(classes), Statistics(gram), law, phi, dimension)


@pytest.mark.parametrize(("classes", "snr", "phi"), [(3, 6.0, 4.0), (2, 4.0, 2.0), (4, 9.0, 3.0)])
def test_softmax_at_the_origin(classes, snr, phi):
    spectrum = origin(classes, snr, phi).spectrum("hessian", (0,), "class 0")
    c0 = (1 - 1 / classes) / classes
    low, high = (c0 / snr * edge for edge in marchenko_pastur_edges(phi))
    assert spectrum.bulk.lower.value == pytest.approx(low, rel=TIGHT)
    assert spectrum.bulk.upper.value == pytest.approx(high, rel=TIGHT)
    assert spectrum.bulk.upper.kind == "square-root"
    assert spectrum.bulk.atom == 0
    ell = 1 + snr / classes
    assert len(spectrum.top) == classes
    assert spectrum.bottom == ()
    for outlier in spectrum.top:
        assert outlier.value == pytest.approx(c0 / snr * ell * (1 + 1 / phi / (ell - 1)), rel=TIGHT)
        overlap = (1 - 1 / (phi * (ell - 1) ** 2)) / (1 + 1 / (phi * (ell - 1)))
        assert outlier.overlap == pytest.approx(overlap, rel=TIGHT)
        # The directions x have length 0; the means share the eigenvector's part in the span.
        np.testing.assert_array_equal(outlier.alignment[:classes], 0)
        assert outlier.alignment.sum() == pytest.approx(overlap, rel=TIGHT)


@pytest.mark.parametrize("phi", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("snr", [2.0, 6.0])
def test_all_directions_of_softmax_at_the_origin_reach_their_edge_together(snr, phi):
    # D = (1/C)(I - 11^T/C) for every sample: C - 1 copies of a spiked covariance, and d zeros.
    classes = 3
    block = origin(classes, snr, phi).spectrum("hessian", (0, 1, 2), "all", density_points=0)
    scale = 1 / (classes * snr)
    low, high = (scale * edge for edge in marchenko_pastur_edges(phi))
    assert block.bulk.lower.value == pytest.approx(low, rel=TIGHT)
    assert block.bulk.upper.value == pytest.approx(high, rel=TIGHT)
    spike = snr / classes
    assert len(block.top) == (6 if spike > phi**-0.5 else 0)
    for outlier in block.top:
        value = scale * (1 + spike) * (1 + 1 / (phi * spike))
        assert outlier.value == pytest.approx(value, rel=TIGHT)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("phi", [1.5, 4.0, 9.0])
def test_bbp_threshold_of_softmax_at_the_origin(classes, phi):
    threshold = classes * phi**-0.5
    above, below = (threshold * (1 + sign * 1e-8) for sign in (1, -1))
    assert origin(classes, above, phi).counts("hessian", (0,)) == (classes, 0)
    assert origin(classes, below, phi).counts("hessian", (0,)) == (0, 0)


def test_the_information_matrix_splits_at_the_origin():
    classes, snr, phi = 3, 6.0, 4.0
    spectrum = origin(classes, snr, phi).spectrum("information", (0,), "class 0")
    values = [outlier.value for outlier in spectrum.top]
    # D is (1 - 1/C)^2 on the own class and 1/C^2 on the others: one above, two together.
    assert len(values) == 3 or len(values) == 1
    assert spectrum.top[0].alignment[classes] == pytest.approx(spectrum.top[0].overlap, rel=1e-6)
    own, other = (1 - 1 / classes) ** 2, 1 / classes**2
    d, w = np.array([own, other]), np.array([1 / classes, 1 - 1 / classes])
    p = np.linspace(-50, -own - 1e-6, 400_001)[:, None]
    lam = ((w * d * p / (p + d)).sum(1) - p[:, 0] / phi) / snr
    assert spectrum.bulk.upper.value == pytest.approx(lam.min(), rel=TIGHT)
    # K along the own mean: E[A (z.mu)^2] = E[A]/snr + A(own)/C.
    a = d * p / (p + d)
    k = (w * a).sum(1) / snr + a[:, 0] / classes - lam
    outside = p[:, 0] < p[lam.argmin(), 0]
    root = np.flatnonzero(np.diff(np.sign(k)) * outside[1:])[0]
    assert values[0] == pytest.approx(lam[root], rel=1e-3)


def test_one_pair_of_means_is_one_dimensional():
    """k = 2 opposite means, one direction along them: everything is one integral over z."""
    snr, phi, length, x = 3.0, 3.0, 1.2, 0.8
    gram = np.outer([x, length, -length], [x, length, -length])
    law = MixtureLaw(np.array([0.6, 0.4]), np.array([1, 0]), snr)
    head, v = TwoLayerHead(1, "tanh"), np.array([1.3])
    theory = EffectiveSpectrum(head, Statistics(gram, v), law, phi, 500)
    spectrum = theory.spectrum("information", (0,), "unit", density_points=0)
    z = np.linspace(-6, 6, 40_001)
    gauss = np.exp(-(z**2) / 2)
    z = np.concatenate([length + z / snr**0.5, -length + z / snr**0.5])
    w = np.concatenate([0.6 * gauss, 0.4 * gauss])
    w /= w.sum()
    y = np.repeat([1.0, 0.0], len(gauss))
    t = np.tanh(x * z)
    d = (v[0] * (1 - t**2) * (1 / (1 + np.exp(-v[0] * t)) - y)) ** 2
    one = CurvatureLaw(
        weights=w,
        factors=d[:, None, None],
        moments=(z**2)[:, None, None],
        supremum=max(theory.law("information", (0,)).supremum, d.max()),
        infimum=0.0,
        extremes=np.zeros((1, 1, 1)),
        aspect_ratio=phi,
        snr=snr,
    )
    right, left = exterior(one), exterior(one.mirrored)
    assert spectrum.bulk.upper.value == pytest.approx(right.edge, rel=TIGHT)
    assert spectrum.bulk.lower.value == pytest.approx(-left.edge, rel=1e-6)
    for outlier, other in zip(spectrum.top, find_outliers(right), strict=True):
        assert outlier.value == pytest.approx(other.value, rel=1e-6)
        assert outlier.overlap == pytest.approx(other.overlap, rel=1e-5)
        assert outlier.alignment == pytest.approx(np.full(3, outlier.overlap))


def test_a_block_of_independent_directions_is_their_union():
    """Diag(D1, D2) with m = 2 has the edges and outliers of both scalar laws."""
    rng = np.random.default_rng(0)
    n, phi, snr = 40, 3.0, 2.0
    d = rng.uniform(0.2, 1.0, (n, 2))
    z = rng.standard_normal((n, 2))
    moments = z[:, :, None] * z[:, None, :] * (1 + 3 * d[:, :1, None])
    weights = rng.dirichlet(np.ones(n))

    def law(factors):
        top, bottom = factors.max(), min(factors.min(), 0.0)
        return CurvatureLaw(weights, factors, moments, top, bottom, factors, phi, snr)

    both = law(np.stack([np.diag(row) for row in d]))
    singles = [law(d[:, i, None, None]) for i in range(2)]
    scalar = [exterior(single) for single in singles]
    joint = exterior(both)
    assert joint.edge == pytest.approx(max(side.edge for side in scalar), rel=TIGHT)
    expected = sorted((o.value for side in scalar for o in find_outliers(side)), reverse=True)
    expected = [value for value in expected if value > joint.edge]
    assert [o.value for o in find_outliers(joint)] == pytest.approx(expected, rel=TIGHT)
    inside = interior(both, -exterior(both.mirrored).edge, joint.edge)
    alone = [interior(s, -exterior(s.mirrored).edge, exterior(s).edge) for s in singles]
    for share in (0.2, 0.5, 0.9):
        lam = inside.quantile(share)
        above = np.mean(
            [
                np.interp(lam, profile.points, 1 - profile.cumulative)
                for profile in (one.profile(400, one.law) for one in alone)
            ]
        )
        assert above == pytest.approx(share, abs=1e-4)


def test_scaling_the_noise_scales_the_spectrum():
    """Snr -> s snr with means and directions scaled to match: lam -> lam / s."""
    rng = np.random.default_rng(0)
    v = rng.standard_normal((4, 4)) * 0.7
    gram = v.T @ v
    law = MixtureLaw(np.array([0.5, 0.5]), np.array([0, 1]), 2.0)
    first = EffectiveSpectrum(SoftmaxHead(2), Statistics(gram), law, 3.0, 300)
    # Y -> Y / 2: means halve, the noise variance falls by 4, x doubles to keep h.
    scale = np.diag([2.0, 2.0, 0.5, 0.5])
    scaled = Statistics(scale @ gram @ scale)
    second = EffectiveSpectrum(SoftmaxHead(2), scaled, replace(law, snr=8.0), 3.0, 300)
    one, two = (t.spectrum("hessian", (0,), "b", density_points=0) for t in (first, second))
    assert two.bulk.upper.value == pytest.approx(one.bulk.upper.value / 4, rel=1e-7)
    assert two.bulk.upper.detection == pytest.approx(one.bulk.upper.detection / 4, rel=1e-6)
    for a, b in zip(one.top, two.top, strict=True):
        assert b.value == pytest.approx(a.value / 4, rel=1e-6)
        assert b.overlap == pytest.approx(a.overlap, rel=1e-5)


@pytest.mark.parametrize(("snr", "phi"), [(0.44, 10.0), (2.1, 34.0)])
def test_all_parameters_of_a_linear_network_have_its_atom(snr, phi):
    """D = a a^T whatever the sample: Marchenko-Pastur times |a|^2, and zeros across a.

    Of the joint matrix the parts M_hv see all directions, so that none can be left out.
    """
    a = np.array([-0.045, 2.8, -0.99])
    vectors = np.random.default_rng(0).standard_normal((5, 5))
    law = MixtureLaw(np.array([0.3, 0.7]), np.array([0, 1]), snr)
    theory = EffectiveSpectrum(
        TwoLayerHead(3, "identity", "squared"), Statistics(vectors @ vectors.T, a), law, phi
    )
    bulk = theory.spectrum("hessian", (0, 1, 2), "full", 0, with_parameters=True).bulk
    edges = a @ a / snr * np.array(marchenko_pastur_edges(phi))
    np.testing.assert_allclose([bulk.lower.value, bulk.upper.value], edges, rtol=TIGHT)
    assert bulk.atom == pytest.approx(2 / 3, abs=TIGHT)


@pytest.mark.parametrize(("activation", "snr"), [("gelu", 4.0), ("softplus", 50.0)])
def test_a_network_at_the_origin_has_as_many_negative_eigenvalues(activation, snr, xor):
    """D = +-c diag(1, -1) + b a a^T has one eigenvalue of either sign, n = 4 d of them and no zero.

    The lower band ends at zero, where its density diverges.
    """
    problem = xor(snr=snr)
    origin = np.zeros_like(problem.statistics.gram)
    origin[2:, 2:] = problem.statistics.gram[2:, 2:]
    theory = EffectiveSpectrum(
        TwoLayerHead(2, activation),
        Statistics(origin, np.array([1.0, -1.0])),
        problem.law,
        problem.aspect_ratio,
    )
    spectrum = theory.spectrum("hessian", (0, 1), "directions", 40)
    (gap,) = spectrum.bulk.gaps
    assert spectrum.bulk.atom == 0
    assert gap.lower.value == pytest.approx(0, abs=1e-4 * spectrum.bulk.upper.value)
    middle = (gap.lower.value + gap.upper.value) / 2
    below = np.interp(middle, spectrum.density.points, spectrum.density.cumulative)
    assert below == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("phi", [0.7, 4.0])
def test_an_unbounded_factor_of_two_directions_has_a_spectrum(phi, xor):
    """The information matrix of act(h) = h^2, where P is a rounding error beside the largest D."""
    problem = xor(x_scale=0.3, snr=4.0, phi=phi)
    theory = EffectiveSpectrum(
        TwoLayerHead(2, "square", "squared"),
        replace(problem.statistics, parameters=np.array([1.0, -1.0])),
        problem.law,
        phi,
    )
    spectrum = theory.spectrum("information", (0, 1), "directions", 120)
    points, below = spectrum.density.points, spectrum.density.cumulative
    moments = theory.moments("information", (0, 1), 1)
    mean = points[-1] * below[-1] - np.trapezoid(below, points) - points[0] * below[0]
    assert mean == pytest.approx(moments.values[0], rel=0.05)
