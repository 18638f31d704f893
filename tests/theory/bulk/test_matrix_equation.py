import numpy as np
import pytest

from spectrain.theory.bulk.law import CurvatureLaw
from spectrain.theory.bulk.matrix_equation import MatrixEquation, symmetric_inverse


def random_law(m, nodes=30, span=3, seed=0):
    rng = np.random.default_rng(seed)
    d = rng.standard_normal((nodes, m, m))
    d = d + d.transpose(0, 2, 1)
    z = rng.standard_normal((nodes, span))
    top = np.linalg.eigvalsh(d)
    return CurvatureLaw(
        weights=rng.dirichlet(np.ones(nodes)),
        factors=d,
        moments=z[:, :, None] * z[:, None, :],
        supremum=top.max(),
        infimum=top.min(),
        extremes=d,
        aspect_ratio=2.0,
        snr=3.0,
    )


def lower_half_plane(m, seed=1):
    rng = np.random.default_rng(seed)
    real, imaginary = rng.standard_normal((2, m, m))
    return real + real.T - 1j * (imaginary @ imaginary.T + 0.1 * np.eye(m))


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_inverses_and_pivots(m):
    law = random_law(m)
    stack = lower_half_plane(m) + law.factors
    upper = np.triu_indices(m)
    packed, pivots = symmetric_inverse(stack[:, upper[0], upper[1]].T)
    inverses = np.linalg.inv(stack)[:, upper[0], upper[1]].T
    np.testing.assert_allclose(packed, inverses, atol=1e-12 * abs(inverses).max())
    np.testing.assert_allclose(pivots.prod(0), np.linalg.det(stack), rtol=1e-10)
    assert (pivots.imag < 0).all()


@pytest.mark.parametrize("m", [2, 3])
def test_value_and_derivative(m):
    law, p = random_law(m), lower_half_plane(m)
    equation = MatrixEquation(law)

    def value(p):
        a = law.factors @ np.linalg.inv(p + law.factors) @ p
        return np.tensordot(law.weights, a, 1) - p / law.aspect_ratio

    at = equation.evaluate(p)
    np.testing.assert_allclose(at.value, value(p), atol=1e-12)
    direction = np.random.default_rng(2).standard_normal((m, m))
    direction += direction.T
    step = 1e-6
    numeric = (value(p + step * direction) - value(p - step * direction)) / (2 * step)
    exact = (at.derivative @ direction.reshape(-1)).reshape(m, m)
    np.testing.assert_allclose(exact, numeric, atol=1e-7)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_many_at_once_are_each_as_alone(m):
    equation = MatrixEquation(random_law(m))
    p = np.array([lower_half_plane(m, seed) for seed in range(4)])
    together = equation.evaluate(p)
    for i in range(4):
        alone = equation.evaluate(p[i])
        np.testing.assert_allclose(together.value[i], alone.value, atol=1e-13)
        np.testing.assert_allclose(together.derivative[i], alone.derivative, atol=1e-13)
        np.testing.assert_allclose(together.mean[i], alone.mean, atol=1e-13)
        np.testing.assert_allclose(together.pivots[:, i], alone.pivots, atol=1e-12)
