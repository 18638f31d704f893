"""Measurements as linear maps: adjoints, laws of their rows, transforms against SciPy."""

import math

import pytest
import scipy.fft
import torch

from spectrain.models.low_rank.block import BlockMeasurements
from spectrain.models.low_rank.cosine_transform import CosineTransform
from spectrain.models.low_rank.entries import EntryMeasurements
from spectrain.models.low_rank.gaussian import GaussianMeasurements
from spectrain.models.low_rank.nested import NestedMeasurements
from spectrain.models.low_rank.structured import StructuredMeasurements
from spectrain.models.low_rank.symmetric import SymmetricVectors

N, M = 9, 30


def made(kind, m=M, dtype=torch.float64, seed=0):
    source = torch.Generator().manual_seed(seed)
    if kind is BlockMeasurements:
        return kind(5, 4, m, source, dtype)
    return kind(N, m, source, dtype)


ORTHONORMAL = [StructuredMeasurements, EntryMeasurements]
EVERY = [GaussianMeasurements, BlockMeasurements, *ORTHONORMAL]


def symmetric(*batch, seed=1):
    drawn = torch.randn(*batch, N, N, dtype=torch.float64, generator=torch.manual_seed(seed))
    return drawn + drawn.mT


@pytest.mark.parametrize("kind", EVERY)
def test_the_adjoint_is_one(kind):
    """<A(S), y> = <S, A*(y)>, for each of a batch."""
    operator, matrices = made(kind), symmetric(3)
    outcomes = torch.randn(3, M, dtype=torch.float64, generator=torch.manual_seed(2))
    back = operator.adjoint(outcomes)
    assert torch.equal(back, back.mT)
    left = (operator.forward(matrices) * outcomes).sum(-1)
    torch.testing.assert_close(left, (matrices * back).sum((-1, -2)), rtol=1e-12, atol=1e-12)
    one = operator.normal(matrices[1])
    torch.testing.assert_close(one, operator.normal(matrices)[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize("own", [False, True])
def test_the_misfit_is_made_of_both_products(kind, batch, own):
    """A(S) - y and A* of it, more measurements than fit one block; y common or each its own."""
    operator, matrices = made(kind, m=45 if kind in ORTHONORMAL else 110), symmetric(*batch)
    outcomes = operator.forward(symmetric(*(batch if own else ()), seed=3))
    off, pull = operator.misfit(matrices, outcomes)
    torch.testing.assert_close(off, operator.forward(matrices) - outcomes, rtol=0, atol=1e-12)
    torch.testing.assert_close(pull, operator.adjoint(off), rtol=0, atol=1e-11)


def test_of_nested_measurements_each_matrix_sees_the_first_of_one_draw():
    """A*A of the first m rows, scaled by 1/m: several of one m, and some rows unseen."""
    whole, matrices, counts = made(GaussianMeasurements, 200), symmetric(4), [150, 70, 70, 8]
    found = NestedMeasurements(whole, counts).normal(matrices)
    for row, matrix, m in zip(found, matrices, counts, strict=True):
        alone = made(GaussianMeasurements, m)
        alone.matrix = whole.matrix[:m] * math.sqrt(200 / m)
        torch.testing.assert_close(row, alone.normal(matrix), rtol=0, atol=1e-12)


@pytest.mark.parametrize("counts", [[], [31], [5, 6], [3, 0]])
def test_nested_measurements_are_named(counts):
    with pytest.raises(ValueError, match="counts: expected falling numbers from 30 down to 1"):
        NestedMeasurements(made(GaussianMeasurements), counts)


@pytest.mark.parametrize("kind", ORTHONORMAL)
def test_orthonormal_rows(kind):
    """A A* = (p/m) 1, and A*A = 1 where everything is measured."""
    operator, p = made(kind), N * (N + 1) // 2
    rows = operator.forward(operator.adjoint(torch.eye(M, dtype=torch.float64)))
    torch.testing.assert_close(rows, p / M * torch.eye(M, dtype=torch.float64))
    matrices = symmetric()
    torch.testing.assert_close(made(kind, p).normal(matrices), matrices)


def test_gaussian_matrices_have_the_stated_variances():
    """Diagonal N(0, 1) and N(0, 1/2) off it, within 5 standard errors of 1500 matrices."""
    operator = made(GaussianMeasurements, 1500)
    rows = operator.adjoint(torch.eye(1500, dtype=torch.float64)) * math.sqrt(1500)
    squares = rows.square().mean(0)
    expected = 0.5 + 0.5 * torch.eye(N, dtype=torch.float64)
    assert ((squares - expected).abs() < 5 * math.sqrt(2 / 1500) * expected).all()


@pytest.mark.parametrize("kind", EVERY)
def test_the_mean_normal_operator_is_the_identity(kind):
    """E A*A(S) = S, on the block alone for that kind, within 5 standard errors of 300 draws."""
    matrices = symmetric()
    drawn = torch.stack([made(kind, seed=seed).normal(matrices) for seed in range(300)])
    expected = matrices.clone()
    if kind is BlockMeasurements:
        expected[:5, :5] = expected[5:, 5:] = 0
    errors = drawn.std(0) / 300**0.5
    assert ((drawn.mean(0) - expected).abs() <= 5 * errors + 1e-12).all()


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 12, 45])
def test_the_cosine_transform_is_that_of_scipy(length):
    vectors = torch.randn(2, length, dtype=torch.float64, generator=torch.manual_seed(0))
    transform = CosineTransform(length, torch.float64, "cpu")
    expected = scipy.fft.dct(vectors.numpy(), norm="ortho")
    torch.testing.assert_close(transform.forward(vectors), torch.from_numpy(expected))
    torch.testing.assert_close(transform.inverse(torch.from_numpy(expected)), vectors)


def test_vectors_keep_inner_products():
    matrices, vectors = symmetric(2), SymmetricVectors(N, torch.float64, "cpu")
    one, other = vectors.vectors(matrices)
    assert one @ other == pytest.approx(float((matrices[0] * matrices[1]).sum()))
    torch.testing.assert_close(vectors.matrices(vectors.vectors(matrices)), matrices)


@pytest.mark.parametrize("kind", ORTHONORMAL)
def test_more_rows_than_coordinates_are_refused(kind):
    with pytest.raises(ValueError, match="measurements: expected at most the 45 coordinates"):
        made(kind, 46)


@pytest.mark.parametrize("kind", EVERY)
def test_no_measurement_is_refused(kind):
    with pytest.raises(ValueError, match="count: expected a whole number of at least 1, got 0"):
        made(kind, 0)


def test_sizes_are_named():
    source = torch.Generator()
    with pytest.raises(ValueError, match="size: expected at least 2, got 1"):
        GaussianMeasurements(1, 3, source)
    with pytest.raises(ValueError, match="columns: expected at least 1, got 0"):
        BlockMeasurements(3, 0, 3, source)
