"""Laws of linear data: moments, shifts, and harmonics on the sphere."""

import math

import numpy as np
import pytest
import torch

from spectrain.models.linear.law import LinearLaw
from spectrain.models.linear.sphere import SphereLaw, SphereRisk, harmonics, kernel_spectrum

N = 40_000


def draw(law, seed=0):
    return law.sample(N, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("entries", ["gaussian", "rademacher"])
def test_samples_have_the_covariance_and_the_targets(entries):
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))[0]
    covariance = rotation @ torch.diag(torch.tensor([3.0, 1.0, 0.5, 0.0])) @ rotation.T
    target = torch.tensor([1.0, -2.0, 0.0, 0.5])
    for given in (covariance, torch.tensor([3.0, 1.0, 0.5, 0.0])):
        law = LinearLaw(given, target, noise=0.3, entries=entries)
        x, y = draw(law)
        dense = given if given.ndim == 2 else torch.diag(given)
        # Five deviations of the mean of products, each of variance at most 2 * 3^2.
        bound = 5 * math.sqrt(18 / N)
        assert (x.T @ x / N - dense).abs().max() < bound
        noise = y - x @ target
        assert abs(float((noise**2).mean()) - 0.3) < 5 * 0.3 * math.sqrt(2 / N)
        assert float((noise @ x / N).abs().max()) < 5 * math.sqrt(0.3 * 3 / N)


def test_signs_stay_signs():
    x, _ = draw(LinearLaw(torch.tensor([4.0, 1.0]), torch.ones(2), entries="rademacher"))
    assert set(x[:, 0].tolist()) == {-2.0, 2.0}


def test_a_shift_keeps_the_target_and_drops_the_noise():
    law = LinearLaw(torch.ones(2), torch.tensor([1.0, 2.0]), noise=1.0)
    x, y = draw(law.shifted(torch.tensor([2.0, 0.5])))
    torch.testing.assert_close(y, x @ law.target)
    assert float(x[:, 0].var()) == pytest.approx(2, rel=5 * math.sqrt(2 / N))


def test_the_same_generator_draws_the_same():
    law = LinearLaw(torch.ones(3), torch.ones(3), noise=0.1)
    for one, two in zip(draw(law, 3), draw(law, 3), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("covariance", {"covariance": torch.tensor([1.0, -1.0])}),
        ("covariance", {"covariance": torch.tensor([1.0, math.nan])}),
        ("covariance", {"covariance": torch.ones(2, 3)}),
        ("covariance", {"covariance": torch.tensor([[1.0, 2.0], [0.0, 1.0]])}),
        ("covariance", {"covariance": torch.tensor([[1.0, 2.0], [2.0, 1.0]])}),
        ("covariance", {"covariance": torch.ones(2, dtype=torch.int64)}),
        ("target", {"target": torch.ones(3)}),
        ("noise", {"noise": -1.0}),
        ("entries", {"entries": "cauchy"}),
    ],
)
def test_bad_laws_are_named(name, changed):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        LinearLaw(**{"covariance": torch.ones(2), "target": torch.ones(2), **changed})


@pytest.mark.parametrize("dimension", [3, 10])
def test_harmonics_are_counted(dimension):
    """2l + 1 on the ordinary sphere; polynomials of degree at most L restricted to the sphere."""
    if dimension == 3:
        assert [harmonics(3, degree) for degree in range(5)] == [1, 3, 5, 7, 9]
    top = 6
    below = sum(harmonics(dimension, degree) for degree in range(top + 1))
    assert below == math.comb(dimension + top, top) - math.comb(dimension + top - 2, top - 2)


def test_kernels_are_sums_of_their_harmonics():
    """k(1) is the sum of all eigenvalues; a polynomial kernel has a known expansion on S^2."""
    eigenvalues, counts = kernel_spectrum(lambda t: np.exp((t - 1) / 0.6), 10, 40)
    assert eigenvalues @ counts == pytest.approx(1, rel=1e-9)
    eigenvalues, counts = kernel_spectrum(lambda t: t**2, 3, 4)
    np.testing.assert_allclose(eigenvalues * counts, [1 / 3, 0, 2 / 3, 0], atol=1e-14)


def test_eigenvalues_are_those_of_a_kernel_matrix():
    """The top level of many points, each of whose n eigenvalues fluctuates by n^(-1/2)."""
    kernel = lambda t: np.exp((t - 1) / 0.6)  # noqa: E731
    eigenvalues, counts = kernel_spectrum(kernel, 5, 20)
    x, _ = SphereLaw.random(5, (1.0,), torch.Generator().manual_seed(0)).sample(
        2000, torch.Generator().manual_seed(1)
    )
    found = np.linalg.eigvalsh(kernel((x @ x.T).numpy()) / 2000)[::-1]
    start = 0
    for s, count in zip(eigenvalues[:3], counts[:3].astype(int), strict=True):
        level = found[start : start + count]
        assert level.mean() == pytest.approx(s, rel=0.05)
        start += count


def test_targets_on_the_sphere_have_their_powers():
    powers = (0.5, 0.2, 1.0, 0.3)
    law = SphereLaw.random(6, powers, torch.Generator().manual_seed(0), noise=0.4)
    x, y = draw(law, 1)
    torch.testing.assert_close(x.norm(dim=1), torch.ones(N, dtype=torch.float64))
    clean = law.targets(x)
    square = float((clean**2).mean())
    spread = float((clean**2).std()) / math.sqrt(N)
    assert abs(square - sum(powers)) < 5 * spread
    assert abs(float(((y - clean) ** 2).mean()) - 0.4) < 5 * 0.4 * math.sqrt(2 / N)


def test_the_risk_on_the_sphere_is_the_mean_over_fresh_samples():
    kernel = lambda t: np.exp((t - 1) / 0.6)  # noqa: E731
    eigenvalues, _ = kernel_spectrum(kernel, 5, 30)
    law = SphereLaw.random(5, (0.5, 0.3, 0.2), torch.Generator().manual_seed(0))
    points, _ = law.sample(12, torch.Generator().manual_seed(1))
    c = torch.randn(12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x, y = draw(law, 3)
    missed = (kernel((x @ points.T).numpy()) @ c.numpy() - y.numpy()) ** 2
    risk = float(SphereRisk(law, eigenvalues.tolist(), points)(c))
    assert abs(missed.mean() - risk) < 5 * missed.std() / math.sqrt(N)


def test_a_target_that_is_a_kernel_has_no_risk():
    """f = k(x . u) is c = 1 at u: degree by degree s_l dim_l P_l, of power s_l^2 dim_l."""
    eigenvalues, counts = kernel_spectrum(lambda t: np.exp((t - 1) / 0.6), 5, 30)
    centre = torch.eye(5, dtype=torch.float64)[:1]
    law = SphereLaw(centre, tuple(eigenvalues**2 * counts))
    risk = SphereRisk(law, eigenvalues.tolist(), centre)
    one = torch.ones(1)
    assert abs(float(risk(one))) < 1e-15
    assert float(risk(2 * one)) == pytest.approx(sum(law.powers))


def test_bad_spheres_are_named():
    with pytest.raises(ValueError, match=r"^centres: expected"):
        SphereLaw(torch.ones(4, 2), (1.0,))
    with pytest.raises(ValueError, match=r"^powers: expected"):
        SphereLaw(torch.ones(4, 3), (-1.0,))
    with pytest.raises(ValueError, match=r"^dimension: expected"):
        kernel_spectrum(np.cos, 2, 3)
