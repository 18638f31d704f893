"""Second derivatives along great circles, and a constrained minimum whose spectrum is known."""

import pytest
import torch

from spectrain.probes.curvature.formed import FormedCurvature
from spectrain.probes.curvature.sphere_curvature import SphereCurvature

N = 9


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def energy(x):
    """Something smooth without symmetry."""
    weights = torch.linspace(0.3, 1.7, len(x), dtype=x.dtype)
    return (weights * x**3).sum() + torch.sin(weights * x).prod() + (x[:-1] * x[1:]).sum()


def sphere_curvature(x):
    hessian, gradient = torch.func.jacrev(torch.func.grad(energy))(x), torch.func.grad(energy)(x)
    return SphereCurvature(FormedCurvature(hessian), x, gradient)


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_second_derivative_along_great_circles(flip):
    """d^2/ds^2 f(x cos(s/r) + r v sin(s/r)) at s = 0 for unit tangent v, r = |x|."""
    x = normal(N, seed=1)
    x[-1] = flip * x[-1].abs()  # both signs of the reflection
    curvature, r = sphere_curvature(x), x.norm()
    directions = torch.linalg.qr(normal(N - 1, 4, seed=2)).Q
    embedded = curvature.embedded(directions)
    torch.testing.assert_close(embedded.mT @ embedded, torch.eye(4, dtype=x.dtype))
    torch.testing.assert_close(x @ embedded, torch.zeros(4, dtype=x.dtype), atol=1e-13, rtol=0)
    torch.testing.assert_close(curvature.coordinates(embedded), directions)
    products = ((curvature @ directions) * directions).sum(0)
    for v, product in zip(embedded.mT, products, strict=True):

        def along(s, v=v):
            return energy(x * torch.cos(s / r) + r * v * torch.sin(s / r))

        second = torch.func.grad(torch.func.grad(along))(torch.zeros((), dtype=x.dtype))
        torch.testing.assert_close(product, second)


def test_products_and_the_dense_matrix_are_one():
    curvature = sphere_curvature(normal(N, seed=3))
    dense = curvature.dense()
    assert curvature.size == N - 1
    assert dense.shape == (N - 1, N - 1)
    torch.testing.assert_close(curvature @ torch.eye(N - 1, dtype=dense.dtype), dense)
    torch.testing.assert_close(dense, dense.mT)
    assert curvature.dense_cost == 0


def test_at_an_eigenvector_of_a_quadratic_form_the_spectrum_is_the_gaps():
    """f = x^T A x / 2 at its lowest eigenvector: eigenvalues a_k - a_0, no 0 of the normal's."""
    values = torch.tensor([-1.0, 0.5, 2.0, 3.5, 7.0], dtype=torch.float64)
    vectors = torch.linalg.qr(normal(5, 5)).Q
    a = (vectors * values) @ vectors.mT
    x = 3 * vectors[:, 0]
    curvature = SphereCurvature(FormedCurvature(a), x, a @ x)
    assert curvature.multiplier == pytest.approx(1.0)
    torch.testing.assert_close(torch.linalg.eigvalsh(curvature.dense()), values[1:] + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"point": torch.zeros(N, dtype=torch.float64)}, "point: expected a vector other than 0"),
        ({"point": torch.ones(N)}, r"point: expected torch.float64 of shape \(9,\)"),
        ({"gradient": normal(N + 1)}, r"gradient: expected torch.float64 of shape \(9,\)"),
        ({"gradient": torch.full((N,), torch.nan).double()}, "gradient: expected finite numbers"),
        (
            {"hessian": FormedCurvature(torch.ones(1, 1))},
            "hessian: expected one matrix of",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    good = {"hessian": FormedCurvature(torch.eye(N).double()), "point": normal(N)}
    with pytest.raises(ValueError, match=message):
        SphereCurvature(**{**good, "gradient": normal(N), **change})


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.ones(2, 3), r"matrix: expected a floating tensor of shape \(N, N\)"),
        (torch.ones(2, 2, dtype=torch.int64), "matrix: expected a floating tensor"),
        (torch.full((2, 2), torch.inf), "matrix: expected finite numbers"),
        (
            torch.tensor([[1.0, 2.0], [0.0, 1.0]]),
            "matrix: expected a symmetric one, got entries 2 apart",
        ),
    ],
)
def test_a_matrix_that_is_no_curvature_is_named(matrix, message):
    with pytest.raises(ValueError, match=message):
        FormedCurvature(matrix)
