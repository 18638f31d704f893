"""Three-term recurrence coefficients of predicted laws."""

import numpy as np
import pytest

from spectrain.models.heads import SoftmaxHead
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics
from spectrain.theory.recurrence import PointMasses, recurrence


def jacobi_matrix(found):
    beta = found.off_diagonal
    return np.diag(found.diagonal) + np.diag(beta, 1) + np.diag(beta, -1)


def at_the_origin(phi, snr, dimension=None):
    """D = 1/4 for every sample: a quarter of Marchenko and Pastur, over snr."""
    gram = np.diag([0.0, 0.0, 1.0, 1.0])
    law = MixtureLaw(np.full(2, 0.5), np.arange(2), snr)
    return EffectiveSpectrum(SoftmaxHead(2), Statistics(gram), law, phi, dimension)


@pytest.mark.parametrize("phi", [1.0, 1.2, 5.0])
def test_marchenko_pastur(phi):
    """alpha_0 = 1, alpha_k = 1 + 1/phi, beta_k = phi^(-1/2); phi = 1 is hard at zero."""
    snr = 0.5
    found = at_the_origin(phi, snr).jacobi("hessian", (0,), 10)
    alpha = np.r_[1, np.full(9, 1 + 1 / phi)] / 4 / snr
    beta = np.full(9, phi**-0.5) / 4 / snr
    np.testing.assert_allclose(found.diagonal, alpha, rtol=1e-6)
    np.testing.assert_allclose(found.off_diagonal, beta, rtol=1e-6)
    assert found.diagonal_errors.max() < 1e-6 * alpha.max()
    assert found.off_diagonal_errors.max() < 1e-6 * alpha.max()


def test_an_atom_at_zero_is_part_of_the_law():
    """For phi < 1 the closed form is the same: it has the atom 1 - phi in it."""
    phi, snr = 0.4, 1.0
    found = at_the_origin(phi, snr).jacobi("hessian", (0,), 8)
    np.testing.assert_allclose(4 * found.diagonal, np.r_[1, np.full(7, 1 + 1 / phi)], rtol=1e-5)
    np.testing.assert_allclose(4 * found.off_diagonal, phi**-0.5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "rows", "matrix"),
    [
        ("softmax", (0, 1, 2), "hessian"),
        ("softmax", (0, 1, 2), "information"),
        ("xor", (0,), "information"),
        pytest.param("xor", (0, 1), "hessian", marks=pytest.mark.slow),
    ],
)
def test_powers_of_the_jacobi_matrix_are_the_moments(request, name, rows, matrix):
    """(J^k)_00 is the k-th moment: the same numbers from a power series, with null directions."""
    theory = request.getfixturevalue(name)().theory(None)
    power, j = np.eye(6), jacobi_matrix(theory.jacobi(matrix, rows, 6))
    for moment in theory.moments(matrix, rows, 6).values:
        power = power @ j
        assert power[0, 0] == pytest.approx(moment, rel=1e-5)


def test_two_bands_and_an_atom():
    """x = 0, few samples: D takes two values, each makes a band, and zero is the ground state.

    Eigenvalues of J are zeros of orthogonal polynomials: they lie between the ends of the law and
    at most one in each gap. Weights of Gauss's rule find the atom's mass.
    """
    gram = np.diag([0.0, 0, 0, 1, 1, 1])
    law = MixtureLaw(np.array([0.2, 0.4, 0.4]), np.arange(3), 2.0)
    theory = EffectiveSpectrum(SoftmaxHead(3), Statistics(gram), law, 0.1)
    bulk = theory.spectrum("information", (0,), "b", 0).bulk
    found = theory.jacobi("information", (0,), 40)
    values, vectors = np.linalg.eigh(jacobi_matrix(found))
    assert len(bulk.bands) == 2
    assert bulk.atom == pytest.approx(0.9, abs=1e-6)
    assert values[-1] < bulk.upper.value
    assert values[-1] == pytest.approx(bulk.upper.value, rel=0.02)  # approached like 1/k^2
    assert values[0] == pytest.approx(0, abs=1e-9)
    assert vectors[0, 0] ** 2 == pytest.approx(bulk.atom, rel=1e-6)
    for low, high in (
        (0.0, bulk.lower.value),
        (bulk.gaps[0].lower.value, bulk.gaps[0].upper.value),
    ):
        assert ((values > low + 1e-9) & (values < high)).sum() <= 1
    assert found.diagonal_errors.max() < 1e-5 * bulk.upper.value


@pytest.mark.parametrize(
    ("name", "matrix", "rows"),
    [
        ("softmax", "hessian", (0,)),
        pytest.param("softmax", "information", (0, 1), marks=pytest.mark.slow),
        ("xor", "hessian", (0,)),
    ],
)
def test_lanczos_from_random_starts(request, name, matrix, rows):
    """Within the spread over starts and samples, and O(1/d), before the outliers are noticed."""
    problem, d, steps, draws = request.getfixturevalue(name)(), 300 // len(rows), 4, 16
    found = problem.theory(d).jacobi(matrix, rows, steps, outliers=True)
    measured = []
    for seed in range(draws):
        values, vectors = np.linalg.eigh(problem.dense(matrix, rows, d, seed % 4))
        start = np.random.default_rng(seed).standard_normal(len(values)) @ vectors
        law = PointMasses(values, start**2 / (start @ start))
        measured.append(np.concatenate(recurrence(law, steps)))
    predicted = np.concatenate([found.diagonal, found.off_diagonal])
    deviation = np.std(measured, axis=0, ddof=1)
    # Draws share four samples.
    allowed = 4 * deviation / 4**0.5 + 4 * abs(predicted).max() / d
    assert (abs(np.mean(measured, axis=0) - predicted) < allowed).all()


def test_outliers_are_found_by_lanczos_in_the_end(softmax):
    """Their mass 1/N is nothing at first; the largest eigenvalue of J tends to the outlier."""
    theory = softmax().theory(1000)
    top = theory.spectrum("hessian", (0,), "b", 0).top[0].value
    with_outliers = theory.jacobi("hessian", (0,), 24, outliers=True)
    without = theory.jacobi("hessian", (0,), 24)
    assert with_outliers.diagonal[0] == pytest.approx(without.diagonal[0], rel=1e-2)
    assert np.linalg.eigvalsh(jacobi_matrix(with_outliers))[-1] == pytest.approx(top, rel=1e-4)
    assert np.linalg.eigvalsh(jacobi_matrix(without))[-1] < 0.9 * top


def test_bad_input_is_refused(softmax):
    theory = softmax().theory(None)
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        theory.jacobi("hessian", (0,), 0)
    with pytest.raises(ValueError, match="dimension"):
        theory.jacobi("hessian", (0,), 3, outliers=True)
    with pytest.raises(ValueError, match="count: expected 1 to 2, got 3"):
        recurrence(PointMasses(np.arange(2.0), np.full(2, 0.5)), 3)
