"""The Hessian's law: Marchenko and Pastur, spikes, and empirical spectra."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from spectrain.theory.linear.hessian import HessianLaw
from spectrain.theory.linear.problem import LinearProblem


@pytest.mark.parametrize("ratio", [0.25, 0.8, 4.0])
def test_isotropic_data_have_the_law_of_marchenko_and_pastur(ratio):
    d = 400.0
    law = HessianLaw(LinearProblem([2.0], [1.0], [d], samples=d / ratio)).spectrum("v", 60)
    low, high = 2 * (1 - ratio**0.5) ** 2, 2 * (1 + ratio**0.5) ** 2
    assert law.bulk.lower.value == pytest.approx(low, rel=1e-9)
    assert law.bulk.upper.value == pytest.approx(high, rel=1e-12)
    assert law.bulk.atom == pytest.approx(max(0, 1 - 1 / ratio))
    x = law.density.points
    exact = np.sqrt((x - low) * (high - x)) / (2 * math.pi * ratio * 2 * x)
    np.testing.assert_allclose(law.density.values, exact, rtol=1e-9)
    for place in (5, 30, 50):
        above = quad(
            lambda x: math.sqrt((x - low) * (high - x)) / (4 * math.pi * ratio * x), x[place], high
        )[0]
        assert 1 - law.density.cumulative[place] == pytest.approx(above, rel=1e-6)


def test_as_many_samples_as_parameters_have_a_hard_edge():
    bulk = HessianLaw(LinearProblem([1.0], [1.0], [100.0], samples=100.0)).bulk()
    assert bulk.lower.kind == "hard"
    assert bulk.lower.value == 0
    assert bulk.upper.value == pytest.approx(4)
    assert bulk.atom == 0


def test_a_spike_of_a_sample_covariance_is_known():
    """s (1 + c / (s - 1)) with overlap (1 - c/(s-1)^2) / (1 + c/(s-1)), c = D/P; below, none."""
    problem = LinearProblem([1.0], [1.0], [200.0], samples=800.0)
    law = HessianLaw(problem, [1.4, 6.0, 3.0]).spectrum("v")
    assert len(law.top) == 2
    for found, s in zip(law.top, (6.0, 3.0), strict=True):
        assert found.value == pytest.approx(s * (1 + 0.25 / (s - 1)), rel=1e-12)
        overlap = (1 - 0.25 / (s - 1) ** 2) / (1 + 0.25 / (s - 1))
        assert found.overlap == pytest.approx(overlap, rel=1e-12)
        spread = s * math.sqrt(2 * (1 - 0.25 / (s - 1) ** 2) / 800)
        assert found.sampling_error == pytest.approx(spread, rel=1e-12)
    assert law.size == 203


def test_overlaps_at_the_sizes_of_the_derivation():
    """Group spectrum, s = 30 without features and s = 60 with them."""
    groups = LinearProblem([10.0, 1.0], [1.0, 1.0], [300, 300], samples=1200.0)
    (found,) = HessianLaw(groups, [60.0]).outliers()
    dlam = 1 - (300 * 100 / 50**2 + 300 / 59**2) / 1200
    x = 60 * (1 + (300 * 10 / 50 + 300 / 59) / 1200)
    assert found.value == pytest.approx(x, rel=1e-12)
    assert found.overlap == pytest.approx(60 / x * dlam, rel=1e-12)


def test_gaps_are_between_the_groups_that_the_samples_tell_apart():
    def bands(samples, features=math.inf):
        problem = LinearProblem([1.0, 10.0], [1, 1], [300, 300], samples=samples, features=features)
        return HessianLaw(problem).bulk().bands

    assert len(bands(300.0)) == 1
    assert len(bands(6000.0)) == 2
    assert len(bands(6000.0, 400.0)) == 1
    assert len(bands(6000.0, 8000.0)) == 2
    inner = bands(1e7)
    for (low, high), s in zip(inner, (1.0, 10.0), strict=True):
        assert low.value < s < high.value
        assert high.value - low.value < 0.1 * s


@pytest.mark.parametrize(
    ("samples", "features"),
    [(300, math.inf), (700, math.inf), (300, 500), (600, 200), (math.inf, 200)],
)
def test_empirical_spectra_follow_the_law(samples, features):
    """Counts of linear statistics fluctuate by less than one eigenvalue; spikes by their error."""
    rng = np.random.default_rng(0)
    s = np.append(np.arange(1, 401.0) ** -0.6, 8.0)
    problem = LinearProblem(s[:-1], np.ones(400), samples=samples, features=features)
    found = HessianLaw(problem, [8.0]).spectrum("v", 40)
    draws = []
    for _ in range(6):
        x = np.diag(np.sqrt(s))
        if math.isfinite(samples):
            x = rng.standard_normal((samples, 401)) * np.sqrt(s / samples)
        if math.isfinite(features):
            x = x @ rng.standard_normal((401, features)) / features**0.5
        draws.append(np.linalg.eigvalsh(x.T @ x))
    draws = np.array(draws)
    share = np.array([(draws < x).mean() for x in found.density.points])
    # Five deviations of a count that log(n) bounds, over six draws.
    bound = 5 * math.sqrt(math.log(found.size) / 2) / found.size / math.sqrt(6)
    assert np.abs(share - found.density.cumulative).max() < bound
    tops = draws[:, -1]
    (outlier,) = found.top
    assert abs(tops.mean() - outlier.value) < 5 * outlier.sampling_error / math.sqrt(6)
    edge = found.bulk.upper
    assert (draws[:, -2] < edge.detection).mean() > 0.8
    assert abs(draws[:, -2].mean() - edge.finite_size) < 4 * abs(edge.value - edge.finite_size)
    positive = np.where(draws > 1e-12, draws, math.inf)
    zeros = (draws <= 1e-12).mean()
    assert zeros == pytest.approx(found.bulk.atom, abs=1e-12)
    assert (positive.min(1) > 0.5 * found.bulk.lower.value).all()


@pytest.mark.parametrize("spike", [0.0, -1.0, math.nan])
def test_bad_spikes_are_named(spike):
    with pytest.raises(ValueError, match="spikes: expected positive numbers"):
        HessianLaw(LinearProblem([1.0], [1.0], samples=3.0), [spike])


def test_a_hessian_without_chance_has_no_law():
    with pytest.raises(ValueError, match="samples, features"):
        HessianLaw(LinearProblem([1.0], [1.0]))
