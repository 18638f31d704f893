import math

import pytest
import torch

from spectrain.probes.krylov.block_lanczos import block_lanczos
from spectrain.probes.krylov.eigenpairs import extreme_eigenpairs
from spectrain.probes.krylov.frames import random_frame
from spectrain.probes.krylov.krylov_space import krylov_space


def ends(operator, largest, smallest, generator, tolerance=1e-8, **budget):
    krylov = krylov_space(
        operator, largest, smallest, generator=generator, tolerance=tolerance, **budget
    )
    return extreme_eigenpairs(operator, krylov, largest, smallest, tolerance)


def spiked(spikes, bulk, size):
    return torch.cat([torch.tensor(spikes), torch.linspace(*bulk, size - len(spikes))])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lanczos_relation(with_spectrum, generator, dtype):
    operator = with_spectrum(torch.linspace(-1, 2, 120).repeat(3, 1), dtype)
    krylov = block_lanczos(operator, random_frame(operator, 4, generator), 10, generator)
    Q, T = krylov.basis, krylov.coefficients.to(dtype)
    accuracy = 100 * torch.finfo(dtype).eps
    torch.testing.assert_close(
        Q.mT @ Q, torch.eye(40, dtype=dtype).expand(3, -1, -1), atol=accuracy, rtol=0
    )
    remainder = operator @ Q - Q @ T
    assert remainder[..., :-4].abs().max() < accuracy
    torch.testing.assert_close(
        remainder[..., -4:].double().mT @ remainder[..., -4:].double(),
        krylov.border[..., -4:].mT @ krylov.border[..., -4:],
        atol=10 * accuracy,
        rtol=0,
    )
    outside = torch.ones(40, 40).triu(8).bool()
    assert T[..., outside].abs().max() == 0
    assert torch.equal(krylov.coefficients, krylov.coefficients.mT)


def test_no_ghosts(with_spectrum, generator):
    # A run without reorthogonalisation returns 50 eight times here.
    operator = with_spectrum(spiked([50.0, 30.0, 20.0], (0, 1), 200))
    pairs = ends(operator, 8, 0, generator, width=1, max_steps=100)
    assert pairs.converged.all()
    exact = torch.linalg.eigvalsh(operator.matrices).flip(0)[:8]
    torch.testing.assert_close(pairs.values, exact, atol=1e-10, rtol=0)
    gram = pairs.vectors.mT @ pairs.vectors
    torch.testing.assert_close(gram, torch.eye(8, dtype=torch.float64), atol=1e-10, rtol=0)


def test_no_ghosts_beyond_convergence(with_spectrum, generator):
    operator = with_spectrum(spiked([50.0, 30.0, 20.0], (0, 1), 200), torch.float32)
    krylov = block_lanczos(operator, random_frame(operator, 1, generator), 150, generator)
    assert int((krylov.eigen[0] > 10).sum()) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_multiplicities_and_both_ends(with_spectrum, generator, dtype):
    values = spiked([5.0, 5.0, 5.0, 3.0, -2.0, -2.0], (0, 1), 300)
    operator = with_spectrum(values, dtype)
    pairs = ends(operator, 4, 2, generator, tolerance=1e-5, width=4, max_steps=30)
    exact = torch.tensor([5.0, 5.0, 5.0, 3.0, -2.0, -2.0], dtype=torch.float64)
    torch.testing.assert_close(pairs.values, exact, atol=50 * torch.finfo(dtype).eps + 1e-9, rtol=0)
    assert pairs.converged.all()
    assert "all 6 eigenvalues converged" in pairs.outcome


def test_two_valued_spectrum_closes_the_space(with_spectrum, generator):
    # Each starting column reaches both eigenspaces in two steps; the rest is drawn at random.
    operator = with_spectrum(torch.cat([torch.ones(250), 2 * torch.ones(50)]))
    krylov = block_lanczos(operator, random_frame(operator, 3, generator), 20, generator)
    Q = krylov.basis
    torch.testing.assert_close(Q.mT @ Q, torch.eye(60, dtype=Q.dtype), atol=1e-12, rtol=0)
    torch.testing.assert_close(operator @ Q, Q @ krylov.coefficients, atol=1e-12, rtol=0)
    assert int((krylov.eigen[0] > 1.5).sum()) >= 6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rank_deficient(with_spectrum, generator, dtype):
    values = torch.zeros(200)
    values[:5] = torch.tensor([4.0, 3.0, 2.0, 1.0, -1.0])
    operator = with_spectrum(values, dtype)
    pairs = ends(operator, 6, 2, generator, tolerance=1e-5, width=8, max_steps=10)
    exact = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0, 0.0, -1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(pairs.values, exact, atol=100 * torch.finfo(dtype).eps, rtol=0)
    assert pairs.converged.all()


@pytest.mark.parametrize("size", [1, 7, 100])
def test_zero_matrix(dense_operator, generator, size):
    operator = dense_operator(torch.zeros(2, size, size))
    pairs = ends(operator, 3, 1, generator, width=2, max_steps=5)
    count = min(3, size) + 1
    assert torch.equal(pairs.values, torch.zeros(2, count, dtype=torch.float64))
    assert pairs.converged.all()
    lengths = pairs.vectors.norm(dim=-2)
    torch.testing.assert_close(lengths, torch.ones(2, count))


