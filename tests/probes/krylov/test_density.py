import numpy as np
import pytest
import torch

from spectrain.probes.krylov.block_lanczos import block_lanczos
from spectrain.probes.krylov.density import resolvent_traces, spectral_densities
from spectrain.probes.krylov.forming import whole_space
from spectrain.probes.krylov.frames import random_frame
from spectrain.probes.krylov.krylov_space import krylov_space
from spectrain.probes.records.distance import cdf_distance
from spectrain.theory.spectrum import Density


def wishart(size, samples, generator):
    data = torch.randn(samples, size, dtype=torch.float64, generator=generator)
    return data.T @ data / samples


def share_below(eigenvalues, points):
    """Empirical distribution, half of an eigenvalue counted at itself."""
    values = np.sort(eigenvalues)
    left = np.searchsorted(values, points, side="left")
    right = np.searchsorted(values, points, side="right")
    return (left + right) / 2 / len(values)


def measured(operator, steps, width, generator):
    frame = random_frame(operator, width, generator)
    return spectral_densities(block_lanczos(operator, frame, steps, generator))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_complete_space_gives_exact_eigenvalues(dense_operator, generator, dtype):
    matrix = wishart(100, 400, generator)
    operator = dense_operator(matrix.to(dtype))
    (density,) = spectral_densities(krylov_space(operator, 1, 0, generator=generator))
    exact = torch.linalg.eigvalsh(matrix).numpy()
    np.testing.assert_allclose(density.points, exact, atol=20 * torch.finfo(dtype).eps)
    np.testing.assert_allclose(density.cumulative, (np.arange(100) + 0.5) / 100, atol=1e-12)
    assert not density.cumulative_errors.any()
    assert np.trapezoid(density.values, density.points) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cumulative_is_within_its_errors(dense_operator, generator, dtype):
    # 8 columns, so squared deviations over errors have mean 7/5. The worst place of the law of 8
    # random vectors is that of a Brownian bridge times sqrt(2 / (8 N)): beyond 2 once in 1500.
    matrices = torch.stack([wishart(600, 1800, generator) for _ in range(3)])
    exact = torch.linalg.eigvalsh(matrices).numpy()
    densities = measured(dense_operator(matrices.to(dtype)), 25, 8, generator)
    assert len(densities) == 3
    for density, eigenvalues in zip(densities, exact, strict=True):
        truth = share_below(eigenvalues, density.points)
        error = np.hypot(density.cumulative_errors, 2e-3)
        deviation = (density.cumulative - truth) / error
        assert np.sqrt(np.mean(deviation**2)) < 2
        assert np.abs(deviation).max() < 5
        assert np.abs(density.cumulative - truth).max() < 2 * (2 / 4800) ** 0.5


def test_a_known_trace_halves_the_squared_error(dense_operator, generator):
    # In ten sets of 12 matrices the ratio was .50 on average, with a spread of .10.
    matrices = torch.stack([wishart(300, 1200, generator) for _ in range(24)])
    exact = torch.linalg.eigvalsh(matrices).numpy()
    operator = dense_operator(matrices)
    krylov = block_lanczos(operator, random_frame(operator, 8, generator), 25, generator)
    traces = matrices.diagonal(dim1=1, dim2=2).sum(-1)
    plain, informed = (
        np.mean(
            [
                np.square(density.cumulative - share_below(eigenvalues, density.points)).mean()
                for density, eigenvalues in zip(densities, exact, strict=True)
            ]
        )
        for densities in (spectral_densities(krylov), spectral_densities(krylov, traces))
    )
    assert informed < 0.75 * plain


def test_values_are_the_density_of_marchenko_and_pastur(dense_operator, generator):
    operator = dense_operator(wishart(800, 3200, generator)[None])
    (density,) = measured(operator, 25, 8, generator)
    lower, upper = 0.25, 2.25
    inside = (density.points > lower + 0.1) & (density.points < upper - 0.1)
    x = density.points[inside]
    law = np.sqrt((x - lower) * (upper - x)) / (2 * np.pi * x / 4)
    deviation = (density.values[inside] - law) / np.hypot(density.errors[inside], 0.03)
    assert np.abs(deviation).max() < 5
    assert np.sqrt(np.mean(deviation**2)) < 2


def test_values_hold_no_invented_mass(dense_operator, generator):
    # An outlier far away must not smear: slopes of the cumulative integrate to at most 1.
    values = torch.cat([torch.tensor([100.0]), torch.linspace(0.5, 1, 499)]).double()
    (density,) = measured(dense_operator(torch.diag(values)), 15, 4, generator)
    assert (density.values >= 0).all()
    assert np.trapezoid(density.values, density.points) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("budget", [40, 20])
