import math

import pytest
import torch

from spectrain.probes.krylov.alignment import alignment, lies_along


def unit(*shape, generator):
    vectors = torch.randn(*shape, dtype=torch.float64, generator=generator)
    return vectors / vectors.norm(dim=-2, keepdim=True)


def test_against_the_projector(generator):
    directions = torch.randn(9, 4, dtype=torch.float64, generator=generator)
    vectors = unit(5, 27, 2, generator=generator)
    projector = torch.kron(
        torch.eye(3, dtype=torch.float64), directions @ torch.linalg.pinv(directions)
    )
    result = alignment(vectors, directions, [(3, 9)])
    torch.testing.assert_close(result.overlap, (projector @ vectors).square().sum(-2))
    for index in range(4):
        s = directions[:, index] / directions[:, index].norm()
        pieces = vectors.mT.reshape(5, 2, 3, 9)
        torch.testing.assert_close(result.cosines[..., index], (pieces @ s).square().sum(-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dependent_and_zero_directions(generator, dtype):
    base = torch.randn(50, 2, dtype=dtype, generator=generator)
    combined = base @ torch.tensor([[1.0, 3.0], [2.0, -1.0]], dtype=dtype)
    directions = torch.cat([base, combined, torch.zeros(50, 1, dtype=dtype), 1e-3 * base], 1)
    vectors = unit(50, 3, generator=generator)
    full = alignment(vectors, directions, [(50,)])
    part = alignment(vectors, base, [(50,)])
    torch.testing.assert_close(full.overlap, part.overlap, atol=1e-5, rtol=0)
    assert full.overlap.max() < 0.5  # 2 of 50 dimensions
    assert torch.equal(full.cosines[:, 4], torch.zeros(3, dtype=torch.float64))


def test_vector_inside_the_span(generator):
    directions = torch.randn(30, 3, generator=generator)
    inside = directions @ torch.randn(3, 1, generator=generator)
    result = alignment(inside / inside.norm(), directions, [(30,)])
    torch.testing.assert_close(
        result.overlap, torch.ones(1, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_rotating_everything_changes_nothing(generator):
    rotation = torch.linalg.qr(torch.randn(20, 20, dtype=torch.float64, generator=generator)).Q
    directions = torch.randn(20, 3, dtype=torch.float64, generator=generator)
    vectors = unit(20, 4, generator=generator)
    before, after = (
        alignment(vectors, directions, [(20,)]),
        alignment(rotation @ vectors, rotation @ directions, [(20,)]),
    )
    torch.testing.assert_close(before.overlap, after.overlap)
    torch.testing.assert_close(before.cosines, after.cosines)


def test_all_directions_zero_or_none(generator):
    vectors = unit(6, 2, generator=generator)
    for count in (0, 2):
        result = alignment(vectors, torch.zeros(6, count), [(6,)])
        assert result.overlap.tolist() == [0.0, 0.0]
        assert result.cosines.shape == (2, count)


def projectors(directions, shapes, axis):
    """(x) of the projector on the span, and of those on each direction, with I on other axes."""
    single = [one[:, None] / one.norm() for one in directions.T]
    bases = [torch.linalg.qr(directions).Q, *single]
    found = []
    for basis in bases:
        blocks = []
        for shape in shapes:
            block = torch.ones(1, 1, dtype=torch.float64)
            for number, length in enumerate(shape):
                along = number == axis % len(shape)
                factor = basis @ basis.T if along else torch.eye(length, dtype=torch.float64)
                block = torch.kron(block, factor)
            blocks.append(block)
        found.append(torch.block_diag(*blocks))
    return found


@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        ([(7, 4)], 0),
        ([(4, 7)], -1),
        ([(4, 7)], 1),
        ([(7,)], 0),
        ([(3, 7, 2)], 1),
        ([(3, 7, 2)], -2),
        ([(7, 3), (7,), (7, 2, 2)], 0),
        ([(2, 7), (7,), (1, 7)], -1),
        ([(7, 7)], 0),
        ([(7, 7)], -1),
    ],
)
@pytest.mark.parametrize("batch", [(), (3,)])
def test_against_dense_projectors_along_any_axis(shapes, axis, batch, generator):
    directions = torch.randn(7, 3, dtype=torch.float64, generator=generator)
    vectors = unit(*batch, sum(map(math.prod, shapes)), 2, generator=generator)
    result = alignment(vectors, directions, shapes, axis)
    whole, *each = projectors(directions, shapes, axis)
    torch.testing.assert_close(result.overlap, (whole @ vectors).square().sum(-2))
    for index, projector in enumerate(each):
        expected = (projector @ vectors).square().sum(-2)
        torch.testing.assert_close(result.cosines[..., index], expected)


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_a_factor_whose_columns_lie_in_the_span_is_aligned(columns, generator):
    """U = S A, entries row by row: |P U| = |U| whatever A."""
    span = torch.randn(12, 2, dtype=torch.float64, generator=generator)
    factor = span @ torch.randn(2, columns, dtype=torch.float64, generator=generator)
    vector = (factor / factor.norm()).reshape(-1, 1)
    result = alignment(vector, span, [(12, columns)], 0)
    torch.testing.assert_close(result.overlap, torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize(
    ("shapes", "axis", "along"),
    [
        ([(3, 4)], 0, True),
        ([(4, 3)], 0, False),
        ([(4, 3), (3,)], -1, True),
        ([(4, 3), (4,)], -1, False),
        ([(6,)], 0, False),
        ([()], -1, False),
        ([(3,)], 1, False),
        ([(3,)], -2, False),
    ],
)
def test_directions_lie_along_an_axis_of_their_length(shapes, axis, along):
    assert lies_along(shapes, 3, axis) == along


@pytest.mark.parametrize(
    ("vectors", "directions", "shapes", "words"),
    [
        ((7, 1), (3, 1), [(7,)], r"directions: expected .*axis -1 .*\[\(7,\)\], got \(3, 1\)"),
        ((6, 1), (3, 1), [(3, 2)], r"directions: .*\(3, 2\).*got \(3, 1\)"),
        ((6, 1), (3,), [(2, 3)], r"directions: expected shape \(d, r\).*got \(3,\)"),
        ((6, 1), (3, 1), [(3, 3)], "vectors: expected 9 entries, .* got 6"),
    ],
)
def test_sizes_that_do_not_fit(vectors, directions, shapes, words):
    with pytest.raises(ValueError, match=words):
        alignment(torch.zeros(vectors), torch.zeros(directions), shapes)
