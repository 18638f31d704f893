import numpy as np
import pytest
import torch
from scipy.stats import t as student

from spectrain.probes.krylov.frames import random_frame
from spectrain.probes.krylov.trace import trace


def linspace(low, high, count):
    return torch.linspace(low, high, count, dtype=torch.float64)


def with_outliers(outliers, bulk):
    return torch.cat([torch.tensor(outliers, dtype=torch.float64), bulk])


SPECTRA = {
    "spiked": with_outliers([50.0, 30.0, 30.0, 5.0], linspace(0, 1, 196)),
    "flat": linspace(0.5, 1, 200),
    "indefinite": with_outliers([20.0, 10.0, -8.0, -4.0], linspace(-1, 1, 196)),
    "decaying": torch.arange(1, 201).double() ** -1.5,
}


# Six plain vectors would see an outlier as the square of a normal number, not as Student's t.
@pytest.mark.parametrize(("name", "products"), [*((name, 40) for name in SPECTRA), ("flat", 6)])
def test_standard_error_covers_as_it_claims(diagonal_operator, generator, name, products):
    """In 200 runs at once, within 4 deviations of the binomial."""
    values = SPECTRA[name]
    found = trace(diagonal_operator(values.expand(200, -1)), products, generator)
    assert found.value.shape == found.error.shape == (200,)
    assert found.products == products
    errors = np.abs(found.value - float(values.sum()))
    for level in (0.68, 0.95):
        inside = errors <= student.ppf((1 + level) / 2, found.degrees) * found.error
        assert abs(inside.mean() - level) < 4 * (level * (1 - level) / 200) ** 0.5
    spread = np.std(found.value) / 200**0.5
    assert abs(found.value.mean() - float(values.sum())) < 4 * spread


@pytest.mark.parametrize(
    ("name", "at_most"), [("spiked", 0.35), ("flat", 1.5), ("indefinite", 0.8), ("decaying", 0.25)]
)
def test_error_beside_plain_random_vectors(diagonal_operator, generator, name, at_most):
    """Root mean square errors at equal products: outliers are taken out, a flat law costs sqrt(2).

    A root mean square of 200 numbers is within a tenth of the truth, a ratio within .15.
    """
    operator = diagonal_operator(SPECTRA[name].expand(200, -1))
    truth = float(SPECTRA[name].sum())
    frame = random_frame(operator, 40, generator)
    plain = 200 * (frame * (operator @ frame)).sum(1).mean(-1).numpy()
    ours = trace(operator, 40, generator).value
    ratio = np.mean((ours - truth) ** 2) ** 0.5 / np.mean((plain - truth) ** 2) ** 0.5
    assert ratio < 1.15 * at_most


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("products", [20, 33])
def test_rank_within_half_of_the_products_is_exact(with_spectrum, generator, products, dtype):
    """To rounding, which the error then states."""
    values = with_outliers([7.0, -3.0], linspace(0, 0, 98))
    found = trace(with_spectrum(values.expand(50, -1), dtype), products, generator)
    assert (np.abs(found.value - 4) < 2 * found.error).all()
    assert found.error.max() < 300 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 7, 20])
def test_exact_within_the_budget(with_spectrum, generator, dtype, size):
    values = linspace(-1, 3, size)
    found = trace(with_spectrum(values, dtype), 20, generator)
    assert found.products == size
    assert float(found.error) == 0
    assert float(found.value) == pytest.approx(float(values.sum()), abs=1e-5)
    assert found.interval() == (found.value, found.value)


def test_products_are_counted(dense_operator, generator):
    operator = dense_operator(torch.eye(100, dtype=torch.float64))
    for products in (2, 7, 8, 50, 99):
        operator.columns = 0
        assert trace(operator, products, generator).products == products == operator.columns


def test_zero_matrix(diagonal_operator, generator):
    found = trace(diagonal_operator(torch.zeros(50)), 16, generator)
    assert (float(found.value), float(found.error)) == (0, 0)


def test_same_generator_same_number(diagonal_operator):
    first, again = (
        trace(diagonal_operator(linspace(0, 1, 99)), 16, torch.Generator().manual_seed(4))
        for _ in range(2)
    )
    assert first == again


def test_bad_input_is_refused(diagonal_operator, generator):
    with pytest.raises(ValueError, match="products: expected at least 2, got 1"):
        trace(diagonal_operator(torch.ones(5)), 1, generator)
    for products in (4, 16, 90):
        with pytest.raises(ValueError, match="operator: expected finite products, got NaN"):
            trace(diagonal_operator(torch.full((90,), torch.nan)), products, generator)
