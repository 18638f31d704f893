"""The flow against another scheme, another solution, and its own errors."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from spectrain.theory.spiked.covariance import Covariance
from spectrain.theory.spiked.descent import thinned
from spectrain.theory.spiked.descent_law import DescentLaw
from spectrain.theory.spiked.flow import flow_trajectory
from spectrain.theory.spiked.lines import threshold
from spectrain.theory.spiked.signal_minimum import signal_minimum
from spectrain.theory.spiked.thinned_memory import ThinnedMemory

MIXED, PURE = Covariance(0.9, 4.0), Covariance(None, 2 / 3)


def told(path):
    return np.stack([path.overlap, path.multiplier, path.energy, path.correlation], axis=-1)


@pytest.fixture
def heun(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts"))
    from benchmarks.heun import heun

    yield heun
    sys.modules.pop("benchmarks.heun")


@pytest.mark.parametrize(
    ("covariance", "overlap", "temperature"),
    [
        (Covariance(0.5, 1.0), 0.2, 0.0),
        (PURE, 0.0, 0.0),
        (Covariance(0.7, 2.0, 4), 0.3, 0.4),
    ],
)
def test_heuns_scheme_agrees(covariance, overlap, temperature, heun):
    """To 1e-6, with the scheme's errors in h^2, h^3, h^4 extrapolated away."""
    path = flow_trajectory(covariance, overlap, [3.0], temperature)
    table = []
    for steps in (60, 120, 240, 480):
        end = heun(covariance, overlap, 3.0, steps, temperature)
        table.append(np.array([end.overlap, end.multiplier, end.energy, end.correlation]))
    for power in (4, 8, 16):
        pairs = itertools.pairwise(table)
        table = [(power * fine - coarse) / (power - 1) for coarse, fine in pairs]
    np.testing.assert_allclose(told(path)[0], table[0], rtol=0, atol=1e-6)


def test_of_a_matrix_alone_the_flow_is_an_exponential(spiked_matrix):
    exact, times = spiked_matrix(0.5, 0.2), [0.0, 0.5, 2.0, 10.0]
    path = flow_trajectory(Covariance(0.5, None), 0.2, times)
    expected = [exact.numbers(exact.flowed(time)) for time in times]
    np.testing.assert_allclose(told(path), expected, rtol=0, atol=1e-8)
    assert (np.abs(told(path) - expected).max(1) <= path.error + 1e-9).all()


def test_the_flow_is_the_limit_of_descent():
    """First order in the step: a tenth of the step, a tenth of the distance."""
    path = flow_trajectory(Covariance(0.3, 1.0), 0.2, [1.0])
    gaps = []
    for steps in (50, 500):
        law = DescentLaw(Covariance(0.3, 1.0), 0.2)
        for _ in range(steps):
            law.step(1.0 / steps)
        gaps.append(law.multiplier - path.multiplier[0])
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.1)


def test_outliers_of_the_flow_are_extrapolated_with_it():
    path = flow_trajectory(Covariance(0.3, 1.0), 0.2, [0.0, 0.3, 4.0])
    assert [len(found) for found in path.outliers] == [1, 1, 0]
    law = DescentLaw(Covariance(0.3, 1.0), 0.2)
    from spectrain.theory.spiked.outliers import trajectory_outliers

    for _ in range(300):
        law.step(0.001)
    (fine,), extrapolated = trajectory_outliers(law), path.outliers[1][0]
    assert extrapolated.value == pytest.approx(fine.value, abs=5e-3)
    assert extrapolated.error < 1e-6


@pytest.mark.parametrize("temperature", [0.0, 0.3])
@pytest.mark.parametrize(("covariance", "overlap"), [(MIXED, 1e-3), (PURE, 0.0)])
def test_a_thinned_memory_errs_in_more_than_second_order(
    covariance, overlap, temperature, law_numbers
):
    """A quarter of eps leaves less than a 20th of the largest error; second order were a 16th.

    Fourth order is a 256th, but errors of both signs meet, and spacings go in powers of two.
    """
    laws = [DescentLaw(covariance, overlap, temperature)]
    for precision in (0.4, 0.2, 0.1):
        memory = thinned(covariance, precision)
        laws.append(DescentLaw(covariance, overlap, temperature, memory))
    worst = np.zeros(3)
    for step in range(500):
        for law in laws:
            law.step(0.2)
        if step > 100:
            exact, *others = map(law_numbers, laws)
            worst = np.maximum(worst, [np.abs(other - exact).max() for other in others])
    assert worst[0] < 3e-4
    assert worst[2] < 3e-6
    assert worst[0] > 20 * worst[2]
    assert (np.diff(worst) < 0).all()


def test_a_thinned_memory_knows_steps_of_different_size(law_numbers):
    """What it fits is smooth in time only per unit of time, not per step."""
    exact = DescentLaw(MIXED, 0.1)
    thin = DescentLaw(MIXED, 0.1, memory=thinned(MIXED, 0.1))
    for rate in np.repeat([0.1, 0.3, 0.15, 0.3], 150):
        exact.step(rate)
        thin.step(rate)
    np.testing.assert_allclose(law_numbers(thin), law_numbers(exact), rtol=0, atol=2e-6)


