"""The Hessian at saddles and at the minimum against dense ones."""

import numpy as np
import pytest
import torch

from spectrain.theory.low_rank.conditional import regressed
from spectrain.theory.low_rank.hessian import minimum_edges, saddle, tangent_spectrum
from spectrain.theory.low_rank.hessian_spectrum import hessian_spectrum
from spectrain.theory.low_rank.problem import LowRankProblem

LAM = (1.0, 0.6, 0.35)


def dense_hessian(local):
    n, q = local.point.shape
    panel = torch.eye(n * q, dtype=torch.float64).view(n * q, n, q)
    return local.hessian_product(panel).reshape(n * q, n * q)


def at_saddle(drawn, learned):
    """Eigenvalues of the Hessian at the saddle with so many directions learned, increasing."""
    from spectrain.models.low_rank.factorisation import local_loss

    # Z_j plus the tangent part that the measurements ask for, cut to its rank.
    z = drawn.truth.matrix - regressed(drawn.measurements, drawn.truth, learned)
    values, vectors = torch.linalg.eigh(z)
    point = torch.zeros_like(drawn.u)
    top = slice(len(z) - learned, None)
    point[:, :learned] = vectors[:, top] * values[top].clamp(min=0).sqrt()
    for _ in range(3000 if learned else 0):  # descends among matrices of this rank
        local = local_loss(drawn.measurements, drawn.outcomes, point)
        point = point - 0.2 * local.gradient
        if float(local.gradient.norm()) < 1e-9:
            break
    local = local_loss(drawn.measurements, drawn.outcomes, point)
    assert float(local.gradient.norm()) < 1e-6
    return torch.linalg.eigvalsh(dense_hessian(local)).numpy()


@pytest.mark.parametrize("ratio", [8, pytest.param(4, marks=pytest.mark.slow)])
def test_saddles_have_the_predicted_negative_outliers(case, ratio):
    """Counted where kappa lam_k stands clear of sigma; h_min within three standard errors.

    <p, A*A(R) p> varies by kappa lam (2 / (m - d_j))^(1/2) from operator to operator.
    """
    lowest = {j: [] for j in range(3)}
    for seed in range(3):
        drawn = case(30, (1.0, 0.7, 0.5), 5, ratio, 1e-3, seed)
        for j in range(3):
            values = at_saddle(drawn, j)
            told = saddle(drawn.problem, 5, j)
            cut = told.bulk[0] * (1 + 30 ** (-2 / 3))
            if ratio == 8 or j > 0:  # at m/nr = 4 the last one is near its transition
                assert (values < cut).sum() == (3 - j) * (5 - j)
            assert sum(each.multiplicity for each in told.negative_outliers) == (3 - j) * (5 - j)
            zeros = (np.abs(values) < 1e-6).sum()
            assert zeros == round(told.atom * 150)
            lowest[j].append(values[0])
    for j, found in lowest.items():
        told = saddle(drawn.problem, 5, j).negative_outliers[0]
        kept = drawn.problem.kept(j)
        deviation = kept * (1.0, 0.7, 0.5)[j] * (2 / (kept * drawn.problem.measurements)) ** 0.5
        assert np.mean(found) == pytest.approx(told.value, abs=3 * deviation / 3**0.5)
        assert told.multiplicity == 5 - j


def test_a_direction_below_its_transition_is_no_outlier_until_it_is_the_last():
    problem = LowRankProblem(30, (1.0, 0.1), 120)
    assert [len(saddle(problem, 4, j).negative_outliers) for j in range(3)] == [1, 1, 0]
    with_all = saddle(problem, 2, 2)
    assert with_all.bulk == (0.0, 0.0)
    assert with_all.atom == pytest.approx(1 / 60)


def test_the_hessian_at_the_minimum(case):
    """d_r nonzero eigenvalues; both ends within 3 standard deviations of the Wishart law."""
    drawn = case(30, LAM, 3, 6, 1e-3, 0)
    values = at_saddle(drawn, 3)
    free = drawn.problem.degrees_of_freedom(3)
    assert (np.abs(values) > 1e-6).sum() == free
    t, m = tangent_spectrum(drawn.problem), drawn.problem.measurements
    assert len(t) == free
    source = np.random.default_rng(0)
    ends = []
    for _ in range(60):
        rows = source.standard_normal((m, free)) * np.sqrt(t)
        found = np.linalg.eigvalsh(rows.T @ rows / m)
        ends.append((found[0], found[-1]))
    mean, deviation = np.mean(ends, 0), np.std(ends, 0)
    assert np.abs([values[-free], values[-1]] - mean < 3 * deviation).all()
    lower, upper = minimum_edges(drawn.problem)
    # The edge is a limit from below of the mean; h_max is of first order in 1/m.
    assert lower < mean[0] < 1.2 * lower
    assert upper == pytest.approx(mean[1], rel=0.03)


def test_one_direction_of_one_strength_has_the_law_of_marchenko_and_pastur():
    """All t = lam but one: the lower edge is lam (1 - (d/m)^(1/2))^2 up to that one."""
    problem = LowRankProblem(400, (1.0,), 1600)
    assert minimum_edges(problem)[0] == pytest.approx((1 - 0.5) ** 2, rel=2e-3)
    assert minimum_edges(problem)[1] == pytest.approx(2 * (1 + 399 / 1600))
    assert minimum_edges(LowRankProblem(30, (1.0, 1.0), 40))[0] == 0


def test_the_spectrum_between_saddles(case):
    """As the strengths pass lam/2 outliers leave by q - j at a time; then the minimum's edges."""
    problem = LowRankProblem(30, LAM, 720)
    counts = []
    for share in ((0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)):
        strengths = problem.strengths * share
        spectrum = hessian_spectrum(problem, 5, strengths, 0.0, "factors")
        counts.append(len(spectrum.bottom))
        values = [pair.value for pair in spectrum.bottom]
        assert values == sorted(values)
        told = saddle(problem, 5, sum(share)).negative_outliers
        assert sorted(set(values)) == pytest.approx([each.value for each in told])
    assert counts == [15, 8, 3, 0]
    bulk = spectrum.bulk
    assert (bulk.lower.value, bulk.upper.value) == minimum_edges(problem)
    assert bulk.atom == pytest.approx(1 - problem.degrees_of_freedom(3) / 150)
