"""Counts and boundaries at x = 0, orthonormal means, equal weights (docs/theory.md, Closed forms),
and on functions of two variables whose zeros are known.

The Hessian's diagonal block is (1/C)(1 - 1/C) times a covariance with k spikes 1 + snr/k, which
leave the bulk at snr/k = phi^(-1/2). The information matrix weights the own class by (1 - 1/C)^2
and the others by 1/C^2, so that its outliers leave it one by one.
"""

import math

import numpy as np
import pytest

from spectrain.models.heads import SoftmaxHead
from spectrain.theory.bulk.law_spectrum import LawSpectrum
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics
from spectrain.theory.scans.block_path import block_law, varied
from spectrain.theory.scans.phase_diagram import (
    counted,
    excess_plane,
    phase_diagram,
    snr_aspect_ratio_plane,
)
from spectrain.theory.scans.transition_points import transition_points
from spectrain.theory.sign_changes import positives

K = 3


def origin(snr=1.0, phi=4.0):
    """x = 0 and orthonormal means."""
    gram = np.zeros((2 * K, 2 * K))
    gram[K:, K:] = np.eye(K)
    law = MixtureLaw(np.full(K, 1 / K), np.arange(K), snr)
    return EffectiveSpectrum(SoftmaxHead(K), Statistics(gram), law, phi, 1000)


def on_every_point(plane, x, y):
    return np.array([[positives(plane(a, b)) for b in y] for a in x]).T


def test_the_line_of_baik_ben_arous_and_peche():
    x, y = np.geomspace(0.5, 8, 33), np.geomspace(0.5, 8, 25)
    plane = snr_aspect_ratio_plane(origin(), "hessian", (0,))
    diagram = phase_diagram(plane, x, y, coarser=plane)
    expected = np.where(x[None] / K > y[:, None] ** -0.5, K, 0)
    np.testing.assert_array_equal(diagram.counts, expected)
    assert [line.count for line in diagram.boundaries] == [1, 2, 3]
    for line in diagram.boundaries:
        snr, phi = line.points.T
        # An error along x or along y moves snr phi^(1/2) by this much relatively, or half of it.
        errors = line.errors / np.minimum(snr, phi)
        np.testing.assert_array_less(np.abs(snr * phi**0.5 / K - 1), errors)
        assert errors.max() < 2e-3
        # The line goes from one side of the diagram to the other.
        assert sorted(snr[[0, -1]]) == pytest.approx([K / math.sqrt(y[-1]), K / math.sqrt(y[0])])
        assert (np.diff(snr) * (snr[-1] - snr[0]) > 0).all()


def information_count(snr, phi):
    """Outliers beyond the edge of lam(S) = -1/S + E[D/(1 + S D/(phi snr))]/snr: D = 4/9 or 1/9."""
    s = -np.exp(np.linspace(-12, math.log(phi * snr * 9 / 4 - 1e-9), 100_000))
    mean = sum(p * w / (1 + s * w / (phi * snr)) for p, w in ((1 / 3, 4 / 9), (2 / 3, 1 / 9)))
    values = -1 / s + mean / snr
    place = int(np.argmin(values))
    own, other = (w / (1 + s[place] * w / (phi * snr)) for w in (4 / 9, 1 / 9))
    # E[A z z^T] = mean/snr I + sum_b weight_b A_b mu_b mu_b^T.
    spikes = (own + 2 * other) / 3 / snr + np.array([own, other, other]) / 3
    return int((spikes > values[place]).sum())


def test_outliers_of_the_information_matrix_appear_one_by_one():
    x, y = np.geomspace(0.3, 30, 12), np.array([1.0, 2.0, 4.0])
    diagram = phase_diagram(snr_aspect_ratio_plane(origin(), "information", (0,)), x, y)
    expected = [[information_count(snr, phi) for snr in x] for phi in y]
    np.testing.assert_array_equal(diagram.counts, expected)
    assert {0, 1, 3} == set(np.unique(diagram.counts))


def test_the_rows_of_a_symmetric_start_count_alike():
    x, y = np.geomspace(0.5, 20, 5), np.array([1.0, 4.0])
    for matrix in ("hessian", "information"):
        first, second, third = (
            phase_diagram(snr_aspect_ratio_plane(origin(), matrix, (row,)), x, y).counts
            for row in range(K)
        )
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)


