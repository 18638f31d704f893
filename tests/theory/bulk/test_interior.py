import numpy as np
import pytest

from spectrain.theory.bulk.complex_equation import ComplexEquation
from spectrain.theory.bulk.continuation import Continuation
from spectrain.theory.bulk.exterior import NoSolutionError, exterior
from spectrain.theory.bulk.interior import interior
from spectrain.theory.bulk.law import CurvatureLaw


def discrete_law(factors, weights, phi):
    """The law of finitely many D, given as (N, m, m)."""
    top, bottom = np.linalg.eigvalsh(factors).max(), np.linalg.eigvalsh(factors).min()
    weights = np.asarray(weights) / np.sum(weights)
    moments = np.zeros((len(factors), 0, 0))
    return CurvatureLaw(weights, factors, moments, max(top, 0), min(bottom, 0), factors, phi, 1.0)


def inside_of(law):
    return interior(law, -exterior(law.mirrored).edge, exterior(law).edge)


def rotated(diagonals):
    """Matrices with given eigenvalues (N, m) in one common, skew basis: m decoupled bulks."""
    m = diagonals.shape[1]
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((m, m)))[0]
    return np.einsum("ij,nj,kj->nik", q, diagonals, q)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_gap_between_two_bands_is_crossed(rows):
    """D = .05 or 1, many samples: half of the eigenvalues in each band, none between."""
    phi = 200.0
    diagonals = np.array([[0.05, 1.0], [0.05, 1.0]]) if rows == 2 else None
    if rows == 2:
        factors, weights = rotated(diagonals), [0.5, 0.5]
        cuts = [1.0 * (1 - phi**-0.5) ** 2, 0.05 * (1 + phi**-0.5) ** 2]
        law = discrete_law(factors, weights, phi)
        inside = inside_of(law)
        profile = inside.profile(80, law)
        gap = (profile.points > cuts[1] * 1.01) & (profile.points < cuts[0] * 0.99)
        assert gap.any()
        np.testing.assert_allclose(profile.cumulative[gap], 0.5, atol=1e-7)
        np.testing.assert_allclose(profile.density[gap], 0, atol=1e-7)
        assert inside.quantile(0.25) == pytest.approx(1.0, abs=0.02)
        assert inside.quantile(0.75) == pytest.approx(0.05, abs=0.001)
    else:
        # One direction: factors of both signs leave a gap around zero only if phi is large.
        law = discrete_law(np.array([[[-1.0]], [[1.0]]]), [0.5, 0.5], 0.5)
        inside = inside_of(law)
        assert inside.atom == pytest.approx(0.5, abs=1e-6)
        profile = inside.profile(80, law)
        near = abs(profile.points) < 0.05
        np.testing.assert_allclose(profile.density[near], 0, atol=1e-6)
        below = profile.cumulative[profile.points < -0.05].max(initial=0)
        assert below == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_counting_function_and_density_agree_with_a_large_matrix(rows):
    rng = np.random.default_rng(1)
    phi, d = 3.0, 600 // rows
    weights = rng.dirichlet(np.ones(6))
    factors = rng.standard_normal((6, rows, rows))
    factors = factors + factors.transpose(0, 2, 1) + 1.0 * np.eye(rows)
    law = discrete_law(factors, weights, phi)
    profile = inside_of(law).profile(120, law)
    n = round(phi * d)
    chosen = rng.choice(6, size=n, p=weights)
    y = rng.standard_normal((n, d))
    blocks = [[(y.T * factors[chosen, a, b]) @ y / n for b in range(rows)] for a in range(rows)]
    values = np.linalg.eigvalsh(np.block(blocks))
    empirical = (np.arange(len(values)) + 0.5) / len(values)
    predicted = np.interp(values, profile.points, profile.cumulative, left=0, right=1)
    assert abs(predicted - empirical).max() < 2 * n**-0.5
    mass = np.trapezoid(profile.density, profile.points)
    assert mass == pytest.approx(1, abs=0.01)


def test_errors_vanish_against_the_same_law_and_not_against_another():
    law = discrete_law(np.array([[[0.5]], [[1.0]]]), [0.5, 0.5], 3.0)
    other = discrete_law(np.array([[[0.5]], [[1.01]]]), [0.5, 0.5], 3.0)
    inside = inside_of(law)
    same, changed = inside.profile(60, law), inside.profile(60, other)
    assert same.cumulative_errors.max() < 1e-10
    assert changed.cumulative_errors.max() > 1e-4
    there = inside_of(other)
    k = len(changed.points) // 2
    exact = 1 - there.share_above(changed.points[k])
    estimate = abs(exact - changed.cumulative[k])
    assert changed.cumulative_errors[k] == pytest.approx(estimate, rel=0.05)


