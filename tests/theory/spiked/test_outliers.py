"""Outliers of the Hessian against secular equations that know the noise in another way."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from spectrain.models.spiked.landscape import SpikedLandscape
from spectrain.models.spiked.start import random_signal, start_at_overlap
from spectrain.theory.spiked.covariance import Covariance
from spectrain.theory.spiked.descent_law import DescentLaw
from spectrain.theory.spiked.outliers import independent_outliers, trajectory_outliers
from spectrain.theory.spiked.rightmost import real_eigenpairs_beyond


def after(covariance, overlap, rate, steps):
    law = DescentLaw(covariance, overlap)
    for _ in range(steps):
        law.step(rate)
    return law


@pytest.mark.parametrize("steps", [1, 3, 10, 20])
def test_of_a_matrix_alone_the_secular_equation(steps, spiked_matrix):
    """x^T (z - A)^-1 x = 0 at lambda = mu - z, with the eigenvector (z - A)^-1 x."""
    noise, overlap, rate = 0.3, 0.1, 0.05
    exact = spiked_matrix(noise, overlap)
    x = exact.start
    for _ in range(steps):
        x = exact.stepped(x, rate)
    law = after(Covariance(noise, None), overlap, rate, steps)
    (outlier,) = trajectory_outliers(law)
    edge = 2 * law.covariance.sigma

    def secular(z):
        return float((x * exact.resolved(x, z)).sum())

    z = law.multiplier - outlier.value
    top = 1 / noise + 1  # the outlier of A, a pole; the root lies between it and the bulk
    root = brentq(secular, edge * (1 + 1e-3), top * (1 - 1e-9), xtol=1e-14)
    assert z == pytest.approx(root, rel=1e-9)
    vector = exact.resolved(x, root)
    assert outlier.overlap == pytest.approx(vector[0, 0] ** 2 / (vector**2).sum(), rel=1e-8)
    # x has aligned with the top of A, which the naive formula does not know.
    naive = independent_outliers(law.covariance, law.overlap, law.multiplier)
    assert not naive or abs(naive[0].value - outlier.value) > 1e-4


def conditioned(q, m, rate):
    """Outlier and overlap after one step, conditioning the Hessian at x_1 on the gradient at x_0.

    In the span of x_0, x* and the noise's gradient g (unit vectors e_1, e_2, e_3), with
    h = Cov(g)^-1 g = g / Q'(1) and C = x_0.x_1/N,

        E[Hess(x_1) | g] = Q''(C) (x_0 h^T + h x_0^T) + Q'''(C) (x_1.h) x_0 x_0^T

    and what is left is noise of variance sigma^2, but sigma^2 - Q''(C)^2 (1 - C^2) / Q'(1) in the
    direction of x_0 on the tangent space, which the gradient has told about.
    """
    first = q.slope(1.0)
    x0, g = np.array([1.0, 0, 0]), np.array([0, 0, first**0.5])
    star = np.array([m, (1 - m * m) ** 0.5, 0])
    gradient = g - q.slope(m) * star
    x1 = x0 - rate * (gradient - (gradient @ x0) * x0)
    n = np.linalg.norm(x1)
    x1 /= n
    c, m1, h = x0 @ x1, x1 @ star, g / first
    mean = q.curvature(c) * (np.outer(x0, h) + np.outer(h, x0))
    mean += q.third(c) * (x1 @ h) * np.outer(x0, x0) - q.curvature(m1) * np.outer(star, star)
    e = x0 - c * x1
    e /= np.linalg.norm(e)
    basis = np.stack([e, np.cross(x1, e)])
    mean, star = basis @ mean @ basis.T, basis @ star
    sigma2 = q.curvature(1.0)
    variance = np.array([sigma2 - q.curvature(c) ** 2 * (1 - c * c) / first, sigma2])

    def effective(w):
        """D + 1/R, with G = 1/w the resolvent of the bulk at -w - sigma^2/w."""
        return mean + np.diag(w + sigma2 / w - variance / w)

    sigma = sigma2**0.5
    w = brentq(lambda w: np.linalg.eigvalsh(effective(w))[0], sigma, 20 * sigma, xtol=1e-15)
    v = np.linalg.eigh(effective(w))[1][:, 0]
    # dG/dz of G = 1/(-z - sigma^2 G), which weighs what is in the span.
    rate_of_g = 1 / (w * w - sigma2)
    return w, (v @ star) ** 2 / (v @ ((1 + variance * rate_of_g) * v)), m1


@pytest.mark.parametrize(
    ("noises", "overlap", "rate"),
    [((0.3, 1.0), 0.2, 0.1), ((None, 0.2), 0.5, 0.05), ((0.4, 0.7, 4), 0.4, 0.1)],
)
def test_first_step_by_gaussian_conditioning(noises, overlap, rate):
    q = Covariance(*noises)
    w, squared, m = conditioned(q, overlap, rate)
    law = after(q, overlap, rate, 1)
    (outlier,) = trajectory_outliers(law)
    assert law.overlap == pytest.approx(m, rel=1e-12)
    assert outlier.weight == pytest.approx(w, rel=1e-9)
    assert outlier.overlap == pytest.approx(squared, rel=1e-9)
    (naive,) = independent_outliers(q, law.overlap, law.multiplier)
    assert abs(naive.weight - w) > 1e-4 * w


def test_at_the_start_the_independent_formula_is_exact():
    q, m = Covariance(0.3, 1.0), 0.2
    law = DescentLaw(q, m)
    (dynamic,), (naive,) = trajectory_outliers(law), independent_outliers(q, m, law.multiplier)
    theta = q.curvature(m) * (1 - m * m)
    for outlier in (dynamic, naive):
        assert outlier.weight == pytest.approx(theta)
        assert outlier.value == pytest.approx(law.multiplier - theta - q.sigma**2 / theta)
        expected = (1 - m * m) * (1 - q.sigma**2 / theta**2)
        assert outlier.overlap == pytest.approx(expected)
    assert independent_outliers(Covariance(2.0, 1.0), 0.0, 1.0) == ()


@pytest.mark.parametrize("steps", [5, 60])
def test_at_overlap_zero_the_weight_is_the_matrix_signal(steps):
    """w = 1/Delta_2 exactly, whatever the descent: the line of gradient flow stands."""
    covariance = Covariance(0.4, 4.0)
    (outlier,) = trajectory_outliers(after(covariance, 0.0, 0.1, steps))
    assert outlier.weight == pytest.approx(2.5, rel=1e-9)


@pytest.mark.parametrize(("noises", "steps"), [((0.3, 1.0), 200), ((0.9, 4.0), 150)])
def test_no_outlier_at_a_minimum_nor_above_the_line(noises, steps):
    law = after(Covariance(*noises), 0.05, 0.1, steps)
    assert trajectory_outliers(law) == ()


def test_krylov_finds_what_the_whole_matrix_has():
    """Non-normal, a cloud short of the bound, and two real eigenvalues beyond it."""
    size, generator = 200, np.random.default_rng(0)
    vectors = np.eye(size) + 0.3 * generator.standard_normal((size, size)) / size**0.5
    blocks = np.diag(generator.uniform(-0.2, 0.7, size))
    blocks[2:4, 2:4] = [[1.1, 0.5], [-0.5, 1.1]]  # complex beyond the bound: no outlier
    blocks[0, 0], blocks[1, 1] = 1.7, 1.2
    matrix = vectors @ blocks @ np.linalg.inv(vectors)
    found = real_eigenpairs_beyond(lambda v: matrix @ v, size, 1.0)
    assert [value for value, _ in found] == pytest.approx([1.7, 1.2], rel=1e-10)
    for value, vector in found:
        np.testing.assert_allclose(matrix @ vector, value * vector, atol=1e-9 * abs(vector).max())
    assert real_eigenpairs_beyond(lambda v: matrix @ v, size, 1.8) == []


def test_krylov_agrees_with_all_eigenvalues_along_a_descent(monkeypatch):
    from spectrain.theory.spiked import rightmost

    law = after(Covariance(0.3, 1.0), 0.05, 0.02, 100)
    quick = trajectory_outliers(law)
    assert len(quick) == 1
    monkeypatch.setattr(rightmost, "_DENSE", 10_000)
    for one, other in zip(quick, trajectory_outliers(law), strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-10)
        assert one.overlap == pytest.approx(other.overlap, rel=1e-8)


def test_a_temperature_is_refused():
    law = DescentLaw(Covariance(0.3, 1.0), 0.2, temperature=0.5)
    with pytest.raises(ValueError, match="temperature: expected 0, for which outliers are derived"):
        trajectory_outliers(law)


@pytest.mark.parametrize("noises", [(0.1, 2.0), (0.3, None), (None, 0.15)])
def test_a_draw_of_the_noise_moves_an_independent_outlier_by_its_spread(noises):
    """Mean and standard deviation over drawn landscapes, to three standard errors and O(1/N)."""
    size, draws, overlap = 60, 200, 0.6 if noises[0] is None else 0.2
    source, found = torch.Generator().manual_seed(0), []
    for _ in range(draws):
        signal = random_signal(size, source)
        land = SpikedLandscape(signal, *noises, source)
        here = land.at(start_at_overlap(signal, overlap, source))
        basis = torch.linalg.qr(here.point[:, None], mode="complete").Q[:, 1:]
        found.append(float(torch.linalg.eigvalsh(basis.T @ here.hessian @ basis)[0]))
    (told,) = independent_outliers(Covariance(*noises), overlap, 0.0)
    spread = told.spread / size**0.5
    assert abs(np.mean(found) - told.value) < 3 * spread / draws**0.5 + 5 / size * abs(told.value)
    assert abs(np.std(found) / spread - 1) < 3 / (2 * draws) ** 0.5 + 5 / size


def test_no_spread_is_told_along_a_descent():
    law = after(Covariance(0.3, 0.5), 0.2, 0.05, 3)
    assert all(np.isnan(outlier.spread) for outlier in trajectory_outliers(law))
