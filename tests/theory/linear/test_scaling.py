"""Power laws: merged bins, local exponents, the compute-optimal frontier and its phases."""

import math

import numpy as np
import pytest

from spectrain.theory.linear.algorithm import Algorithm
from spectrain.theory.linear.phases import phase, trade_off
from spectrain.theory.linear.power_law import PowerLaw, merged
from spectrain.theory.linear.scaling import (
    frontier,
    local_exponents,
    loss_over_features,
    loss_over_samples,
    width_losses,
)


def test_bins_keep_their_sums():
    law = PowerLaw(1.3, 0.4, 10**5, 300)
    k = np.arange(1, 10**5 + 1.0)
    found = law.problem()
    assert found.dimension == 10**5
    assert found.multiplicity @ found.spectrum == pytest.approx((k**-1.3).sum(), rel=1e-7)
    assert found.target.sum() == pytest.approx((k**-0.4).sum(), rel=1e-9)
    assert len(found.spectrum) <= 300


def test_an_exponent_of_one_is_a_logarithm():
    found = PowerLaw(1.0, 1.0, 10**4, 300).problem()
    assert found.target.sum() == pytest.approx((1 / np.arange(1, 10**4 + 1.0)).sum(), rel=1e-9)


def test_merged_bins_predict_the_same_curves():
    """Twenty thousand modes in 400 bins: the note has 4e-5 and 8e-5 for 200."""
    law = PowerLaw(1.4, 0.2, 20_000, 20_000)
    times = np.geomspace(1, 1e6, 15)
    full = law.problem(500.0, 300.0, 0.1)
    curve = width_losses(full, Algorithm("flow"), times)
    for one in (merged(full, 400), PowerLaw(1.4, 0.2, 20_000).problem(500.0, 300.0, 0.1)):
        assert len(one.spectrum) <= 400
        found = width_losses(one, Algorithm("flow"), times)
        np.testing.assert_allclose(found, curve, rtol=3e-5)


def test_local_exponents_of_a_power_and_of_a_sum_of_two():
    x = np.geomspace(1, 1e4, 25)
    found = local_exponents(x, 3 * x**-0.7)
    np.testing.assert_allclose(found.values, -0.7, rtol=1e-12)
    assert (found.errors < 1e-12).all()
    mixed = local_exponents(x, x**-0.7 + 0.01 * x**-0.1)
    exact = -(0.7 * x**-0.7 + 0.001 * x**-0.1) / (x**-0.7 + 0.01 * x**-0.1)
    assert (np.abs(mixed.values - exact[2:-2]) <= mixed.errors + 1e-12).all()


def test_exponents_in_time_width_and_data():
    """s_k = k^-1.4, a_k s_k = k^-1.6: -.6/1.4 in time, -.6 in width and in data."""
    law = PowerLaw(1.4, 0.2, 10**6, 400)
    times = np.geomspace(10, 1e6, 30)
    found = local_exponents(times, width_losses(law.problem(), Algorithm("flow"), times))
    assert (np.abs(found.values[5:12] + 0.6 / 1.4) < 0.01).all()
    counts = np.geomspace(100, 1000, 11)
    for loss in (loss_over_features(law, counts), loss_over_samples(law, counts)):
        found = local_exponents(counts, loss)
        assert (np.abs(found.values + 0.6) < 0.025).all()


@pytest.mark.parametrize(("target", "expected"), [(0.4, 0.6), (2.8, 1.2)])
def test_the_width_exponent_saturates_at_that_of_the_spectrum(target, expected):
    """N^-min(a - 1, b) for a_k s_k = k^-a and s_k = k^-b, b = 1.2; not 2b."""
    law = PowerLaw(1.2, target, 10**7, 500)
    counts = np.geomspace(100, 1000, 9)
    found = local_exponents(counts, loss_over_features(law, counts))
    assert found.values.mean() == pytest.approx(-expected, abs=0.05)


POINTS = [
    (0.75, 0.25, "Ia"),
    (1.5, 0.3, "Ia"),
    (0.33, 0.45, "Ib"),
    (0.45, 0.33, "Ib"),
    (0.2, 0.45, "Ib"),
    (0.2, 0.8, "Ic"),
    (0.1, 0.6, "Ic"),
    (0.25, 2.0, "Ic"),
    (1.25, 0.75, "II"),
    (0.9, 0.6, "II"),
    (1.0, 2.0, "III"),
    (0.6, 0.9, "III"),
    (0.4, 1.0, "IVa"),
    (0.33, 0.6, "IVa"),
    (0.27, 0.8, "IVb"),
    (0.28, 1.5, "IVb"),
]