@pytest.mark.slow
@pytest.mark.parametrize("matrix", ["hessian", "information"])
def test_a_diagram_agrees_with_every_point_and_with_paths(softmax, matrix):
    theory = softmax().theory(1000)
    x, y = np.geomspace(0.5, 8, 25), np.geomspace(0.5, 8, 33)
    plane = snr_aspect_ratio_plane(theory, matrix, (0,))
    diagram = phase_diagram(plane, x, y)
    np.testing.assert_array_equal(diagram.counts, on_every_point(plane, x, y))
    assert diagram.grid_evaluations < 0.7 * diagram.counts.size
    phi = y[13]
    path = transition_points(
        lambda snr: varied(theory, snr=snr, aspect_ratio=phi), matrix, (0,), x[0], x[-1], points=9
    )
    places = [p.place for p in path if p.side == "top" and p.kind in ("appears", "disappears")]
    on_line = [
        (point[0], error)
        for line in diagram.boundaries
        for point, error in zip(line.points, line.errors, strict=True)
        if point[1] == phi
    ]
    assert len(places) == len(on_line) > 0
    for (found, error), place in zip(sorted(on_line), places, strict=True):
        assert abs(found - place) < error


@pytest.mark.slow
def test_any_two_parameters_span_a_plane():
    """Length of x and its alignment with the means, at fixed snr and aspect ratio."""

    def theory(length, cosine):
        x = length * np.hstack([cosine * np.eye(K), math.sqrt(1 - cosine**2) * np.eye(K)])
        vectors = np.vstack([x, np.eye(K, 2 * K)])
        return replace_statistics(Statistics(vectors @ vectors.T))

    def replace_statistics(statistics):
        return varied(origin(snr=3.0), statistics=statistics)

    lengths, cosines = np.linspace(0.05, 4, 9), np.linspace(0, 0.95, 7)
    plane = excess_plane(theory, "hessian", (0,))
    diagram = phase_diagram(plane, lengths, cosines)
    counts = [[theory(a, b).counts("hessian", (0,))[0] for a in lengths] for b in cosines]
    np.testing.assert_array_equal(diagram.counts, counts)
    assert len(np.unique(diagram.counts)) > 2
    assert {line.count for line in diagram.boundaries} == set(
        range(diagram.counts.min() + 1, diagram.counts.max() + 1)
    )


def test_bottom_outliers_have_a_diagram_too(xor):
    theory = xor().theory(1000)
    x, y = np.geomspace(0.3, 8, 7), np.geomspace(0.5, 8, 5)
    plane = snr_aspect_ratio_plane(theory, "hessian", (0,), "bottom")
    diagram = phase_diagram(plane, x, y)
    expected = [
        [varied(theory, snr=a, aspect_ratio=b).counts("hessian", (0,))[1] for a in x] for b in y
    ]
    np.testing.assert_array_equal(diagram.counts, expected)
    assert len(np.unique(diagram.counts)) > 1


@pytest.mark.parametrize("side", ["right", "left", "gap", ""])
def test_other_words_for_a_side_are_refused(side):
    theory = object()
    with pytest.raises(ValueError, match=r"side: expected .*top.*inside.*, got"):
        snr_aspect_ratio_plane(theory, "hessian", (0,), side)
    with pytest.raises(ValueError, match=r"side: expected .*top.*inside.*, got"):
        excess_plane(lambda x, y: theory, "hessian", (0,), side)


def test_gaps_have_a_diagram_too():
    """Ten classes at x = 0: nine outliers appear at once between the two bands."""
    gram = np.diag([0.0] * 10 + [1.0] * 10)
    law = MixtureLaw(np.full(10, 0.1), np.arange(10), 1.0)
    theory = EffectiveSpectrum(SoftmaxHead(10), Statistics(gram), law, 1.0)
    x, y = np.geomspace(2, 40, 4), np.array([0.7, 1.3])
    plane = snr_aspect_ratio_plane(theory, "information", (0,), "inside")
    for j, phi in enumerate(y):
        found = phase_diagram(plane, x, y).counts[j]
        laws = [block_law(varied(theory, snr=s, aspect_ratio=phi), "information", (0,)) for s in x]
        np.testing.assert_array_equal(found, [len(LawSpectrum(law).inside) for law in laws])
        assert set(found) == {0, 9}


GRID, GRID_TWICE = np.linspace(-1.5, 1.5, 65), np.linspace(-1.5, 1.5, 129)


