"""Certificates on random problems made to mislead them: none may be wrong."""

import numpy as np
import pytest
import torch

from spectrain.probes.krylov.eigenpairs import eigenpairs

WIDTHS = (1, 2, 4, None)


def spectrum(rng, size):
    """Eigenvalues, largest first: clusters, a decay, gaps below the tolerance, or an outlier."""
    kind = rng.integers(5)
    if kind == 0:
        values = rng.choice(rng.normal(size=6), size) + 1e-5 * rng.normal(size=size)
    elif kind == 1:
        values = np.exp(-rng.uniform(0.02, 0.3) * np.arange(size))
    elif kind == 2:
        values = 1 - 10 ** rng.uniform(-5, -3) * np.arange(size) + 1e-7 * rng.normal(size=size)
    elif kind == 3:
        bulk = np.sort(rng.normal(size=size))
        values = bulk / 10 ** rng.uniform(2, 4)
        values[:2] = 1
    else:
        multiple = np.repeat(rng.normal(size=size // 3 + 1), 3)[:size]
        values = multiple
    return np.sort(values)[::-1].copy()


def limit(rng, values):
    """A value between two neighbours, among the first third or anywhere."""
    most = len(values) // 3 if rng.random() < 0.7 else len(values) - 1
    i = int(rng.integers(most))
    return float(values[i] + rng.uniform(0.2, 0.8) * (values[i + 1] - values[i]))


def wrong_certificates(problems, width, operator, seed, sizes=(30, 120)):
    """Problems with a certificate that is wrong, and how many had one."""
    rng = np.random.default_rng(seed)
    wrong, certified = [], 0
    for problem in range(problems):
        values = spectrum(rng, int(rng.integers(*sizes)))
        value = limit(rng, values)
        found = eigenpairs(
            operator(torch.from_numpy(values)),
            above=value,
            width=width,
            generator=torch.Generator().manual_seed(problem),
        )
        (certificate,) = found.certificates
        above = int((values > value).sum())
        assert bool((found.values > value).all())
        # Copies at the value itself, to within rounding, may be seen on either side.
        most = int((values > value - 1e-12 * abs(values).max()).sum())
        assert int(certificate.count) == found.values.shape[-1] <= most
        certified += certificate.certified
        if certificate.certified and int(certificate.count) != above:
            wrong.append((problem, int(certificate.count), above))
    return wrong, certified


@pytest.mark.parametrize("width", WIDTHS[1:])
def test_no_certificate_is_wrong(width, diagonal_operator):
    wrong, certified = wrong_certificates(12, width, diagonal_operator, 0)
    assert wrong == []
    assert certified >= 6


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_no_certificate_of_two_thousand_is_wrong(width, diagonal_operator):
    sizes = (30, 120) if width else (330, 400)
    wrong, certified = wrong_certificates(500, width, diagonal_operator, 1, sizes)
    assert wrong == []
    assert certified >= 250


def test_a_value_below_the_tolerance_is_certified_rightly_or_not_at_all(dense_operator):
    i = torch.arange(1, 501, dtype=torch.float64)
    lehmer = torch.minimum(i[:, None], i) / torch.maximum(i[:, None], i)
    exact = torch.linalg.eigvalsh(lehmer).flip(0)
    value = float(exact[62] + exact[63]) / 2
    for seed in range(3):
        found = eigenpairs(
            dense_operator(lehmer), above=value, generator=torch.Generator().manual_seed(seed)
        )
        (certificate,) = found.certificates
        assert bool((found.values > value).all())
        assert not certificate.certified or int(certificate.count) == 63
        # The values are exact to second order in the residuals.
        count = found.values.shape[-1]
        torch.testing.assert_close(found.values, exact[:count], rtol=0, atol=1e-4 * float(exact[0]))


def test_a_single_column_does_not_claim_all(with_spectrum):
    values = torch.cat([torch.tensor([3.0, 3.0, 2.0]), torch.linspace(-1, 1, 97)])
    found = eigenpairs(
        with_spectrum(values), largest=2, width=1, generator=torch.Generator().manual_seed(0)
    )
    assert not found.outcome.startswith("all")
    assert "a single column sees one copy; raise width" in found.outcome
    wide = eigenpairs(
        with_spectrum(values), largest=2, width=2, generator=torch.Generator().manual_seed(0)
    )
    assert wide.outcome.startswith("all 2 eigenvalues converged")
    torch.testing.assert_close(
        wide.values, torch.tensor([3.0, 3.0], dtype=torch.float64), atol=1e-4, rtol=0
    )


@pytest.mark.timeout(60)
def test_fewer_directions_left_than_columns_is_an_end(diagonal_operator):
    """All but one are above: of two columns beside them, one lies among them and is found again."""
    rng = np.random.default_rng(1)
    for _ in range(72):
        values = spectrum(rng, int(rng.integers(30, 120)))
        value = limit(rng, values)
    found = eigenpairs(
        diagonal_operator(torch.from_numpy(values)),
        above=value,
        width=2,
        generator=torch.Generator().manual_seed(71),
    )
    assert int((values > value).sum()) == len(values) - 1 == found.values.shape[-1]
    (certificate,) = found.certificates
    assert int(certificate.count) == len(values) - 1
    np.testing.assert_allclose(found.values, values[:-1], rtol=0, atol=1e-5)
