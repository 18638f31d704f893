import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from spectrain.models.softmax_regression import SoftmaxRegression
from spectrain.probes.crosscheck import crosscheck
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import HessianOperator


def batch(dtype, size=60, features=12):
    g = torch.Generator().manual_seed(2)
    inputs = torch.randn(size, features, dtype=dtype, generator=g)
    return inputs, torch.randint(3, (size,), generator=g)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("features", [12, 200])
def test_two_libraries_agree(generator, dtype, features):
    # 200 features: 600 parameters, more than are formed densely, so the trace is a mean.
    data = batch(dtype, features=features)
    model = SoftmaxRegression(features, 3, 0.5, generator, dtype=dtype)
    result = crosscheck(model, functional.cross_entropy, *data, generator)
    operator = HessianOperator(model, functional.cross_entropy, data, Block("all"))
    exact = torch.linalg.eigvalsh((operator @ torch.eye(operator.size, dtype=dtype)).double())
    assert result.size == 3 * features
    assert result.eigenvalue == pytest.approx(float(exact[-1]), rel=1e-4)
    assert abs(result.eigenvalue_difference) < 0.01
    assert result.trace == pytest.approx(float(exact.sum()), abs=5 * result.trace_error + 1e-5)
    assert (result.trace_error == 0) == (features == 12)
    spread = math.hypot(result.trace_error, result.reference_trace_error)
    assert abs(result.reference_trace - result.trace) < 5 * spread


def test_negative_curvature_and_named_inputs(generator):
    class Saddle(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([0.1, 0.2]))

        def forward(self, x):
            return self.weight * x

    def loss(outputs, _):
        return (outputs[:, 0].square() - 3 * outputs[:, 1].square()).mean()

    result = crosscheck(Saddle(), loss, {"x": torch.ones(4, 2)}, None, generator)
    assert result.eigenvalue == pytest.approx(-6)
    assert result.reference_eigenvalue == pytest.approx(-6, rel=1e-3)
    assert result.trace == pytest.approx(-4)
    assert result.reference_trace == pytest.approx(-4, rel=1e-3)


def test_text_names_both(generator):
    model = SoftmaxRegression(12, 3, 0.5, generator)
    text = crosscheck(
        model, functional.cross_entropy, *batch(torch.float32), generator, draws=4
    ).text()
    assert "Hessian of 36 parameters" in text
    assert text.count("ours") == text.count("PyHessian") == text.count("%") == 2


def test_same_generator_same_numbers():
    model = SoftmaxRegression(12, 3)
    runs = [
        crosscheck(
            model,
            functional.cross_entropy,
            *batch(torch.float32),
            torch.Generator().manual_seed(4),
            draws=4,
        )
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_too_few_draws(generator):
    with pytest.raises(ValueError, match="draws: expected at least 2, got 1"):
        crosscheck(
            SoftmaxRegression(12, 3), functional.cross_entropy, *batch(torch.float32), generator, 1
        )
