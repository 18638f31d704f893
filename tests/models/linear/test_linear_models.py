"""Linear models: outputs, gradients, Hessians, and descent in the kernel's own space."""

import pytest
import torch
from torch import nn

from spectrain.models.linear.kernel import KernelRegression
from spectrain.models.linear.regression import LinearRegression, RandomFeatures


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_gradient_of_the_mean_square_is_twice_the_theorys():
    x, y = torch.randn(7, 5, generator=generator()), torch.randn(7, generator=generator(1))
    model = LinearRegression(5)
    assert model.weight.abs().sum() == 0
    nn.init.normal_(model.weight, generator=generator(2))
    nn.MSELoss()(model(x), y).backward()
    theorys = x.T @ (x @ model.weight.detach() - y) / 7
    torch.testing.assert_close(model.weight.grad, 2 * theorys)


def test_random_features_are_a_fixed_projection():
    model = RandomFeatures(300, 200, generator(), torch.float64)
    assert [name for name, _ in model.named_parameters()] == ["weight"]
    f = model.projection
    assert float((f**2).mean()) == pytest.approx(1 / 200, rel=5 * (2 / f.numel()) ** 0.5)
    x = torch.randn(4, 300, generator=generator(1), dtype=torch.float64)
    nn.init.normal_(model.weight, generator=generator(2))
    torch.testing.assert_close(model(x), x @ f @ model.weight)
    again = RandomFeatures(300, 200, generator(), torch.float64)
    torch.testing.assert_close(again.projection, f, rtol=0, atol=0)


def test_descent_on_the_kernels_weights_is_descent_in_its_feature_space():
    """f <- f - lr (2/P) K (f - y) at the training points, and k(x, X) K^-1 f elsewhere."""
    x = torch.randn(20, 3, generator=generator(), dtype=torch.float64)
    y = torch.randn(20, generator=generator(1), dtype=torch.float64)

    def kernel(a, b):
        return torch.exp(-(torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") ** 2))

    model = KernelRegression(kernel, x)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.4)
    matrix = kernel(x, x)
    f = torch.zeros(20, dtype=torch.float64)
    for _ in range(30):
        optimiser.zero_grad()
        nn.MSELoss()(model(x), y).backward()
        optimiser.step()
        f = f - 0.4 * 2 / 20 * matrix @ (f - y)
    torch.testing.assert_close(model(x), f)
    new = torch.randn(6, 3, generator=generator(2), dtype=torch.float64)
    torch.testing.assert_close(model(new), kernel(new, x) @ torch.linalg.solve(matrix, f))
    hessian = 2 * model.features(x).T @ model.features(x) / 20
    torch.testing.assert_close(
        torch.linalg.eigvalsh(hessian.detach()), torch.linalg.eigvalsh(2 * matrix / 20)
    )


def test_bad_models_are_named():
    with pytest.raises(ValueError, match=r"^dimension: expected"):
        LinearRegression(0)
    with pytest.raises(ValueError, match=r"^features: expected"):
        RandomFeatures(3, 0, generator())
    points = torch.randn(4, 2, generator=generator())
    with pytest.raises(ValueError, match=r"^kernel: expected a symmetric"):
        KernelRegression(lambda a, b: (a @ b.T).cumsum(0), points)
    with pytest.raises(ValueError, match=r"^kernel: expected no negative"):
        KernelRegression(lambda a, b: -(a @ b.T), points)