def test_atom_at_zero_is_one_point_without_density(dense_operator, generator, dtype, budget):
    # Rank 150 of 250: the share 2/5 sits at zero.
    operator = dense_operator(wishart(250, 150, generator).to(dtype))
    krylov = krylov_space(operator, 1, 0, generator=generator, max_steps=budget, tolerance=1e-30)
    (density,) = spectral_densities(krylov)
    zero = int(np.argmin(np.abs(density.points)))
    assert zero == 0
    error = 5 * density.cumulative_errors[0]
    assert density.cumulative[0] == pytest.approx(0.2, abs=error + 1e-12)
    mass = np.trapezoid(density.values, density.points)
    assert mass == pytest.approx(0.6, abs=0.05)


def test_moments_are_unbiased(with_spectrum, generator):
    # Mean over 200 frames of sum_i w_i theta_i and sum_i w_i theta_i^2.
    eigenvalues = torch.linspace(-1, 2, 60) ** 3
    operator = with_spectrum(eigenvalues.expand(200, -1))
    krylov = block_lanczos(operator, random_frame(operator, 2, generator), 3, generator)
    nodes, vectors = krylov.eigen
    weights = vectors[:, :2].square().mean(1)
    for power in (1, 2):
        estimates = (weights * nodes**power).sum(-1)
        error = float(estimates.std()) / 200**0.5
        truth = float((eigenvalues.double() ** power).mean())
        assert float(estimates.mean()) == pytest.approx(truth, abs=4 * error)


def test_single_column_has_unknown_errors(with_spectrum, generator):
    (density,) = measured(with_spectrum(torch.linspace(0, 1, 50)), 10, 1, generator)
    assert np.isnan(density.cumulative_errors).all()
    assert density.cumulative[-1] <= 1


def test_single_point(dense_operator, generator):
    operator = dense_operator(torch.zeros(3, 3))
    (density,) = spectral_densities(krylov_space(operator, 1, 0, generator=generator))
    assert density.points.tolist() == [0.0]
    assert density.cumulative.tolist() == [0.5]
    assert density.values.tolist() == [0.0]


@pytest.mark.parametrize("steps", [12, 40])
def test_resolvent_trace(dense_operator, generator, steps):
    matrix = wishart(250, 1000, generator)
    direction = torch.ones(250, 1, dtype=torch.float64) / 250**0.5
    operator = dense_operator(matrix + 4 * direction @ direction.T)
    krylov = krylov_space(operator, 1, 0, generator=generator, max_steps=steps, tolerance=1e-30)
    top = krylov.eigen[0][-1:]
    exact = torch.linalg.eigvalsh(operator.matrices)
    expected = (1 / (exact[:-1] - exact[-1])).sum() / 250
    assert float(resolvent_traces(krylov, top)) == pytest.approx(float(expected), rel=0.02)


def staircase(points, cumulative):
    nothing = np.zeros(len(points))
    return Density(np.asarray(points), nothing, nothing, np.asarray(cumulative), nothing)


def test_distance_between_laws():
    uniform = staircase([0.0, 1.0], [0.0, 1.0])
    shifted = staircase([0.1, 0.6, 1.1], [0.0, 0.5, 1.0])
    assert cdf_distance(uniform, uniform) == 0
    assert cdf_distance(shifted, uniform) == pytest.approx(0.1)
    assert cdf_distance(staircase([-1.0, 2.0], [0.25, 0.75]), uniform) == pytest.approx(0.25)


def test_an_atom_is_no_distance(diagonal_operator, generator):
    """Half of the eigenvalues are zero, measured with half of the jump, predicted beside it."""
    values = torch.cat([torch.zeros(200), torch.linspace(0.5, 1, 200)]).double()
    grid = np.linspace(0.5, 1, 50)
    predicted = staircase(grid, 0.5 + (grid - 0.5))
    operator = diagonal_operator(values)
    sampled = block_lanczos(operator, random_frame(operator, 8, generator), 12, generator)
    for krylov in (whole_space(operator), sampled):
        (density,) = spectral_densities(krylov)
        assert density.points[0] == 0
        reach = 5 * density.cumulative_errors.max() + 2 / 400
        assert cdf_distance(density, predicted, 0.5) < reach
        assert cdf_distance(density, predicted) > 0.2
