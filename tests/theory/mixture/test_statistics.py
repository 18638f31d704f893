import numpy as np
import pytest

from spectrain.theory.mixture.statistics import Statistics


@pytest.mark.parametrize(
    ("gram", "said"),
    [
        (np.ones((2, 3)), "gram: expected a square matrix"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "expected finite numbers"),
        (np.array([[1.0, 0.5], [0.4, 1.0]]), "gram: expected a symmetric matrix"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "positive semidefinite"),
    ],
)
def test_a_bad_gram_matrix_is_refused_by_name(gram, said):
    with pytest.raises(ValueError, match=said):
        Statistics(gram)


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="parameters"):
        Statistics(np.eye(2), np.array([np.inf]))


def test_rounding_errors_of_float32_are_no_reason_to_refuse():
    x = np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32)
    Statistics((x @ x.T).astype(np.float64))
