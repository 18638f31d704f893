import numpy as np
import pytest
import torch

from spectrain.probes.krylov.block_lanczos import block_lanczos
from spectrain.probes.krylov.column_rules import column_rules
from spectrain.probes.krylov.forming import whole_space
from spectrain.probes.krylov.frames import random_frame
from spectrain.probes.krylov.lanczos_quadrature import krylov_quadrature
from spectrain.probes.krylov.law_jacobi import law_jacobi
from spectrain.theory.recurrence import PointMasses, recurrence


def coefficients(values, count):
    """Of the law in which every eigenvalue has the same mass."""
    values = np.asarray(values, dtype=float)
    return recurrence(PointMasses(values, np.full(len(values), 1 / len(values))), count)


def space(operator, steps, width, generator):
    return block_lanczos(operator, random_frame(operator, width, generator), steps, generator)


def test_in_a_complete_space_they_are_exact(with_spectrum, generator):
    values = torch.linspace(-1, 2, 60).double() ** 3
    (found,) = law_jacobi(whole_space(with_spectrum(values)), 12)
    alpha, beta = coefficients(values, 12)
    np.testing.assert_allclose(found.diagonal, alpha, atol=1e-6)
    np.testing.assert_allclose(found.off_diagonal, beta, atol=1e-6)
    assert not found.diagonal_errors.any()
    assert not found.off_diagonal_errors.any()


@pytest.mark.slow
def test_standard_errors_cover_as_they_claim(with_spectrum, generator):
    """Of 20 matrices and 16 starts, each coefficient: squared deviations over errors average 1."""
    values = torch.cat([torch.linspace(0, 1, 796), torch.tensor([1.8, 2.0, 2.5, -1.0])]).double()
    krylov = space(with_spectrum(values.expand(20, -1)), 16, 16, generator)
    found = law_jacobi(krylov, 16)
    assert len(found) == 20
    alpha, beta = coefficients(values, 16)
    scores = [
        (
            (one.diagonal - alpha) / one.diagonal_errors,
            (one.off_diagonal - beta) / one.off_diagonal_errors,
        )
        for one in found
    ]
    for part in map(np.stack, zip(*scores, strict=True)):
        assert 0.7 < np.mean(part**2) < 1.5
        assert np.abs(part.mean(0)).max() < 1.2


def test_outliers_are_not_smeared(with_spectrum, generator):
    """Starts notice an outlier at different steps; the law has it with its mass 1/N."""
    values = torch.cat([torch.linspace(0, 1, 799), torch.tensor([5.0])]).double()
    krylov = space(with_spectrum(values), 12, 16, generator)
    (found,), (starts,) = law_jacobi(krylov, 12), krylov_quadrature(krylov, 16, 12, generator)
    alpha, _ = coefficients(values, 12)
    assert np.abs(found.diagonal - alpha).max() < 0.05
    assert np.abs(starts.coefficients.alpha - alpha).max() > 0.2


def test_a_known_trace_is_the_first_coefficient(with_spectrum, generator):
    values = torch.linspace(0, 1, 500).double() ** 2
    krylov = space(with_spectrum(values), 8, 4, generator)
    (found,) = law_jacobi(krylov, 8, values.sum())
    assert found.diagonal[0] == pytest.approx(float(values.mean()), rel=1e-10)
    assert len(found.diagonal) == len(found.off_diagonal) + 1 == 8


def test_no_more_than_the_space_has_steps(with_spectrum, generator):
    krylov = space(with_spectrum(torch.linspace(0, 1, 300).double()), 6, 4, generator)
    (found,) = law_jacobi(krylov, 24)
    assert len(found.diagonal) == 6


def test_a_law_of_few_points_has_few_coefficients(with_spectrum, dense_operator):
    (found,) = law_jacobi(whole_space(dense_operator(torch.zeros(5, 5))), 24)
    assert found.diagonal.tolist() == [0.0]
    assert len(found.off_diagonal) == len(found.off_diagonal_errors) == 0
    values = torch.tensor([0.0] * 40 + [1.0] * 10 + [3.0]).double()
    (found,) = law_jacobi(whole_space(with_spectrum(values)), 24)
    assert len(found.diagonal) == 3
    matrix = (
        np.diag(found.diagonal) + np.diag(found.off_diagonal, 1) + np.diag(found.off_diagonal, -1)
    )
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), [0, 1, 3], atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_eigenvalues_are_one_point_of_the_law(with_spectrum, generator, dtype):
    """Rounding splits them; Lanczos would find both, one step each, in the coefficients after."""
    bulk = torch.linspace(0, 1, 296).double()
    values = torch.cat([bulk, torch.tensor([50.0, 30.0, 30.0, 5.0]).double()])
    krylov = space(with_spectrum(values.expand(40, -1), dtype), 14, 4, generator)
    points, counts = np.unique(values.numpy(), return_counts=True)
    alpha, beta = recurrence(PointMasses(points, counts / 300), 10)
    for one in law_jacobi(krylov, 10):
        # Student's t with 3 degrees of freedom is beyond 30 once in 10,000.
        assert (np.abs(one.diagonal - alpha) < 30 * one.diagonal_errors).all()
        assert (np.abs(one.off_diagonal - beta) < 30 * one.off_diagonal_errors).all()
        assert one.diagonal_errors[-3:].max() < 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_nothing_is_random_the_error_is_rounding(with_spectrum, generator, dtype):
    """Rank 40 of 120, found eigenvalue by eigenvalue: every start has the same law."""
    values = torch.cat([torch.zeros(80), torch.linspace(0.5, 1, 40)]).double()
    found = law_jacobi(space(with_spectrum(values.expand(20, -1), dtype), 20, 4, generator), 8)
    points, counts = np.unique(values.numpy(), return_counts=True)
    alpha, beta = recurrence(PointMasses(points, counts / 120), 8)
    for one in found:
        assert (np.abs(one.diagonal - alpha) < 5 * one.diagonal_errors).all()
        assert (np.abs(one.off_diagonal - beta) < 5 * one.off_diagonal_errors).all()
        assert one.diagonal_errors.max() < 30 * torch.finfo(dtype).eps


def test_known_eigenvalues_are_off_by_their_residuals(with_spectrum, generator):
    """The space closes within its last panel: rank 50 is found, most often, but to 1e-8 only."""
    values = torch.cat([torch.zeros(70), torch.linspace(0.5, 1, 50)]).double()
    krylov = space(with_spectrum(values.expand(20, -1)), 14, 4, generator)
    whole = column_rules(krylov).free == 70
    assert whole.any()
    points, counts = np.unique(values.numpy(), return_counts=True)
    alpha, beta = recurrence(PointMasses(points, counts / 120), 8)
    for one, is_whole in zip(law_jacobi(krylov, 8), whole, strict=True):
        if is_whole:
            assert (np.abs(one.diagonal - alpha) < 5 * one.diagonal_errors).all()
            assert (np.abs(one.off_diagonal - beta) < 5 * one.off_diagonal_errors).all()
            assert one.diagonal_errors.max() < 1e-6


def test_from_a_single_start_errors_are_unknown(with_spectrum, generator):
    krylov = space(with_spectrum(torch.linspace(0, 1, 300).double()), 6, 1, generator)
    (found,) = law_jacobi(krylov, 6)
    assert np.isnan(found.diagonal_errors).all()
    assert np.isfinite(found.diagonal).all()
