import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrain.models.softmax_regression import SoftmaxRegression
from spectrain.probes.curvature.head_curvature import head_curvature
from spectrain.probes.krylov.block_lanczos import block_lanczos
from spectrain.probes.krylov.certificate import failure_probability
from spectrain.probes.krylov.eigenpairs import eigenpairs
from spectrain.probes.krylov.frames import random_frame


def spiked(spikes, bulk, size):
    """The spikes, and a bulk with the spacing of a semicircle."""
    low, high = bulk
    angles = torch.linspace(0, math.pi, size - len(spikes), dtype=torch.float64)
    inner = (high + low) / 2 - (high - low) / 2 * angles.cos()
    return torch.cat([torch.tensor(spikes, dtype=torch.float64), inner])


def exact(operator):
    return torch.linalg.eigvalsh(operator.matrices.double())


def assert_residuals_bound_errors(pairs, operator):
    spectrum = exact(operator)
    distance = (pairs.values[..., :, None] - spectrum[..., None, :]).abs().amin(-1)
    assert (distance <= pairs.residuals + 1e-12).all()


def assert_eigenvectors(pairs, operator):
    size = pairs.vectors.shape[-1]
    gram = (pairs.vectors.mT @ pairs.vectors).double()
    accuracy = 1000 * torch.finfo(operator.dtype).eps
    torch.testing.assert_close(
        gram, torch.eye(size, dtype=torch.float64).expand_as(gram), atol=accuracy, rtol=0
    )
    images = (operator.matrices @ pairs.vectors).double()
    direct = (images - pairs.vectors.double() * pairs.values[..., None, :]).norm(dim=-2)
    torch.testing.assert_close(pairs.residuals, direct, atol=accuracy, rtol=1e-3)


# Counts at the ends.


def test_no_ghosts(with_spectrum, generator):
    # A run without reorthogonalisation returns 50 eight times here.
    values = torch.cat([torch.tensor([50.0, 30.0, 20.0]), torch.linspace(0, 1, 197)])
    operator = with_spectrum(values)
    pairs = eigenpairs(operator, largest=8, width=1, tolerance=1e-11, generator=generator)
    assert pairs.converged.all()
    torch.testing.assert_close(pairs.values, exact(operator).flip(0)[:8], atol=1e-9, rtol=0)
    assert_eigenvectors(pairs, operator)


@pytest.mark.parametrize("width", [4, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_multiplicities_and_both_ends(with_spectrum, generator, dtype, width):
    operator = with_spectrum(spiked([5.0, 5, 5, 5, 3, -2, -2], (0, 1), 300), dtype)
    pairs = eigenpairs(
        operator, largest=5, smallest=2, width=width, tolerance=1e-5, generator=generator
    )
    expected = torch.tensor([5.0, 5, 5, 5, 3, -2, -2], dtype=torch.float64)
    torch.testing.assert_close(
        pairs.values, expected, atol=50 * torch.finfo(dtype).eps + 1e-9, rtol=0
    )
    assert pairs.largest == 5
    assert pairs.outcome == f"all 7 eigenvalues converged after {pairs.products} products"
    assert_eigenvectors(pairs, operator)


def test_two_valued_spectrum(with_spectrum, generator):
    # A single vector reaches two directions only; the rest of the space must be drawn.
    operator = with_spectrum(torch.cat([torch.ones(250), 2 * torch.ones(50)]))
    pairs = eigenpairs(operator, largest=12, width=4, tolerance=1e-10, generator=generator)
    torch.testing.assert_close(pairs.values, torch.full((12,), 2.0).double(), atol=1e-11, rtol=0)
    assert_eigenvectors(pairs, operator)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-8, 1e-12])
def test_accuracy_follows_the_tolerance(with_spectrum, generator, tolerance):
    # A normalisation by norm + 1e-6 stops at a relative error of 2e-6 in float64.
    operator = with_spectrum(spiked([3.0, 2.0], (0, 1), 400))
    pairs = eigenpairs(operator, largest=2, tolerance=tolerance, generator=generator)
    assert pairs.converged.all()
    assert (pairs.residuals <= 3 * tolerance).all()
    error = (pairs.values - torch.tensor([3.0, 2.0])).abs()
    # Quadratic in the residual: the next eigenvalue is 1 away.
    assert (error <= (3 * tolerance) ** 2 + 1e-13).all()


