import numpy as np
import pytest
import torch

from spectrain.probes.krylov.block_lanczos import block_lanczos, random_frame, whole_space
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


def test_from_a_single_start_errors_are_unknown(with_spectrum, generator):
    krylov = space(with_spectrum(torch.linspace(0, 1, 300).double()), 6, 1, generator)
    (found,) = law_jacobi(krylov, 6)
    assert np.isnan(found.diagonal_errors).all()
    assert np.isfinite(found.diagonal).all()