def test_one_by_one(dense_operator, generator):
    pairs = ends(dense_operator(torch.tensor([[-3.0]])), 6, 2, generator)
    assert pairs.values.tolist() == [-3.0, -3.0]
    assert pairs.largest == 1
    assert pairs.vectors.abs().tolist() == [[1.0, 1.0]]


def test_every_eigenvalue(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(-1, 1, 30).repeat(2, 1))
    krylov = krylov_space(operator, 30, 30, generator=generator, width=8, max_steps=4)
    assert krylov.complete
    assert operator.columns == 30
    pairs = extreme_eigenpairs(operator, krylov, 30, 30)
    exact = torch.linspace(-1, 1, 30, dtype=torch.float64)
    expected = torch.cat([exact.flip(0), exact]).repeat(2, 1)
    torch.testing.assert_close(pairs.values, expected, atol=1e-7, rtol=0)
    assert pairs.residuals.max() < 1e-13


def test_batch_is_the_single_matrices(with_spectrum, dense_operator, generator):
    spectra = torch.stack([spiked([s, 3.0], (-0.5, 1), 150) for s in (9.0, 5.0, 3.0)])
    operator = with_spectrum(spectra)
    pairs = ends(operator, 3, 1, generator, width=3, max_steps=40)
    for index in range(3):
        alone = ends(dense_operator(operator.matrices[index]), 3, 1, generator, width=3)
        torch.testing.assert_close(pairs.values[index], alone.values, atol=1e-10, rtol=0)


def test_residuals_are_true_and_bound_the_error(with_spectrum, generator):
    values = spiked([2.0], (0, 1), 400)
    operator = with_spectrum(values)
    pairs = ends(operator, 4, 4, generator, width=4, max_steps=6)
    direct = operator.matrices @ pairs.vectors - pairs.vectors * pairs.values
    torch.testing.assert_close(pairs.residuals, direct.norm(dim=0))
    exact = torch.linalg.eigvalsh(operator.matrices)
    distance = (pairs.values[:, None] - exact).abs().amin(-1)
    assert (distance <= pairs.residuals + 1e-12).all()


def test_outcome_says_what_to_do(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(0, 1, 500))
    pairs = ends(operator, 6, 0, generator, tolerance=1e-12, width=2, max_steps=10)
    assert not pairs.converged.any()
    assert pairs.outcome.startswith("6 of 6 eigenvalues not converged after 26 products: raise")


def test_stops_when_converged(with_spectrum, generator):
    operator = with_spectrum(spiked([50.0, 40.0], (0, 1), 600))
    ends(operator, 2, 0, generator, tolerance=1e-4, width=4, min_steps=0, max_steps=60)
    assert operator.columns <= 4 * 8 + 2


def test_same_generator_same_bits(with_spectrum):
    operator = with_spectrum(torch.linspace(-1, 1, 300), torch.float32)
    runs = [
        krylov_space(operator, 2, 2, generator=torch.Generator().manual_seed(3), max_steps=20)
        for _ in range(2)
    ]
    assert torch.equal(runs[0].basis, runs[1].basis)
    assert torch.equal(runs[0].coefficients, runs[1].coefficients)


def test_columns_of_the_frame_are_uniform(dense_operator, generator):
    # E[q_1^2] = 1/N in every column, fourth moment 3/(N(N+2)): no coordinate is preferred.
    operator = dense_operator(torch.zeros(4000, 6, 6))
    squares = random_frame(operator, 3, generator)[:, 0].double().square()
    error = math.sqrt((3 / 48 - 1 / 36) / 4000)
    assert ((squares.mean(0) - 1 / 6).abs() < 4 * error).all()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"largest": 0, "smallest": 0}, "largest, smallest"),
        ({"largest": -1, "smallest": 2}, "largest, smallest"),
        ({"width": 0}, "width"),
        ({"max_steps": 0}, "max_steps"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": math.nan}, "tolerance"),
        ({"largest": 50, "width": 2, "max_steps": 10}, "max_steps"),
    ],
)
def test_bad_arguments_are_named(with_spectrum, generator, arguments, named):
    operator = with_spectrum(torch.linspace(0, 1, 100))
    with pytest.raises(ValueError, match=named):
        krylov_space(operator, **{"largest": 2, "smallest": 0, **arguments}, generator=generator)


def test_too_many_steps(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(0, 1, 10))
    with pytest.raises(ValueError, match="steps: expected between 1 and 3"):
        block_lanczos(operator, random_frame(operator, 3, generator), 4, generator)


@pytest.mark.parametrize("size", [20, 500])
def test_products_that_are_not_finite(dense_operator, generator, size):
    matrix = torch.eye(size)
    matrix[3, 3] = math.nan
    with pytest.raises(ValueError, match="finite products"):
        krylov_space(dense_operator(matrix), 1, 1, generator=generator)


def test_panel_of_wrong_shape(dense_operator):
    with pytest.raises(ValueError, match=r"panel: expected shape \(2, 5, width\), got \(5, 1\)"):
        dense_operator(torch.zeros(2, 5, 5)) @ torch.zeros(5, 1)
