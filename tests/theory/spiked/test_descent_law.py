"""The law of discrete descent against a full recursion and the exact solution of the matrix."""

import numpy as np
import pytest

from spectrain.theory.spiked.covariance import Covariance
from spectrain.theory.spiked.descent import descent_trajectory
from spectrain.theory.spiked.descent_law import DescentLaw
from spectrain.theory.spiked.signal_minimum import signal_minimum

CASES = {
    "finds the signal": (Covariance(0.3, 1.0), 0.2, 0.1, 0.0),
    "ages": (Covariance(None, 2 / 3), 0.0, 0.2, 0.0),
    "a large step, alternating": (Covariance(0.9, 4.0), 1e-3, 0.39, 0.0),
    "Langevin, order 4": (Covariance(0.7, 1.0, 4), 0.1, 0.1, 0.3),
    "against the signal": (Covariance(0.3, 1.0), -0.4, 0.1, 0.0),
}


@pytest.mark.parametrize("name", CASES)
def test_factored_blocks_of_the_past_lose_nothing(name, recursion, law_numbers):
    """300 steps are three blocks of the memory: rounding alone, 1e-11 of numbers of order 1."""
    covariance, overlap, rate, temperature = CASES[name]
    steps = 300
    law, told = DescentLaw(covariance, overlap, temperature), []
    for _ in range(steps):
        told.append(law_numbers(law))
        law.step(rate)
    told.append(law_numbers(law))
    expected = recursion(covariance, overlap, np.full(steps, rate), temperature)
    np.testing.assert_allclose(told, expected, rtol=0, atol=1e-11)


def test_steps_may_differ(recursion, law_numbers):
    covariance, rates = Covariance(0.5, 1.5), 0.05 * (1 + np.arange(40) % 3)
    law = DescentLaw(covariance, 0.1)
    for rate in rates:
        law.step(rate)
    np.testing.assert_allclose(law_numbers(law), recursion(covariance, 0.1, rates)[-1], atol=1e-13)
    assert law.time == pytest.approx(rates.sum())


@pytest.mark.parametrize(("noise", "overlap", "rate"), [(0.5, 0.2, 0.1), (2.0, 0.4, 0.3)])
def test_of_a_matrix_alone_descent_is_solved_by_its_spectrum(
    noise, overlap, rate, spiked_matrix, law_numbers
):
    exact = spiked_matrix(noise, overlap)
    law, x = DescentLaw(Covariance(noise, None), overlap), exact.start
    for _ in range(200):
        np.testing.assert_allclose(law_numbers(law), exact.numbers(x), rtol=0, atol=1e-9)
        law.step(rate)
        x = exact.stepped(x, rate)


def test_first_step_in_closed_form():
    """m_1 = (m + eta Q'(m) (1 - m^2)) / n,  n^2 = 1 + eta^2 (Q'(1) + Q'(m)^2 (1 - m^2))."""
    q, m, rate = Covariance(0.6, 0.8), 0.3, 0.2
    law = DescentLaw(q, m)
    assert law.multiplier == pytest.approx(q.slope(m) * m)
    assert law.energy == pytest.approx(-q.value(m))
    square = q.slope(1.0) + q.slope(m) ** 2 * (1 - m**2)
    assert law.gradient_square == pytest.approx(square)
    law.step(rate)
    n = (1 + rate**2 * square) ** 0.5
    assert law.overlap == pytest.approx((m + rate * q.slope(m) * (1 - m**2)) / n)
    assert law.start_correlation == pytest.approx(1 / n)
    # e_1 = -Q(m_1) - R Q'(C) with the response eta / n of one step.
    assert law.energy == pytest.approx(-q.value(law.overlap) - rate / n * q.slope(1 / n))


def test_energy_of_a_tensor_alone_is_minus_the_multiplier_by_p():
    for order in (3, 5):
        law = DescentLaw(Covariance(None, 0.4, order), 0.2)
        for _ in range(30):
            law.step(0.02)
            assert law.energy == pytest.approx(-law.multiplier / order, rel=1e-12)


def test_late_descent_is_the_fixed_point_of_message_passing():
    """To 4e-8: three ways to the minimum, with the complexity in another test."""
    covariance = Covariance(0.3, 1.0)
    minimum = signal_minimum(covariance)
    path = descent_trajectory(covariance, 0.2, 0.1, [400])
    assert path.overlap[0] == pytest.approx(minimum.overlap, abs=4e-8)
    assert path.multiplier[0] == pytest.approx(minimum.multiplier, abs=4e-8)
    assert path.energy[0] == pytest.approx(minimum.energy, abs=4e-8)


def test_readings_at_some_steps_are_those_of_all():
    covariance = Covariance(0.3, 1.0)
    path = descent_trajectory(covariance, 0.2, 0.1, [0, 3, 8])
    law = DescentLaw(covariance, 0.2)
    for _ in range(8):
        law.step(0.1)
    assert path.times.tolist() == pytest.approx([0, 0.3, 0.8])
    assert path.overlap[0] == 0.2
    assert path.correlation[0] == 1
    assert path.multiplier[-1] == law.multiplier
    assert (path.error == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"initial_overlap": 1.5}, r"initial_overlap: expected a number from -1 to 1, got 1\.5"),
        ({"learning_rate": 0.0}, "learning_rate: expected a positive number"),
        ({"steps": []}, "times: expected steps, strictly increasing integers from 0 on"),
        ({"steps": [3, 2]}, "times: expected steps, strictly increasing integers"),
        ({"steps": [1.5]}, "steps: expected a list of whole numbers"),
        ({"steps": [-1, 2]}, "times: expected steps, strictly increasing integers"),
        ({"steps": [10**9]}, "times: expected at most 10,000,000 steps, got 1,000,000,000"),
        ({"steps": [5000], "learning_rate": 0.9}, "learning_rate: expected less than"),
    ],
)
def test_bad_input_is_named(change, message):
    good = {"initial_overlap": 0.1, "learning_rate": 0.1, "steps": [1]}
    with pytest.raises(ValueError, match=message):
        descent_trajectory(Covariance(0.5, 1.0), **{**good, **change})


def test_a_negative_temperature_is_named():
    with pytest.raises(ValueError, match="temperature: expected a number of at least 0"):
        DescentLaw(Covariance(0.5, 1.0), 0.1, temperature=-0.1)


def test_a_step_beyond_all_numbers_is_told():
    with pytest.raises(
        ArithmeticError, match="descent: expected finite numbers, got none at t = 0"
    ):
        DescentLaw(Covariance(0.5, 1.0), 0.1).step(1e200)
