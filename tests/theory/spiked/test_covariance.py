import math
import re

import numpy as np
import pytest
from numpy.polynomial import Polynomial

from spectrain.theory.spiked.covariance import Covariance

CASES = [(0.5, 2.0, 3), (0.5, None, 3), (None, 2.0, 3), (0.7, 1.3, 4), (0.7, 1.3, 6)]


@pytest.mark.parametrize("case", CASES)
def test_derivatives_are_those_of_the_polynomial(case):
    matrix_noise, tensor_noise, p = case
    coefficients = np.zeros(p + 1)
    coefficients[2] = 1 / (2 * matrix_noise) if matrix_noise else 0
    coefficients[p] = 1 / (p * tensor_noise) if tensor_noise else 0
    q, points = Polynomial(coefficients), np.linspace(-1, 1, 7)
    covariance = Covariance(*case)
    parts = (covariance.value, covariance.slope, covariance.curvature, covariance.third)
    for order, part in enumerate(parts):
        expected = q.deriv(order)(points) if order else q(points)
        np.testing.assert_allclose(part(points), expected, rtol=1e-13, atol=1e-14)
        assert part(0.3) == pytest.approx(part(np.array([0.3]))[0])
    assert covariance.sigma == pytest.approx(math.sqrt(q.deriv(2)(1.0)))
    assert covariance.multiplier_variance == pytest.approx(q.deriv(1)(1.0) + q.deriv(2)(1.0))
    assert covariance.edges(3.0) == (3 - 2 * covariance.sigma, 3 + 2 * covariance.sigma)
    assert covariance.homogeneous == (None in case)
    assert covariance.degree == (p if tensor_noise else 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0), "matrix_noise: expected a positive number or None, got 0.0"),
        ((1.0, -1.0), "tensor_noise: expected a positive number or None, got -1.0"),
        ((math.inf, 1.0), "matrix_noise: expected a positive number or None, got inf"),
        ((1e-300, 1.0), "matrix_noise: expected a number from 1e-50 to 1e+50, got 1e-300"),
        ((None, 1e300), "tensor_noise: expected a number from 1e-50 to 1e+50, got 1e+300"),
        ((None, None), "matrix_noise, tensor_noise: expected at least one, got None for both"),
        ((1.0, 1.0, 2), "order: expected an integer of at least 3, got 2"),
        ((1.0, 1.0, 3.5), "order: expected a whole number, got 3.5"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Covariance(*arguments)