def ring(x, y):
    """Positive in a ring of radii .5 and 1 around (.1, 0)."""
    square = (x - 0.1) ** 2 + y**2
    return np.array([(1 - square) * (square - 0.25)])


def test_closed_lines_are_closed():
    diagram = phase_diagram(ring, GRID, GRID)
    np.testing.assert_array_equal(diagram.counts, on_every_point(ring, GRID, GRID))
    inner, outer = sorted(diagram.boundaries, key=lambda line: np.ptp(line.points[:, 0]))
    for line, radius in ((inner, 0.5), (outer, 1.0)):
        np.testing.assert_array_equal(line.points[0], line.points[-1])
        distance = np.hypot(line.points[:, 0] - 0.1, line.points[:, 1])
        cell = GRID[1] - GRID[0]
        # The edge meets the circle at an angle, so that its error across is smaller than along.
        np.testing.assert_array_less(np.abs(distance - radius), line.errors)
        assert line.errors.max() == pytest.approx(1e-3 * cell)
        # Every edge cut by the circle has its point: 8 r / cell of them, to within a few.
        assert len(line.points) - 1 == pytest.approx(8 * radius / cell, abs=4)


def test_the_work_grows_like_the_length_of_the_lines():
    coarse, fine = (phase_diagram(ring, grid, grid) for grid in (GRID, GRID_TWICE))
    assert coarse.evaluations < 0.65 * GRID.size**2
    assert fine.evaluations < 2.3 * coarse.evaluations
    np.testing.assert_array_equal(fine.counts[::2, ::2], coarse.counts)


def test_an_island_between_the_corners_of_the_first_rectangles_is_found():
    def island(x, y):
        return np.array([0.01 - (x - 0.4) ** 2 - (y + 0.2) ** 2])

    diagram = phase_diagram(island, GRID, GRID)
    np.testing.assert_array_equal(diagram.counts, on_every_point(island, GRID, GRID))
    assert diagram.counts.sum() > 5


def test_the_centre_of_a_saddle_decides_how_its_lines_go():
    for level, joined in ((0.1, True), (-0.1, False)):

        def saddle(x, y, level=level):
            return np.array([x * y + level])

        diagram = phase_diagram(saddle, np.array([-1.0, 1.1]), np.array([-1.0, 1.1]))
        assert len(diagram.boundaries) == 2
        # Joined: the lines go around the two corners with x y < 0, where x and y differ in sign.
        for line in diagram.boundaries:
            middle = line.points.mean(0)
            assert (middle[0] * middle[1] < 0) == joined


def test_counts_alone_have_boundaries_too():
    def count(x, y):
        return int(x + y > 0.3) + int(x - y > 0.1)

    diagram = phase_diagram(counted(count, 2), GRID, GRID)
    np.testing.assert_array_equal(diagram.counts, [[count(x, y) for x in GRID] for y in GRID])
    one = np.vstack([line.points for line in diagram.boundaries if line.count == 1])
    two = np.vstack([line.points for line in diagram.boundaries if line.count == 2])
    height_one = np.maximum(one @ [1, 1] - 0.3, one @ [1, -1] - 0.1)
    height_two = np.minimum(two @ [1, 1] - 0.3, two @ [1, -1] - 0.1)
    tolerance = 2e-3 * (GRID[1] - GRID[0])
    np.testing.assert_allclose(height_one, 0, atol=tolerance)
    np.testing.assert_allclose(height_two, 0, atol=tolerance)


def test_the_difference_to_the_coarser_indicator_is_in_the_error():
    def shifted(x, y):
        return ring(x + 0.01, y)

    plain, checked = (phase_diagram(ring, GRID, GRID, coarser=c) for c in (None, shifted))
    for one, other in zip(plain.boundaries, checked.boundaries, strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        along_x = np.isin(one.points[:, 1], GRID)
        flat = along_x & (np.abs(one.points[:, 1]) < 0.1)
        assert flat.any()
        # The slope is taken over the edge, .05 long, where the curvature changes it by a tenth.
        np.testing.assert_allclose(other.errors[flat], 0.01, rtol=0.15)


def test_grids_are_checked():
    with pytest.raises(ValueError, match="x: expected at least two increasing numbers"):
        phase_diagram(ring, np.array([1.0]), GRID)
    with pytest.raises(ValueError, match="y: expected at least two increasing numbers"):
        phase_diagram(ring, GRID, np.array([1.0, 1.0]))
