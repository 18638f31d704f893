"""How many products the spectra of a probing take, and what they find."""

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from spectrain.probes.curvature.derived import Counted
from spectrain.probes.krylov.krylov_space import krylov_space
from spectrain.probes.measured_spectra import measured_spectra
from spectrain.probes.measurement import Measurement
from spectrain.theory.protocol import Selection

# What a density took before: 24 products with 16 vectors, and one with the 9 eigenvectors.
BEFORE = 24 * 16 + 9


@pytest.fixture
def differentiated(diagonal_operator):
    """An operator whose products cost as much as derivatives, with these eigenvalues."""
    return type("Differentiated", (diagonal_operator,), {"differentiated": True})


def network_like(size, generator):
    """Outliers, a tail that decays, a few negative eigenvalues, and most close to zero."""
    tail = 0.3 * torch.arange(1, 300) ** -1.0
    rest = 1e-4 * torch.randn(size, generator=generator)
    ends = torch.tensor([10.0, 3.0, 2.0, 1.5, 1.2, 1.0, 0.9, 0.8, 0.7, -0.05, -0.04, -0.03, -0.02])
    return torch.cat([ends, tail, rest])[:size]


def measured(operator, measurement, seed=0):
    counted = Counted(operator)
    (spectrum,), pairs, _ = measured_spectra(
        counted,
        [Selection("hessian", "all", (), ())],
        measurement,
        torch.Generator().manual_seed(seed),
        None,
        density=measurement.density,
        start=None,
    )
    return spectrum, pairs, counted.products


def beyond(spectrum, value):
    """Number of eigenvalues above a value, and its standard error."""
    density = spectrum.density
    below, error = (
        np.interp(value, density.points, part)
        for part in (density.cumulative, density.cumulative_errors)
    )
    return spectrum.size * (1 - below), spectrum.size * error


def test_a_large_matrix_takes_a_tenth_of_the_products(differentiated, generator):
    """The largest eigenvalue is that of the full width; trace and numbers are within errors."""
    values = network_like(12_000, generator)
    found, pairs, products = measured(differentiated(values), Measurement())
    full, *_ = measured(differentiated(values), Measurement(width=16, max_products=16 * 24))
    assert 10 * products <= BEFORE
    assert bool(pairs.converged.all())
    assert found.top[0].value == pytest.approx(full.top[0].value, rel=1e-3)
    for one, other in zip(found.top + found.bottom, full.top + full.bottom, strict=True):
        assert abs(one.value - other.value) < 1e-3 * full.top[0].value
    # Student's t of two degrees of freedom is beyond 31.6 once in 1000.
    reach = student.ppf(0.9995, 2)
    trace, error = (
        float(each[0]) for each in (found.jacobi.diagonal, found.jacobi.diagonal_errors)
    )
    assert abs(trace - float(values.double().mean())) < reach * error
    for value in (0.5, 0.25):  # among eigenvalues that are all known
        assert beyond(found, value)[0] == pytest.approx(int((values > value).sum()), rel=0.05)
    number, error = beyond(found, 0.01)
    assert abs(number - int((values > 0.01).sum())) < reach * error


def test_layers_besides_take_a_fifth_of_the_products(differentiated, generator):
    """A network of 38,282 parameters and its layers; those up to 640 were formed before."""
    sizes = (38_282, 160, 4_640, 32_832, 650)
    before = [size + 9 if size <= 640 else BEFORE for size in sizes]
    now = []
    for size in sizes:
        _, pairs, products = measured(differentiated(network_like(size, generator)), Measurement())
        assert bool(pairs.converged.all())
        now.append(products)
    assert 5 * sum(now) <= sum(before)


def test_eigenvalues_alone_take_no_more_products(differentiated, generator):
    """From as few vectors as with a density, and converged as well."""
    operator = differentiated(network_like(12_000, generator))
    found, pairs, products = measured(operator, Measurement(density=False))
    full, _, most = measured(operator, Measurement())
    assert bool(pairs.converged.all())
    assert products <= most
    for one, other in zip(found.top + found.bottom, full.top + full.bottom, strict=True):
        assert abs(one.value - other.value) < 1e-3 * full.top[0].value


@pytest.mark.parametrize("copies", [4, 6])
def test_copies_beyond_the_width_are_found(differentiated, generator, copies):
    """As many as 16 vectors find, and the next eigenvalue is in its place."""
    values = network_like(12_000, generator)
    values[:copies] = 10.0
    found, _, products = measured(differentiated(values), Measurement())
    expected = values.sort(descending=True).values[:6].tolist()
    assert [pair.value for pair in found.top] == pytest.approx(expected, abs=1e-3)
    assert products <= Measurement().max_products


def test_a_width_that_is_given_is_kept(differentiated, generator):
    values = network_like(12_000, generator)
    operator = differentiated(values)
    for width in (1, 5, 16):
        measurement = Measurement(width=width)
        assert measurement.widths(operator, density=True, warm=False) == (width,)
        products = measured(operator, measurement)[2]
        assert products % width == 0
        assert products >= 24 * width


def test_a_budget_of_what_is_wanted_is_enough(differentiated, generator):
    """Whatever the width is that suits the matrix."""
    for size in (400, 5000, 12_000):
        small = Measurement(max_products=9)
        found, _, products = measured(differentiated(network_like(size, generator)), small)
        assert len(found.top + found.bottom) == 9
        assert products <= 16


def test_products_that_are_cheap_are_as_many_as_before(diagonal_operator, generator):
    """Of a head: 24 nodes from 16 vectors, and one more product for the residuals."""
    _, _, products = measured(diagonal_operator(network_like(12_000, generator)), Measurement())
    assert products == BEFORE


@pytest.mark.parametrize(("size", "formed"), [(40, True), (120, True), (400, False)])
def test_a_matrix_is_formed_where_a_run_would_cost_as_much(differentiated, generator, size, formed):
    operator = Counted(differentiated(torch.linspace(-1, 2, size)))
    found, _, products = measured(operator.original, Measurement())
    assert (products == size) == formed
    assert products <= 400
    if formed:
        np.testing.assert_allclose(found.top[0].value, 2.0, rtol=1e-6)
        assert not found.density.cumulative_errors.any()


def test_residuals_of_kept_products_are_those_of_new_ones(differentiated, generator):
    """At a loose tolerance, where they are far above rounding."""
    values = network_like(2000, generator).double()
    operator = differentiated(values)
    _, pairs, _ = measured(operator, Measurement(tolerance=0.02, eigenvalues=8))
    direct = (operator @ pairs.vectors - pairs.vectors * pairs.values).norm(dim=0)
    torch.testing.assert_close(pairs.residuals, direct, rtol=1e-6, atol=1e-12)


def test_a_space_that_closes_is_complete(differentiated, generator):
    """A matrix within the budget that is not formed ends with all its eigenvalues."""
    values = torch.linspace(-1, 1, 100, dtype=torch.float64)
    krylov = krylov_space(
        differentiated(values), 6, 3, generator=generator, width=3, max_steps=60, tolerance=1e-30,
        min_steps=0,
    )  # fmt: skip
    assert krylov.complete
    torch.testing.assert_close(krylov.eigen[0], values, atol=1e-12, rtol=0)