def test_a_thinned_memory_that_keeps_all_is_exact(law_numbers):
    exact, kept = DescentLaw(MIXED, 0.1), DescentLaw(MIXED, 0.1, memory=ThinnedMemory(1e-6, 1.0))
    for _ in range(300):
        exact.step(0.1)
        kept.step(0.1)
    np.testing.assert_allclose(law_numbers(kept), law_numbers(exact), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("covariance", "overlap", "temperature"),
    [(MIXED, 0.01, 0.0), (PURE, 0.0, 0.0), (PURE, 0.0, 0.5), (Covariance(0.3, 1.0), 0.2, 0.1)],
)
def test_long_times_are_within_their_error_of_short_ones(covariance, overlap, temperature):
    """The same times by steps with all of the past, and by others with a thinned one."""
    from spectrain.theory.spiked import flow

    start = (covariance, overlap, temperature)
    rate = 4 * covariance.sigma + temperature
    exact = flow._remembered(start, rate, [10.0, 20.0], (1, 2, 3, 4))
    thin = flow._thin(start, rate, [10.0, 20.0])
    gap = np.abs(told(exact) - told(thin)).max(1)
    assert (gap <= exact.error + thin.error).all()
    assert (thin.error < 5e-3).all()


@pytest.mark.slow
def test_langevin_dynamics_at_high_temperature_forgets_and_equilibrates():
    """Above its dynamic transition C(t, 0) -> 0, and e = -Q(1)/T, that of independent states.

    Of a pure tensor, p = 3 and Delta_p = 2/3, the transition is at T = .75: with the variance
    Q(1) = 1/2 of the energy, the entropy of Gaussian levels gives e = -Q(1)/T.
    """
    temperature = 1.0
    path = flow_trajectory(PURE, 0.0, [100.0], temperature)
    assert abs(path.correlation[0]) < 1e-3
    gap = abs(path.energy[0] + PURE.value(1.0) / temperature)
    assert gap < path.error[0] < 1e-4


@pytest.mark.slow
def test_without_signal_the_multiplier_falls_to_the_threshold_as_time_to_two_thirds():
    """(mu - 2 sigma) t^(2/3) levels off; the energy of a pure tensor goes to the threshold's."""
    times = [250.0, 500.0, 1000.0]
    path = flow_trajectory(PURE, 0.0, times)
    gap = path.multiplier - threshold(PURE).multiplier
    amplitude = gap * np.array(times) ** (2 / 3)
    assert (gap < 0).all()
    assert (path.error < 2e-3).all()
    np.testing.assert_allclose(amplitude, amplitude[-1], rtol=0.02)
    np.testing.assert_allclose(path.energy - threshold(PURE).energy, -gap / 3, rtol=1e-6)


@pytest.mark.slow
def test_with_a_matrix_the_energy_stays_above_the_threshold_of_one_step():
    """Extrapolated in t^(-2/3) it ends some 5e-4 above at Delta_2 = .9, Delta_p = 4: a caveat."""
    times = np.array([200.0, 400.0, 800.0])
    path = flow_trajectory(MIXED, 0.0, times)
    limit = np.polyfit(times ** (-2 / 3), path.energy, 1)[1]
    excess = limit - threshold(MIXED).energy
    assert 2e-4 < excess < 1e-3


def test_a_late_flow_that_finds_the_signal_is_at_its_minimum():
    covariance = Covariance(0.3, 1.0)
    path = flow_trajectory(covariance, 0.2, [60.0])
    minimum = signal_minimum(covariance)
    assert path.overlap[0] == pytest.approx(minimum.overlap, abs=1e-6)
    assert path.multiplier[0] == pytest.approx(minimum.multiplier, abs=1e-6)
    assert path.energy[0] == pytest.approx(minimum.energy, abs=1e-6)


def test_times_that_need_both_ways_come_in_order():
    path = flow_trajectory(MIXED, 0.01, [0.0, 1.0, 70.0])
    assert path.times.tolist() == [0, 1, 70]
    assert len(path.outliers) == 3
    assert (np.diff(path.energy) < 0).all()
    assert path.correlation[0] == pytest.approx(1, abs=1e-12)


def test_langevin_dynamics_has_no_outliers_told_and_loses_its_start():
    path = flow_trajectory(Covariance(0.7, 1.0), 0.1, [0.5, 2.0, 5.0], 0.5)
    assert path.outliers is None
    assert (np.diff(path.correlation) < 0).all()
    assert (path.error < 1e-5).all()


@pytest.mark.parametrize(
    ("times", "temperature", "message"),
    [
        ([], 0.0, "times: expected strictly increasing numbers from 0 on"),
        ([1.0, 1.0], 0.0, "times: expected strictly increasing numbers"),
        ([-1.0], 0.0, "times: expected strictly increasing numbers"),
        ([float("nan")], 0.0, "times: expected strictly increasing numbers"),
        ([1e9], 0.0, "times: expected at most .*, which takes 10,000,000 steps, got 1e"),
        ([1e6], 0.5, "times: expected at most .*, which takes 10,000,000 steps, got 1e"),
    ],
)
def test_bad_input_is_named(times, temperature, message):
    with pytest.raises(ValueError, match=message):
        flow_trajectory(MIXED, 0.1, times, temperature)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0), r"precision: expected a number above 0 and up to 1, got 0\.0"),
        ((0.1, 0.0), r"start: expected a positive time, got 0\.0"),
    ],
)
def test_a_memory_without_precision_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ThinnedMemory(*arguments)