@pytest.mark.parametrize(("alpha", "beta", "name"), POINTS)
def test_phases_follow_from_their_terms(alpha, beta, name):
    found = phase(alpha, beta)
    assert found.name == name
    eta, xi = trade_off(alpha, beta)
    assert found.loss_exponent == pytest.approx(eta, rel=1e-9)
    assert found.width_exponent == pytest.approx(xi, rel=1e-9)


def test_phases_join_at_their_boundaries():
    """Exponents of the loss are continuous."""
    root = 1 - math.sqrt(0.5)
    ends = [
        ((0.5, 0.3), (1, 0)),
        ((0.5, 0.8), (1, 0)),
        ((0.8, 0.5), (0, 1)),
        ((0.3, 0.5), (0, 1)),
        ((0.8, 0.8), (0, 1)),
        ((root, 0.9), (1, 0)),
        ((0.25, 0.9), (1, 0)),
    ]
    for (alpha, beta), (da, db) in ends:
        low, high = (phase(alpha + e * da, beta + e * db) for e in (-1e-9, 1e-9))
        assert low.name != high.name
        assert low.loss_exponent == pytest.approx(high.loss_exponent, abs=1e-7)
    assert phase(0.2, 0.2) is None
    with pytest.raises(ValueError, match=r"^alpha: expected"):
        phase(0.0, 1.0)


@pytest.mark.parametrize(
    ("alpha", "beta", "widths", "bound"),
    [
        (0.75, 0.25, (30, 3000), 0.02),
        pytest.param(1.25, 0.75, (20, 3000), 0.02, marks=pytest.mark.slow),
        pytest.param(1.0, 2.0, (50, 20_000), 0.02, marks=pytest.mark.slow),
        pytest.param(0.4, 1.0, (50, 100_000), 0.04, marks=pytest.mark.slow),
    ],
)
def test_the_frontier_has_the_exponent_of_its_phase(alpha, beta, widths, bound):
    """Where two terms cross slowly (IVa) corrections are still of 0.03 at these computes."""
    eta, _ = frontier_exponents(alpha, beta, widths)
    assert -eta == pytest.approx(phase(alpha, beta).loss_exponent, abs=bound)


@pytest.mark.parametrize(
    ("alpha", "beta", "widths"),
    [
        (0.75, 0.25, (30, 3000)),
        pytest.param(1.25, 0.75, (20, 3000), marks=pytest.mark.slow),
        pytest.param(1.0, 2.0, (50, 20_000), marks=pytest.mark.slow),
    ],
)
def test_its_width_has_the_exponent_of_its_phase(alpha, beta, widths):
    _, xi = frontier_exponents(alpha, beta, widths)
    assert xi == pytest.approx(phase(alpha, beta).width_exponent, abs=0.04)


@pytest.mark.slow
def test_the_width_of_phase_iva_comes_to_its_exponent_at_large_computes():
    """Its two terms cross so slowly that the local exponent falls from 0.62 at computes of 1e7."""
    found = []
    for start in (1e6, 1e9, 1e12):
        centre = math.sqrt(start * 10)
        one = frontier(
            lambda n: PowerLaw(0.8, 2.0, int(10 * n), 300),
            np.geomspace(centre / 8, centre * 90, 24),
            np.geomspace(start, start * 100, 5),
        )
        widths = local_exponents(one.compute, one.width)
        found.append((float(widths.values[0]), float(widths.errors[0])))
    (low, _), (between, _), (high, error) = found
    assert low > between > high
    assert low == pytest.approx(0.62, abs=0.02)
    assert abs(high - phase(0.4, 1.0).width_exponent) < 0.01 + 2 * error


def frontier_exponents(alpha, beta, widths):
    """Mean local exponents of loss and width over computes from 1e5 to 1e7."""
    found = frontier(
        lambda n: PowerLaw(2 * alpha, 2 * beta, 10**6 if alpha > 0.5 else int(10 * n), 300),
        np.geomspace(*widths, 7 if alpha == 0.75 else 16),
        np.geomspace(1e5, 1e7, 7),
    )
    eta = local_exponents(found.compute, found.loss)
    xi = local_exponents(found.compute, found.width)
    return eta.values.mean(), xi.values.mean()


def test_a_frontier_beyond_the_widths_is_refused():
    with pytest.raises(ValueError, match=r"^widths: expected some on both sides"):
        frontier(
            lambda n: PowerLaw(1.5, 0.5, 10**4, 100),
            np.array([10.0, 12.0, 14.0]),
            np.array([1e6]),
            None,
        )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("exponent", (0.0, 1.0, 10)),
        ("target_exponent", (1.0, math.nan, 10)),
        ("dimension", (1.0, 1.0, 0)),
        ("bins", (1.0, 1.0, 10, 3)),
    ],
)
def test_bad_power_laws_are_named(name, arguments):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        PowerLaw(*arguments)