def test_what_has_not_converged_says_so(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(0, 1, 400))
    pairs = eigenpairs(
        operator, largest=6, tolerance=1e-12, width=4, max_products=60, generator=generator
    )
    assert not pairs.converged.any()
    assert pairs.products == operator.columns <= 66
    assert pairs.outcome == (
        f"6 of 6 eigenvalues not converged after {pairs.products} products: raise max_products, "
        "or ask for fewer eigenvalues or a larger tolerance"
    )
    assert_residuals_bound_errors(pairs, operator)


def test_rounding_is_named_as_the_limit(with_spectrum, generator):
    operator = with_spectrum(spiked([3.0, 2.0], (0, 1), 400), torch.float32)
    pairs = eigenpairs(operator, largest=2, tolerance=1e-9, generator=generator)
    assert not pairs.converged.any()
    assert "rounding limits the residual: use float64" in pairs.outcome


def test_tiny_gaps(with_spectrum, generator):
    spikes = [2.0, 2 - 1e-9, 2 - 2e-9, 1.5]
    operator = with_spectrum(spiked(spikes, (-1, 1), 350))
    pairs = eigenpairs(operator, largest=4, width=4, tolerance=1e-12, generator=generator)
    torch.testing.assert_close(
        pairs.values, torch.tensor(spikes, dtype=torch.float64), atol=1e-11, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rank_deficient(with_spectrum, generator, dtype):
    values = torch.zeros(400)
    values[:5] = torch.tensor([4.0, 3.0, 2.0, 1.0, -1.0])
    operator = with_spectrum(values, dtype)
    pairs = eigenpairs(operator, largest=6, smallest=2, tolerance=1e-5, generator=generator)
    expected = torch.tensor([4.0, 3, 2, 1, 0, 0, -1, 0], dtype=torch.float64)
    torch.testing.assert_close(pairs.values, expected, atol=100 * torch.finfo(dtype).eps, rtol=0)
    assert pairs.converged.all()


@pytest.mark.parametrize("size", [1, 7, 400])
def test_zero_matrix(dense_operator, generator, size):
    operator = dense_operator(torch.zeros(2, size, size))
    pairs = eigenpairs(operator, largest=3, smallest=1, width=4, generator=generator)
    assert torch.equal(pairs.values, torch.zeros(2, min(3, size) + 1, dtype=torch.float64))
    assert pairs.converged.all()
    torch.testing.assert_close(pairs.vectors.norm(dim=-2), torch.ones(2, min(3, size) + 1))


def test_one_by_one(dense_operator, generator):
    pairs = eigenpairs(dense_operator(torch.tensor([[-3.0]])), largest=1, generator=generator)
    assert pairs.values.tolist() == [-3.0]
    assert pairs.vectors.abs().tolist() == [[1.0]]
    assert pairs.products == 2


@pytest.mark.parametrize("asked", [60, 100])
def test_as_many_as_there_are(with_spectrum, generator, asked):
    operator = with_spectrum(torch.linspace(-1, 1, 60))
    pairs = eigenpairs(operator, largest=asked, generator=generator)
    torch.testing.assert_close(pairs.values, exact(operator).flip(0), atol=1e-13, rtol=0)
    assert pairs.passes == 2


@pytest.mark.parametrize("width", [3, 8])
def test_up_to_the_whole_space(with_spectrum, generator, width):
    # No multiple of the width, too large to be formed.
    operator = with_spectrum(torch.linspace(-1, 1, 20 * width + 11))
    pairs = eigenpairs(operator, largest=5, width=width, tolerance=1e-14, generator=generator)
    torch.testing.assert_close(pairs.values, exact(operator).flip(0)[:5], atol=1e-13, rtol=0)
    assert operator.columns <= 20 * width + 11 + 5


def test_batch_converges_matrix_by_matrix(with_spectrum, dense_operator, generator):
    spectra = torch.stack([spiked([s, 3.0], (-0.5, 1), 350) for s in (9.0, 5.0, 3.0)])
    operator = with_spectrum(spectra)
    pairs = eigenpairs(operator, largest=2, smallest=1, tolerance=1e-7, generator=generator)
    assert pairs.converged.all()
    for index in range(3):
        one = dense_operator(operator.matrices[index])
        alone = eigenpairs(one, largest=2, smallest=1, tolerance=1e-7, generator=generator)
        torch.testing.assert_close(pairs.values[index], alone.values, atol=1e-10, rtol=0)
    assert_residuals_bound_errors(pairs, operator)


@settings(max_examples=12, deadline=None)
@given(
    clusters=st.lists(
        st.tuples(st.floats(-10, 10), st.integers(1, 12), st.sampled_from([0.0, 1e-9, 1e-3])),
        min_size=1,
        max_size=8,
    ),
    width=st.integers(1, 6),
    largest=st.integers(1, 5),
    smallest=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_any_spectrum(operator_with_spectrum, clusters, width, largest, smallest, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.cat(
        [centre + spread * torch.arange(n, dtype=torch.float64) for centre, n, spread in clusters]
    )
    operator = operator_with_spectrum(values, generator)
    pairs = eigenpairs(
        operator, largest=largest, smallest=smallest, width=width, tolerance=1e-8,
        generator=generator,
    )  # fmt: skip
    assert pairs.converged.all()
    assert_residuals_bound_errors(pairs, operator)
    # No ghosts: the i-th largest Ritz value never exceeds the i-th largest eigenvalue.
    spectrum = exact(operator)
    upper, lower = pairs.values[: pairs.largest], pairs.values[pairs.largest :]
    slack = 1e-12 * (1 + spectrum.abs().max())
    assert (upper <= spectrum.flip(0)[: len(upper)] + slack).all()
    assert (lower >= spectrum[: len(lower)] - slack).all()


# Restarts, starts, reproducibility.


def test_restarted_run_finds_the_same_within_its_memory(with_spectrum, generator):
    operator = with_spectrum(spiked([1.2, 1.1, -0.2], (0, 1), 400))
    asked = {"largest": 2, "smallest": 1, "width": 4, "tolerance": 1e-8}
    whole = eigenpairs(operator, **asked, generator=generator)
    column = 400 * 8
    held = eigenpairs(operator, **asked, memory=24 * column, generator=generator)
    assert held.converged.all()
    assert held.products >= whole.products
    torch.testing.assert_close(held.values, whole.values, atol=1e-9, rtol=0)
    assert_eigenvectors(held, operator)
    assert held.peak_memory < whole.peak_memory
    assert held.peak_memory <= (24 + 8) * column + 16 * 24**2


@pytest.mark.parametrize("columns", [2000, 166])
def test_products_kept_beside_the_basis_give_the_residuals(with_spectrum, generator, columns):
    """H Q y = H u: the same residuals as from another product, also after restarts."""
    operator = with_spectrum(torch.linspace(0, 1, 400))
    pairs = eigenpairs(
        operator,
        largest=2,
        smallest=1,
        width=4,
        tolerance=1e-6,
        memory=columns * 400 * 8,
        generator=generator,
    )
    assert pairs.products == 4 * pairs.passes
    images = operator @ pairs.vectors
    residuals = (images - pairs.vectors * pairs.values).norm(dim=-2)
    torch.testing.assert_close(pairs.residuals, residuals, atol=1e-13, rtol=1e-6)
    restarted = pairs.products > columns // 2
    assert restarted == (columns == 166)


def test_width_is_the_operators_own(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(0, 1, 400))
    pairs = eigenpairs(operator, largest=2, generator=generator)
    assert pairs.products == operator.panel_width * pairs.passes


def test_too_little_memory(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(0, 1, 400))
    with pytest.raises(ValueError, match=r"memory: expected at least 67200 bytes .*, got 64000"):
        eigenpairs(operator, largest=5, width=4, memory=20 * 3200, generator=generator)


def test_warm_start_saves_passes(with_spectrum, generator):
    operator = with_spectrum(spiked([4.0, 3.0], (0, 1), 400))
    cold = eigenpairs(operator, largest=6, width=8, tolerance=1e-4, generator=generator)
    warm = eigenpairs(
        operator, largest=6, width=8, tolerance=1e-4, start=cold.vectors, generator=generator
    )
    assert warm.converged.all()
    assert warm.passes < cold.passes


@pytest.mark.parametrize("emerging", [5.0, 2.5])
def test_warm_start_does_not_hide_an_emerging_outlier(dense_operator, generator, emerging):
    # The start is an invariant space orthogonal to the new largest eigenvalue.
    values = spiked([3.0, 2.0], (0, 1), 400)
    values[200] = emerging
    operator = dense_operator(torch.diag(values))
    start = torch.eye(400, dtype=torch.float64)[:, :2]
    pairs = eigenpairs(operator, largest=2, width=4, start=start, generator=generator)
    expected = torch.tensor(sorted([3.0, emerging], reverse=True), dtype=torch.float64)
    torch.testing.assert_close(pairs.values, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("columns", [torch.zeros(400, 3), torch.ones(400, 3)])
def test_degenerate_start(with_spectrum, generator, columns):
    operator = with_spectrum(spiked([4.0, 3.0], (0, 1), 400))
    pairs = eigenpairs(
        operator, largest=2, start=columns.double(), tolerance=1e-7, generator=generator
    )
    torch.testing.assert_close(pairs.values, torch.tensor([4.0, 3.0]).double())


def test_same_generator_same_bits(with_spectrum):
    operator = with_spectrum(torch.linspace(-1, 1, 400), torch.float32)
    runs = [
        eigenpairs(operator, largest=2, generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    ]
    assert torch.equal(runs[0].vectors, runs[1].vectors)
    assert torch.equal(runs[0].values, runs[1].values)


def test_without_vectors(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(-1, 1, 50))
    pairs = eigenpairs(operator, largest=2, vectors=False, generator=generator)
    assert pairs.vectors.shape == (50, 0)
    assert pairs.residuals.shape == (2,)


def test_blocks_of_a_head_share_their_passes(generator):
    model = SoftmaxRegression(150, 3, 2.0, generator, dtype=torch.float64)
    inputs = torch.randn(400, 150, dtype=torch.float64, generator=generator)
    targets = torch.randint(3, (400,), generator=generator)
    operator = head_curvature(model, inputs, targets, [("hessian", ()), ("information", ())])
    pairs = eigenpairs(
        operator, largest=3, smallest=1, width=8, tolerance=1e-8, generator=generator
    )
    assert pairs.converged.all()
    eye = torch.eye(450, dtype=torch.float64).expand(2, -1, -1)
    spectrum = torch.linalg.eigvalsh(operator @ eye)
    expected = torch.cat([spectrum.flip(-1)[:, :3], spectrum[:, :1]], -1)
    torch.testing.assert_close(pairs.values, expected, atol=1e-10, rtol=0)


# Beyond a value.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_above_a_value(with_spectrum, generator, dtype):
    operator = with_spectrum(spiked([5.0, 3.0, 2.9, -4.0], (0, 1), 400), dtype)
    pairs = eigenpairs(operator, above=1.5, generator=generator)
    torch.testing.assert_close(
        pairs.values, torch.tensor([5.0, 3.0, 2.9], dtype=torch.float64), atol=1e-4, rtol=0
    )
    assert pairs.largest == 3
    assert pairs.converged.all()
    (certificate,) = pairs.certificates
    assert certificate.certified
    assert 0 < float(certificate.failure) <= 1e-6
    assert int(certificate.count) == 3
    assert "certified: 3 eigenvalues above 1.5, failure probability <= " in pairs.outcome
    assert_eigenvectors(pairs, operator)


def test_multiplicity_beyond_the_width_is_completed(with_spectrum, generator):
    operator = with_spectrum(spiked([5.0] * 7, (0, 1), 400))
    pairs = eigenpairs(operator, above=2.0, width=2, generator=generator)
    torch.testing.assert_close(pairs.values, torch.full((7,), 5.0).double(), atol=1e-4, rtol=0)
    assert pairs.certificates[0].certified


def test_both_sides(with_spectrum, generator):
    operator = with_spectrum(spiked([5.0, 3.0, -4.0], (0, 1), 400))
    pairs = eigenpairs(operator, above=1.5, below=-1.0, tolerance=1e-6, generator=generator)
    torch.testing.assert_close(pairs.values, torch.tensor([5.0, 3.0, -4.0]).double())
    assert pairs.largest == 2
    assert [(c.side, int(c.count), c.certified) for c in pairs.certificates] == [
        ("top", 2, True),
        ("bottom", 1, True),
    ]


def test_below_zero(with_spectrum, generator):
    operator = with_spectrum(spiked([-0.3, -0.3, -0.5], (0.1, 4), 400))
    pairs = eigenpairs(operator, below=-0.1, tolerance=1e-6, generator=generator)
    torch.testing.assert_close(
        pairs.values, torch.tensor([-0.5, -0.3, -0.3]).double(), atol=1e-6, rtol=0
    )
    assert pairs.largest == 0
    assert pairs.certificates[0].certified


def test_nothing_beyond(with_spectrum, generator):
    operator = with_spectrum(spiked([], (0, 1), 400))
    pairs = eigenpairs(operator, above=2.0, generator=generator)
    assert pairs.values.shape == (0,)
    assert pairs.vectors.shape == (400, 0)
    assert pairs.certificates[0].certified
    assert "0 eigenvalues above 2" in pairs.outcome


def test_batch_with_different_counts(with_spectrum, generator):
    spectra = torch.stack([spiked(s, (0, 1), 400) for s in ([4.0, 3.0], [3.0], [])])
    operator = with_spectrum(spectra)
    pairs = eigenpairs(operator, above=2.0, tolerance=1e-6, generator=generator)
    nan = math.nan
    expected = torch.tensor([[4.0, 3.0], [3.0, nan], [nan, nan]], dtype=torch.float64)
    torch.testing.assert_close(pairs.values, expected, equal_nan=True)
    assert pairs.certificates[0].count.tolist() == [2, 1, 0]
    assert pairs.converged.all()
    lengths = pairs.vectors.norm(dim=-2)
    torch.testing.assert_close(lengths, (~expected.isnan()).double())


def test_small_matrix_is_counted_exactly(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(0, 1, 100))
    pairs = eigenpairs(operator, above=0.9, generator=generator)
    assert len(pairs.values) == int((exact(operator) > 0.9).sum())
    assert pairs.certificates[0].failure == 0


def test_a_value_in_the_bulk_is_not_certified(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(0, 1, 400))
    pairs = eigenpairs(operator, above=0.99, width=4, max_products=150, generator=generator)
    assert not pairs.certificates[0].certified
    assert "not certified: at least" in pairs.outcome
    assert "raise max_products" in pairs.outcome


def test_everything_is_above(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(0, 1, 200))
    pairs = eigenpairs(operator, above=-1.0, width=4, generator=generator)
    torch.testing.assert_close(pairs.values, exact(operator).flip(0), atol=1e-12, rtol=0)
    assert pairs.certificates[0].failure == 0


@pytest.mark.parametrize("room", [20, 48])
def test_more_above_than_memory_holds(with_spectrum, generator, room):
    operator = with_spectrum(torch.linspace(0, 1, 400))
    pairs = eigenpairs(operator, above=0.9, width=4, memory=room * 3200, generator=generator)
    assert not pairs.certificates[0].certified
    assert pairs.peak_memory <= (room + 8) * 3200 + 16 * room**2
    assert "raise max_products or memory" in pairs.outcome
    assert_residuals_bound_errors(pairs, operator)


def test_failure_probability_bounds_the_failures(with_spectrum):
    # An eigenvalue 5 % of the spread above the bulk; how often do few steps miss it?
    values = spiked([1.05], (0, 1), 200)
    operator = with_spectrum(values)
    steps, runs = 5, 400
    generator = torch.Generator().manual_seed(2)
    bounds = []
    for _ in range(runs):
        space = block_lanczos(operator, random_frame(operator, 1, generator), steps, generator)
        ritz = space.eigen[0]
        bound = failure_probability(200, steps, 1, ritz[0], ritz[-1], 1.049)
        bounds.append(float(bound) if ritz[-1] <= 1.049 else 1.0)
    for level in (0.01, 0.1, 0.5, 0.9):
        frequency = sum(bound <= level for bound in bounds) / runs
        assert frequency <= level + 3 * (level * (1 - level) / runs) ** 0.5


def test_failure_probability_by_hand():
    # Spread 1.25 (1 - 0), eps = 0.25 / 1.25 = 0.2; the ends are off by eps > 0.1.
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    found = failure_probability(100, 20, 2, zero, one, 1.25)
    expected = sum(
        weight * (16.48 * math.exp(-39 * eps**0.5)) ** 2 for weight, eps in ((1, 0.2), (2, 0.1))
    )
    assert float(found) == pytest.approx(expected, rel=1e-12)


# Near a value.


@pytest.mark.parametrize("held", [400, 40])
def test_near_a_value_in_a_gap(with_spectrum, generator, held):
    # The second, with room for 40 columns, goes on with the filter.
    values = torch.cat([spiked([2.0, 2.0, 2.1], (0, 1), 250), torch.linspace(3, 4, 150).double()])
    operator = with_spectrum(values)
    pairs = eigenpairs(
        operator, near=(2.0, 3), width=4, tolerance=1e-6, max_products=10000,
        memory=held * 400 * 8, generator=generator,
    )  # fmt: skip
    assert pairs.converged.all()
    assert pairs.outcome.startswith("all 3")
    torch.testing.assert_close(pairs.values, torch.tensor([2.0, 2.0, 2.1]).double())
    assert_eigenvectors(pairs, operator)


def test_near_a_value_formed(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(-1, 1, 101).repeat(2, 1))
    pairs = eigenpairs(operator, near=(0.005, 3), tolerance=1e-8, generator=generator)
    expected = torch.tensor([0.0, 0.02, -0.02], dtype=torch.float64).repeat(2, 1)
    torch.testing.assert_close(pairs.values, expected, atol=1e-6, rtol=0)
    assert pairs.largest == 0


def test_near_stops_at_its_budget(with_spectrum, generator):
    operator = with_spectrum(torch.linspace(0, 1, 400))
    pairs = eigenpairs(operator, near=(0.5, 2), width=4, max_products=100, generator=generator)
    assert pairs.products <= 100 + 2 * 6
    assert not pairs.converged.all()
    assert "raise max_products" in pairs.outcome
    assert_residuals_bound_errors(pairs, operator)


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"largest": 0}, "largest, smallest, above, below, near"),
        ({"above": 1.0}, "largest, smallest, above, below, near"),
        ({"largest": -1}, "largest, smallest"),
        ({"width": 0}, "width, max_products, memory"),
        ({"max_products": 0}, "width, max_products, memory"),
        ({"max_products": 3}, "max_products: expected at least 16"),
        ({"memory": 0}, "width, max_products, memory"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": math.nan}, "tolerance"),
        ({"start": torch.zeros(99, 2)}, r"start: expected shape \(400, w\), got \(99, 2\)"),
        ({"start": torch.full((400, 2), math.nan)}, "start: expected finite"),
        ({"largest": 0, "above": math.inf}, "below, above: expected finite"),
        ({"largest": 0, "above": 0.0, "below": 1.0}, "below, above: expected finite, below <="),
        ({"largest": 0, "near": (math.nan, 1)}, "near: expected a finite value"),
        ({"largest": 0, "near": (0.0, 0)}, "near: expected a finite value"),
    ],
)
def test_bad_arguments_are_named(with_spectrum, generator, arguments, named):
    operator = with_spectrum(torch.linspace(0, 1, 400))
    with pytest.raises(ValueError, match=named):
        eigenpairs(operator, **{"largest": 2, **arguments}, generator=generator)
    assert operator.columns == 0


@pytest.mark.parametrize("size", [20, 500])
@pytest.mark.parametrize("asked", [{"largest": 1}, {"above": 0.5}, {"near": (0.5, 1)}])
def test_products_that_are_not_finite(dense_operator, generator, size, asked):
    matrix = torch.eye(size)
    matrix[3, 3] = math.nan
    with pytest.raises(ValueError, match="finite products"):
        eigenpairs(dense_operator(matrix), **asked, generator=generator)