def test_quantiles_at_the_ends_are_the_edges():
    law = discrete_law(np.array([[[1.0]]]), [1.0], 0.5)
    inside = inside_of(law)
    assert inside.quantile(0.9) == 0.0  # in the atom
    assert inside.quantile(1e-12) == pytest.approx(inside.upper, rel=1e-6)


@pytest.mark.parametrize("angle", [1e-4, 1e-2, 0.3, 1.2, 1.5])
def test_quantiles_of_a_law_with_a_hard_edge_are_those_of_its_closed_form(angle):
    """D = 1 and n = d: of 4 sin(t)^2 the share 2 (t + sin t cos t) / pi lies below."""
    law = discrete_law(np.array([[[1.0]]]), [1.0], 1.0)
    below = 2 * (angle + np.sin(angle) * np.cos(angle)) / np.pi
    exact = 4 * np.sin(angle) ** 2
    # What the share 1 - below has lost by rounding moves its point by that over the density.
    rounding = 1e-15 * 2 * np.pi * np.tan(angle)
    found = inside_of(law).quantile(1 - below)
    assert found == pytest.approx(exact, rel=1e-11, abs=1e-12 + 10 * rounding)


def test_a_bulk_found_from_a_nearby_laws_is_the_same():
    """Also where only one of the two has a density, and in the gap between two bands."""
    phi, lam = 200.0, np.linspace(0.03, 1.1, 60)
    law = discrete_law(rotated(np.array([[0.05, 1.0], [0.05, 1.05]])), [0.5, 0.5], phi)
    other = discrete_law(rotated(np.array([[0.06, 0.9], [0.06, 0.95]])), [0.4, 0.6], phi)
    alone, nearby = inside_of(law), inside_of(other)
    known = alone.read(lam)
    assert ((nearby.read(lam)[0] > 0) != (known[0] > 0)).any()
    found = interior(law, alone.lower, alone.upper, nearby).read(lam)
    np.testing.assert_allclose(found, known, rtol=1e-9, atol=1e-9)


def test_a_contradiction_is_an_error_and_never_a_curve(monkeypatch):
    law = discrete_law(np.array([[[0.5]], [[1.0]]]), [0.5, 0.5], 3.0)
    inside = inside_of(law)
    wrong = ComplexEquation.density
    monkeypatch.setattr(ComplexEquation, "density", lambda self, p: 1.2 * wrong(self, p))
    with pytest.raises(NoSolutionError, match="density and counting function"):
        inside.profile(60, law)


def test_a_lost_resolvent_names_the_point(monkeypatch):
    law = discrete_law(np.array([[[0.5]], [[1.0]]]), [0.5, 0.5], 3.0)
    inside = inside_of(law)

    def lost(self, lam, guess, *steps):
        return guess, guess, np.zeros(len(guess), bool)

    monkeypatch.setattr(Continuation, "newton_all", lost)
    with pytest.raises(NoSolutionError, match="lam = "):
        inside.profile(60, law)


def test_twin_directions_stay_on_their_branch():
    """Two decoupled bulks of very different width: far out only one of them has a density."""
    rng = np.random.default_rng(0)
    diagonals = np.stack([rng.uniform(0.5, 1.0, 12), rng.uniform(0.02, 0.2, 12)], axis=1)
    weights = rng.dirichlet(np.ones(12))
    law = discrete_law(rotated(diagonals), weights, 2.4)
    inside = inside_of(law)
    coarse = [inside.quantile(share) for share in (0.001, 0.5, 0.999)]
    profile = inside.profile(80, law)
    assert (np.diff(profile.cumulative) >= 0).all()
    singles = [inside_of(discrete_law(d[:, None, None], weights, 2.4)) for d in diagonals.T]
    fine = [single.profile(300, single.law) for single in singles]
    for lam, share in zip(coarse, (0.001, 0.5, 0.999), strict=True):
        above = [np.interp(lam, one.points, 1 - one.cumulative, left=1, right=0) for one in fine]
        assert np.mean(above) == pytest.approx(share, abs=1e-3)
    union = np.mean(
        [np.interp(profile.points, one.points, one.cumulative, left=0, right=1) for one in fine], 0
    )
    np.testing.assert_allclose(profile.cumulative, union, atol=1e-3)
