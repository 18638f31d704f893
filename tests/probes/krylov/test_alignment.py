import pytest
import torch

from spectrain.probes.krylov.alignment import alignment


def unit(*shape, generator):
    vectors = torch.randn(*shape, dtype=torch.float64, generator=generator)
    return vectors / vectors.norm(dim=-2, keepdim=True)


def test_against_the_projector(generator):
    directions = torch.randn(9, 4, dtype=torch.float64, generator=generator)
    vectors = unit(5, 27, 2, generator=generator)
    projector = torch.kron(
        torch.eye(3, dtype=torch.float64), directions @ torch.linalg.pinv(directions)
    )
    result = alignment(vectors, directions)
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
    full, part = alignment(vectors, directions), alignment(vectors, base)
    torch.testing.assert_close(full.overlap, part.overlap, atol=1e-5, rtol=0)
    assert full.overlap.max() < 0.5  # 2 of 50 dimensions
    assert torch.equal(full.cosines[:, 4], torch.zeros(3, dtype=torch.float64))


def test_vector_inside_the_span(generator):
    directions = torch.randn(30, 3, generator=generator)
    inside = directions @ torch.randn(3, 1, generator=generator)
    result = alignment(inside / inside.norm(), directions)
    torch.testing.assert_close(
        result.overlap, torch.ones(1, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_rotating_everything_changes_nothing(generator):
    rotation = torch.linalg.qr(torch.randn(20, 20, dtype=torch.float64, generator=generator)).Q
    directions = torch.randn(20, 3, dtype=torch.float64, generator=generator)
    vectors = unit(20, 4, generator=generator)
    before, after = (
        alignment(vectors, directions),
        alignment(rotation @ vectors, rotation @ directions),
    )
    torch.testing.assert_close(before.overlap, after.overlap)
    torch.testing.assert_close(before.cosines, after.cosines)


def test_all_directions_zero_or_none(generator):
    vectors = unit(6, 2, generator=generator)
    for count in (0, 2):
        result = alignment(vectors, torch.zeros(6, count))
        assert result.overlap.tolist() == [0.0, 0.0]
        assert result.cosines.shape == (2, count)


def test_lengths_that_do_not_fit():
    with pytest.raises(ValueError, match=r"directions: expected shape \(d, r\).* 7, got \(3, 1\)"):
        alignment(torch.zeros(7, 1), torch.zeros(3, 1))
