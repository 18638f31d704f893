import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh
from torch import nn
from torch.nn import functional

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import HessianOperator
from spectrain.probes.curvature.scipy_view import as_linear_operator


def test_eigsh_finds_the_prescribed_eigenvalues(with_spectrum):
    spectrum = np.concatenate([np.linspace(0, 1, 60), [3.0, 5.0, -2.0]])
    view = as_linear_operator(with_spectrum(spectrum))
    top = eigsh(view, k=2, which="LA", return_eigenvectors=False)
    bottom = eigsh(view, k=1, which="SA", return_eigenvectors=False)
    np.testing.assert_allclose(sorted(top), [3, 5], rtol=1e-10)
    np.testing.assert_allclose(bottom, [-2], rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_of_vectors_and_panels(dtype):
    torch.manual_seed(0)
    model = nn.Linear(4, 3, dtype=dtype)
    data = torch.randn(7, 4, dtype=dtype), torch.randint(3, (7,))
    operator = HessianOperator(model, functional.cross_entropy, data, Block("all"))
    view = as_linear_operator(operator)
    panel = torch.randn(15, 2, dtype=dtype)
    expected = (operator @ panel).numpy()
    assert view.dtype == expected.dtype
    np.testing.assert_array_equal(view @ panel.numpy(), expected)
    np.testing.assert_array_equal(view.H @ panel.numpy(), expected)
    for vector in (panel.numpy()[:, 0], panel.numpy()[:, :1]):
        np.testing.assert_allclose(
            view.matvec(vector).ravel(), expected[:, 0], rtol=1e-3, atol=1e-6
        )


def test_a_batch_of_matrices_is_refused(with_spectrum):
    with pytest.raises(ValueError, match=r"operator: expected one matrix, got a batch \(2,\)"):
        as_linear_operator(with_spectrum([[1.0, 2.0], [3.0, 4.0]]))
