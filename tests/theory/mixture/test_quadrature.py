import numpy as np
import pytest

from spectrain.models.heads import SoftmaxHead, TwoLayerHead
from spectrain.theory.mixture.quadrature import MixtureLaw, project, quadrature
from spectrain.theory.mixture.statistics import Statistics


def random_statistics(rank, directions, components, scale=1.0, seed=0):
    v = np.random.default_rng(seed).standard_normal((rank, directions + components))
    v[:, :directions] *= scale
    return Statistics(v.T @ v)


@pytest.mark.parametrize("rank", [0, 1, 3, 6])
@pytest.mark.parametrize("head", [SoftmaxHead(3), TwoLayerHead(3)])
def test_coordinates_reproduce_the_gram_matrix_of_any_rank(rank, head):
    statistics = random_statistics(rank, 3, 3)
    projection = project(statistics, head)
    v = projection.coordinates
    assert len(v) == rank
    np.testing.assert_allclose(v.T @ v, statistics.gram, atol=1e-12 * (1 + statistics.gram.max()))


def test_softmax_needs_one_dimension_less_and_ignores_a_common_vector():
    projection = project(random_statistics(6, 3, 3), SoftmaxHead(3))
    assert projection.active == 2
    assert abs(projection.to_preactivations.sum(1)).max() < 1e-12


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 12])  # Hermite, trapezoidal and Sobol rules
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_moments_of_the_mixture_are_exact(width, scale):
    statistics = random_statistics(width + 2, width, 3, scale)
    law = MixtureLaw(np.array([0.5, 0.3, 0.2]), np.array([0, 1, 1]), 2.0)
    projection = project(statistics, TwoLayerHead(width))
    nodes = quadrature(projection, law)
    means = projection.coordinates[:, width:]
    mean = means @ law.weights
    second = (means * law.weights) @ means.T + np.eye(len(means)) / law.snr
    size = abs(second).max()
    assert nodes.weights.min() > 0
    np.testing.assert_allclose(nodes.weights.sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(nodes.weights @ nodes.means, mean, atol=1e-6 * size**0.5)
    measured = np.tensordot(nodes.weights, nodes.second_moments, 1)
    np.testing.assert_allclose(measured, second, atol=2e-6 * size)
    h = nodes.weights @ nodes.preactivations
    np.testing.assert_allclose(h, statistics.gram[:width, width:] @ law.weights, atol=1e-5)


@pytest.mark.parametrize("deviation", [0.2, 1.0, 3.0])
def test_the_error_of_a_smooth_expectation_falls_below_its_estimate(deviation):
    law = MixtureLaw(np.array([1.0]), np.array([0]), 1.0)
    statistics = Statistics(np.diag([deviation**2, 0.0]))
    projection = project(statistics, TwoLayerHead(1))

    def mean(nodes):
        return nodes.weights @ (1 / np.cosh(nodes.preactivations[:, 0]) ** 2)

    z = np.linspace(-12, 12, 20001)
    gauss = np.exp(-(z**2) / 2)
    exact = (gauss / np.cosh(deviation * z) ** 2).sum() / gauss.sum()
    fine, coarse = (mean(quadrature(projection, law, level)) for level in (0, 3))
    assert abs(fine - exact) <= abs(coarse - fine) + 1e-9  # the weight of dropped nodes
    assert abs(fine - exact) < 1e-8


@pytest.mark.parametrize("level", [0, -2, -3, -6, -12])
def test_fine_rules_of_a_narrow_direction_find_a_kink(level):
    """E max(h, 0) of h ~ N(0, s^2) is s / (2 pi)^(1/2); a kink beside nodes u s apart costs at
    most s u^2 / (8 (2 pi)^(1/2)).
    """
    deviation = 0.3
    law = MixtureLaw(np.array([1.0]), np.array([0]), 1.0)
    projection = project(Statistics(np.diag([deviation**2, 0.0])), TwoLayerHead(1, "relu"))
    nodes = quadrature(projection, law, level)
    h = nodes.preactivations[:, 0]
    assert nodes.weights.min() > 0
    inner = np.sort(abs(h))[:3]
    spacing = (np.sort(h)[1:] - np.sort(h)[:-1])[abs(np.sort(h)[1:]) <= inner[-1]].max()
    found = nodes.weights @ np.maximum(h, 0)
    bound = spacing**2 / deviation / 8 / (2 * np.pi) ** 0.5
    assert abs(found - deviation / (2 * np.pi) ** 0.5) < bound + 1e-11


@pytest.mark.parametrize("head", [SoftmaxHead(5), TwoLayerHead(4)])
def test_sobol_points_move_smoothly_where_the_basis_turns(head):
    """x^T x close to a multiple of 1: its eigenvectors turn freely, h = eta S^(1/2) does not."""
    law = MixtureLaw(np.array([1.0]), np.array([0]), 1.0)
    c = head.directions
    rng = np.random.default_rng(0)
    change = rng.standard_normal((2, c + 1, c + 1))
    change = change + change.swapaxes(1, 2)
    change[:, c] = change[:, :, c] = 0.0
    first, second = (
        quadrature(project(Statistics(np.eye(c + 1) + 1e-6 * one), head), law, 5) for one in change
    )
    moved = abs(first.preactivations - second.preactivations).max()
    assert 0 < moved < 1e-4


def test_sobol_points_turn_into_the_basis_of_repeated_directions():
    """Where h can only be (a, a, b, c, d, ..) its points are so, with the right covariance."""
    rows = np.random.default_rng(1).standard_normal((5, 8))[[0, 0, 1, 2, 3, 4]]
    gram = np.block([[rows @ rows.T, np.zeros((6, 1))], [np.zeros((1, 6)), np.ones((1, 1))]])
    law = MixtureLaw(np.array([1.0]), np.array([0]), 1.0)
    nodes = quadrature(project(Statistics(gram), TwoLayerHead(6)), law)
    h = nodes.preactivations
    assert nodes.active.shape[1] == 5
    np.testing.assert_allclose(h[:, 0], h[:, 1], atol=1e-9)
    np.testing.assert_allclose((h.T * nodes.weights) @ h, gram[:6, :6], atol=1e-9)
