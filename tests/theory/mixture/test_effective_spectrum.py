from dataclasses import replace

import numpy as np
import pytest

from spectrain.models.heads import SoftmaxHead, TwoLayerHead
from spectrain.theory.bulk.exterior import NoSolutionError
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics


def summary(spectrum):
    """Every number of a spectrum that its symmetries leave unchanged."""
    bulk = spectrum.bulk
    edges = [bulk.lower.value, bulk.upper.value, bulk.lower.finite_size, bulk.upper.finite_size]
    outliers = [
        number for o in (*spectrum.top, *spectrum.bottom) for number in (o.value, o.overlap)
    ]
    return np.array([*edges, bulk.atom, *outliers])


@pytest.mark.parametrize("matrix", ["hessian", "information"])
def test_permuting_classes_permutes_blocks(softmax, matrix):
    problem = softmax()
    order = np.array([2, 0, 1])
    both = np.concatenate([order, 3 + order])
    law = replace(problem.law, weights=problem.law.weights[order])
    permuted = replace(
        problem, law=law, statistics=Statistics(problem.statistics.gram[np.ix_(both, both)])
    )
    one = permuted.theory(300).spectrum(matrix, (0,), "b", density_points=0)
    other = problem.theory(300).spectrum(matrix, (2,), "b", density_points=0)
    np.testing.assert_allclose(summary(one), summary(other), rtol=1e-5)
    for a, b in zip(one.top, other.top, strict=True):
        np.testing.assert_allclose(a.alignment, b.alignment[both], atol=1e-4)


