"""Jacobi coefficients of the law of finitely many eigenvalues."""

from dataclasses import replace

import numpy as np
import pytest

from spectrain.models.heads import SoftmaxHead
from spectrain.theory.finite_law import COEFFICIENTS, finite_jacobi, finite_law
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics
from spectrain.theory.recurrence import PointMasses, recurrence
from spectrain.theory.spectrum import Bulk, Edge


def marchenko_pastur(phi, dimension=None):
    """A quarter of it, over snr = 1/2: D = 1/4 for every sample."""
    law = MixtureLaw(np.full(2, 0.5), np.arange(2), 0.5)
    gram = np.diag([0.0, 0.0, 1.0, 1.0])
    theory = EffectiveSpectrum(SoftmaxHead(2), Statistics(gram), law, phi, dimension)
    return theory.spectrum("hessian", (0,), "b")


@pytest.mark.parametrize("phi", [0.4, 1.2, 5.0])
def test_marchenko_pastur(phi):
    """alpha_0 = 1, alpha_k = 1 + 1/phi, beta_k = phi^(-1/2); for phi < 1 with the atom 1 - phi."""
    found = finite_jacobi(marchenko_pastur(phi), 12)
    alpha, beta = np.r_[1, np.full(11, 1 + 1 / phi)] / 2, np.full(11, phi**-0.5) / 2
    np.testing.assert_allclose(found.diagonal, alpha, rtol=1e-4)
    np.testing.assert_allclose(found.off_diagonal, beta, rtol=1e-4)
    # The error changes sign on the way up.
    assert (np.abs(found.diagonal - alpha) <= np.maximum.accumulate(found.diagonal_errors)).all()
    grown = np.maximum.accumulate(found.off_diagonal_errors)
    assert (np.abs(found.off_diagonal - beta) <= grown).all()
    assert found.diagonal_errors.max() < 1e-2


@pytest.mark.parametrize(
    ("name", "matrix", "rows"),
    [
        ("softmax", "hessian", (0,)),
        pytest.param("softmax", "information", (0, 1, 2), marks=pytest.mark.slow),
        ("xor", "hessian", (0,)),
    ],
)
def test_it_is_the_limit_with_outliers_up_to_the_tails(request, name, matrix, rows):
    """The slow way solves the equations anew: the same law, and the same outliers."""
    theory = request.getfixturevalue(name)().theory(1000)
    spectrum = theory.spectrum(matrix, rows, "b")
    uncut = replace(spectrum, bulk=replace(spectrum.bulk, **uncut_edges(spectrum.bulk)))
    exact = theory.jacobi(matrix, rows, 10, outliers=True)
    found = finite_jacobi(uncut, 10)
    scale = np.abs(exact.diagonal).max()
    for name in ("diagonal", "off_diagonal"):
        deviation = np.abs(getattr(found, name) - getattr(exact, name))
        assert deviation.max() < 1e-3 * scale


def uncut_edges(bulk):
    return {side: replace(getattr(bulk, side), finite_size=np.nan) for side in ("lower", "upper")}


@pytest.mark.parametrize("matrix", ["hessian", "information"])
def test_coefficients_of_samples(xor, matrix):
    """All of them, also in the thin tails, where the limit law has no more to do with a sample."""
    problem, d, draws = xor(), 300, 8
    found = finite_jacobi(problem.theory(d).spectrum(matrix, (0,), "b"), 16)
    measured = []
    for seed in range(draws):
        values = np.linalg.eigvalsh(problem.dense(matrix, (0,), d, seed))
        law = PointMasses(values, np.full(d, 1 / d))
        measured.append(np.concatenate(recurrence(law, 16)))
    predicted = np.concatenate([found.diagonal, found.off_diagonal])
    allowed = np.std(measured, axis=0, ddof=1) * 4 / draws**0.5 + 4 * abs(predicted).max() / d
    assert (np.abs(np.mean(measured, axis=0) - predicted) < allowed).all()


def test_the_law_holds_every_eigenvalue_once(softmax):
    spectrum = softmax().theory(400).spectrum("hessian", (0,), "b")
    outliers = [pair.value for pair in spectrum.top]
    assert outliers
    law = finite_law(spectrum.density, spectrum.bulk, spectrum.size, outliers)
    assert law.masses.sum() == pytest.approx(1)
    np.testing.assert_allclose(law.masses[np.isin(law.points, outliers)], 1 / 400)
    inside = law.points[~np.isin(law.points, outliers)]
    assert inside.max() == spectrum.bulk.upper.finite_size
    assert inside.min() == spectrum.bulk.lower.finite_size


def test_there_are_none_without_density_or_bulk(softmax):
    theory = softmax().theory(400)
    assert finite_jacobi(theory.spectrum("hessian", (0,), "b", 0)) is None
    assert finite_jacobi(replace(theory.spectrum("hessian", (0,), "b"), bulk=None)) is None


def test_an_atom_may_be_all_there_is():
    spectrum = marchenko_pastur(0.5, 100)
    found = finite_jacobi(replace(spectrum, bulk=replace(spectrum.bulk, atom=1.0)))
    assert found.diagonal.tolist() == [0.0]


def test_a_law_of_one_point_has_one_coefficient():
    spectrum = marchenko_pastur(2.0, 100)
    edge = Edge(1.0, "square-root", 1.0, 1.0, 0.0)
    found = finite_jacobi(replace(spectrum, bulk=Bulk(edge, edge)), COEFFICIENTS)
    assert found.diagonal.tolist() == [1.0]
    assert len(found.off_diagonal) == 0
