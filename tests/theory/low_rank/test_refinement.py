"""Final error and thresholds: closed forms, limits, and descents."""

import numpy as np
import pytest
from scipy.integrate import quad

from spectrain.models.low_rank.standing import standing
from spectrain.theory.low_rank.conditional import conditional_amplitudes, conditional_rates
from spectrain.theory.low_rank.problem import LowRankProblem
from spectrain.theory.low_rank.refinement import (
    final_error,
    grown_noise,
    recovery_threshold,
    semicircle_quantiles,
)
from spectrain.theory.low_rank.stages import Start, learning_stages
from spectrain.theory.low_rank.thresholds import thresholds, trace_minimisation


def test_quantiles_of_the_semicircle():
    for x, share in zip(semicircle_quantiles(7), (np.arange(7) + 0.5) / 7, strict=True):
        found = quad(lambda y: np.sqrt(max(4 - y * y, 0)) / (2 * np.pi), -2, x)[0]
        assert found == pytest.approx(share, abs=1e-7)


def test_thresholds_of_the_table():
    """Numbers of docs/low-rank.md: 148.21 at n = 40, r = 2; 124.5 at n = 20, r = 2."""
    assert trace_minimisation(40, 2) == pytest.approx(148.21, abs=0.005)
    assert thresholds(LowRankProblem(20, (1.0, 1.0), 9)).unique == 124.5
    found = thresholds(LowRankProblem(40, (1.0, 1.0), 9))
    assert found.degrees_of_freedom == 79
    assert found.bbp == pytest.approx((40, 40))  # n r / 2 for equal ones
    unequal = thresholds(LowRankProblem(40, (1.0, 0.5), 9))
    assert unequal.bbp == pytest.approx((25, 100))


def test_the_threshold_of_an_outlier_is_where_it_leaves_the_bulk():
    for operator in ("gaussian", "structured"):
        problem = LowRankProblem(200, (1.0, 0.4), 10, operator)
        for lam, needed in zip(problem.eigenvalues, thresholds(problem).bbp, strict=True):
            at = LowRankProblem(200, (1.0, 0.4), round(needed), operator)
            assert at.noise(at.norm**2, 200) == pytest.approx(lam, rel=0.01)


def test_no_floor_without_further_columns():
    assert final_error(LowRankProblem(50, (1.0, 1.0), 500), Start(2, 1e-3, 0.1)) == 0
    assert np.isnan(final_error(LowRankProblem(50, (1.0, 1.0), 90), Start(50, 1e-3, 0.1)))


def test_the_exponent_of_many_measurements_is_2():
    problem = LowRankProblem(50, (1.0, 1.0), 10**9)
    errors = [final_error(problem, Start(50, alpha, 0.1)) for alpha in (1e-3, 1e-4)]
    assert np.log10(errors[0] / errors[1]) == pytest.approx(2, abs=0.01)


def test_the_start_has_the_error_of_its_noise():
    """At t = 0 the mean square of |B B^T|, B (n - r, q - r) of variance alpha^2 / q."""
    problem, start = LowRankProblem(30, (1.0, 1.0), 300), Start(12, 1e-3, 0.1)
    told = grown_noise(problem, start, learning_stages(problem, start), np.zeros(1))[0]
    source = np.random.default_rng(0)
    squares = []
    for _ in range(400):
        b = source.standard_normal((28, 10)) * 1e-3 / 12**0.5
        squares.append(np.square(b @ b.T).sum())
    assert told == pytest.approx(np.mean(squares) ** 0.5, rel=0.03)


@pytest.mark.parametrize("ratio", [10, pytest.param(5, marks=pytest.mark.slow)])
def test_the_noise_that_descents_leave(case, ratio):
    """lam = (1, 1), n = 50, alpha 1e-3: closed within 30 %, of a drawn operator within 40 %."""
    told, measured = [], []
    for seed in range(3):
        drawn = case(50, (1.0, 1.0), 50, ratio, 1e-3, seed)
        rates = conditional_rates(drawn.measurements, drawn.truth)
        amplitudes = conditional_amplitudes(drawn.measurements, drawn.outcomes, drawn.u, 2)
        stages = learning_stages(drawn.problem, drawn.start, rates, amplitudes)
        told.append(final_error(drawn.problem, drawn.start, stages))
        noise = float(standing(drawn.run(round(2 * stages.times[-1])), drawn.truth).noise)
        kept = drawn.problem.kept(2)
        measured.append(noise / (drawn.problem.norm * kept**0.5))
    # One operator's T_r moves the error by the power of its growth: seeds differ by up to 2.
    closed = final_error(drawn.problem, drawn.start)
    assert closed == pytest.approx(np.exp(np.mean(np.log(measured))), rel=0.3)
    assert np.exp(np.mean(np.log(np.array(told) / measured))) == pytest.approx(1, abs=0.4)


@pytest.mark.slow
def test_the_errors_of_descents_are_where_they_rest():
    """n = 50, m/nr = 10, alpha 1e-3 to 1e-5: within three standard errors of 3 seeds, and 7 %.

    From operator to operator the error varies by a factor of some e^(1/2).
    """
    from spectrain.training.systems.low_rank_sweeps import Patience, final_errors

    problem, scales = LowRankProblem(50, (1.0, 1.0), 1000), (1e-3, 1e-4, 1e-5)
    found = final_errors(problem, 50, scales, 0.1, range(3), Patience(1000))
    told = [final_error(problem, Start(50, alpha, 0.1)) for alpha in scales]
    logs = np.log(found) - np.log(told)
    assert (np.abs(logs.mean(0)) < 3 * logs.std(0, ddof=1) / 3**0.5 + 0.07).all()
    assert (np.abs(logs.mean(0)) < 0.5).all()


def test_the_threshold_falls_with_the_scale_to_the_degrees_of_freedom():
    problem = LowRankProblem(40, (1.0, 1.0), 80)
    found = [recovery_threshold(problem, Start(40, a, 0.1), 0.01) for a in (1e-2, 1e-5, 1e-14)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(79, rel=0.02)
    at = LowRankProblem(40, (1.0, 1.0), round(found[1]))
    assert final_error(at, Start(40, 1e-5, 0.1)) == pytest.approx(0.01, rel=0.1)
    assert recovery_threshold(problem, Start(40, 1.0, 0.1), 1e-9) == np.inf