@pytest.mark.parametrize("rows", [(0,), (0, 1, 2)])
def test_a_vector_common_to_all_directions_changes_nothing(softmax, rows):
    """Softmax sees differences of the x_a only."""
    problem = softmax()
    values, vectors = np.linalg.eigh(problem.statistics.gram)
    root = vectors * np.sqrt(np.maximum(values, 0))
    moved = root.copy()
    moved[:3] += 0.7 * np.random.default_rng(0).standard_normal(root.shape[1])
    shifted = replace(problem, statistics=Statistics(moved @ moved.T))
    one, other = (
        p.theory(300).spectrum("hessian", rows, "b", density_points=0) for p in (problem, shifted)
    )
    np.testing.assert_allclose(summary(one), summary(other), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("rank_one", [False, True])
def test_singular_gram_matrices(xor, rank_one):
    """Repeated directions, x = 0 and collinear means are limits of nothing special."""
    law = xor().law
    means = np.array([[1.0, 0], [-1, 0], [2, 0], [-2, 0]] if rank_one else np.eye(4)[:, :2] + 1)
    x = np.array([[0.6, 0.0], [0.6, 0.0]])

    def spectrum(x):
        v = np.vstack([x, means])
        theory = EffectiveSpectrum(
            TwoLayerHead(2), Statistics(v @ v.T, np.array([1.0, -0.5])), law, 3.0, 200
        )
        return theory.spectrum("hessian", (0,), "b", density_points=0)

    near = spectrum(x + 1e-4 * np.random.default_rng(0).standard_normal(x.shape))
    np.testing.assert_allclose(summary(spectrum(x)), summary(near), rtol=5e-3, atol=1e-4)
    origin = spectrum(0 * x)
    assert np.isfinite(summary(origin)).all()
    assert all((o.alignment[:2] == 0).all() for o in (*origin.top, *origin.bottom))


def test_density_can_be_left_out_and_changes_nothing_else(softmax):
    theory = softmax().theory(200)
    without = theory.spectrum("hessian", (0,), "b", density_points=0)
    assert without.density is None
    with_density = softmax().theory(200).spectrum("hessian", (0,), "b")
    np.testing.assert_allclose(summary(without), summary(with_density), rtol=1e-7)
    density = with_density.density
    assert np.abs(density.errors).max() < 1e-4 * density.values.max()
    assert density.cumulative_errors.max() < 1e-5


def test_errors_are_those_of_the_quadrature(softmax):
    """Against a much finer rule, reached through a budget that a test may raise."""
    problem = softmax(x_scale=1.2)
    theory = problem.theory(200)
    spectrum = theory.spectrum("hessian", (0,), "b", density_points=0)
    assert 0 < spectrum.bulk.upper.error < 1e-4 * spectrum.bulk.upper.value
    for outlier in spectrum.top:
        assert outlier.error < 1e-4 * outlier.value


def test_counts_are_those_of_the_spectrum(softmax, xor):
    for problem, rows in ((softmax(), (0,)), (softmax(), (0, 1, 2)), (xor(), (1,))):
        theory = problem.theory(300)
        spectrum = theory.spectrum("hessian", rows, "b", density_points=0)
        limit = [spectrum.bulk.upper.value, spectrum.bulk.lower.value]
        above = sum(o.value > limit[0] for o in spectrum.top)
        below = sum(o.value < limit[1] for o in spectrum.bottom)
        assert theory.counts("hessian", rows) == (above, below)


def test_a_whole_softmax_block_has_its_null_direction_in_the_atom(softmax):
    spectrum = softmax().theory(100).spectrum("hessian", (0, 1, 2), "all")
    assert spectrum.size == 300
    assert spectrum.bulk.atom == pytest.approx(1 / 3)
    assert spectrum.density.cumulative[0] == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize(("phi", "rows", "atom"), [(0.8, (0,), 0.2), (1.5, (0, 1), 0.25)])
def test_rank_deficient_information_matrices(xor, phi, rows, atom):
    """n = phi d terms of rank one leave a share 1 - phi/m of zero eigenvalues."""
    problem = xor(phi=phi)
    spectrum = problem.theory(150).spectrum("information", rows, "b")
    assert spectrum.bulk.atom == pytest.approx(atom, abs=1e-4)
    assert spectrum.bulk.lower.kind == "hard"
    assert spectrum.bulk.lower.value == spectrum.bulk.lower.detection == 0
    assert spectrum.bottom == ()
    values = np.linalg.eigvalsh(problem.dense("information", rows, 150, 0))
    density = spectrum.density
    for share in (0.4, 0.6, 0.9):
        measured = np.quantile(values, share)
        below = np.interp(measured, density.points, density.cumulative)
        assert below == pytest.approx(share, abs=0.03)


def test_indefinite_rank_deficient_hessian_jumps_at_zero(xor):
    problem = xor(phi=0.7, x_scale=1.0)
    spectrum = problem.theory(200).spectrum("hessian", (0,), "b")
    assert spectrum.bulk.atom == pytest.approx(0.3, abs=1e-3)
    assert spectrum.bulk.lower.value < 0 < spectrum.bulk.upper.value
    values = np.linalg.eigvalsh(problem.dense("hessian", (0,), 200, 0))
    negative = (values < -1e-9).mean()
    below = np.interp(-1e-9, spectrum.density.points, spectrum.density.cumulative)
    last = spectrum.density.cumulative[spectrum.density.points < 0][-1]
    assert last == pytest.approx(negative, abs=0.03)
    assert below - last < 0.31


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"statistics": Statistics(np.eye(5))}, "gram: expected 6 rows"),
        ({"statistics": Statistics(np.eye(6), np.ones(2))}, "parameters: expected 0"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(softmax, change, said):
    with pytest.raises(ValueError, match=said):
        replace(softmax(), **change).theory(100)


def test_softmax_counts_need_no_labels_beyond_the_law():
    theory = EffectiveSpectrum(
        SoftmaxHead(2),
        Statistics(np.eye(5)),
        MixtureLaw(np.array([0.5, 0.3, 0.2]), np.array([0, 1, 1]), 4.0),
        3.0,
        100,
    )
    assert min(theory.counts("hessian", (0,))) >= 0


def test_a_silent_unit_has_no_spectrum():
    statistics = Statistics(np.eye(4), np.array([0.0, 0.0]))
    law = MixtureLaw(np.array([0.5, 0.5]), np.array([0, 1]), 3.0)
    theory = EffectiveSpectrum(TwoLayerHead(2), statistics, law, 2.0, 100)
    with pytest.raises(NoSolutionError, match="every eigenvalue is 0"):
        theory.spectrum("hessian", (0,), "silent")


def test_equal_units_leave_half_of_the_eigenvalues_at_zero(xor):
    problem = xor()
    gram = problem.statistics.gram.copy()
    gram[1], gram[:, 1] = gram[0], gram[:, 0]
    gram[1, 1] = gram[0, 0]
    twins = replace(problem, statistics=Statistics(gram, problem.statistics.parameters))
    spectrum = twins.theory(120).spectrum("information", (0, 1), "both")
    values = np.linalg.eigvalsh(twins.dense("information", (0, 1), 120, 0))
    assert spectrum.bulk.atom == pytest.approx(0.5)
    assert (abs(values) < 1e-10).mean() == pytest.approx(0.5)
    measured = np.quantile(values, 0.75)
    density = spectrum.density
    below = np.interp(measured, density.points, density.cumulative)
    assert below == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("phi", [0.5, 2.0])
def test_an_atom_at_zero_is_no_outlier(softmax, phi):
    """D of one sign, bounded away from zero, leaves a share 1 - phi of exact zeros."""
    problem = replace(softmax(phi=phi, snr=2.0), statistics=Statistics(np.diag([0, 0, 0, 1, 1, 1])))
    theory = problem.theory(300)
    spectrum = theory.spectrum("hessian", (0,), "b", density_points=0)
    assert spectrum.bulk.atom == pytest.approx(max(0.0, 1 - phi), abs=1e-6)
    assert spectrum.bottom == ()
    assert theory.counts("hessian", (0,)) == (len(spectrum.top), 0)
