import math

import pytest
import torch
from torch.func import functional_call, grad, hessian, vmap

from spectrain.models.logistic_regression import LogisticRegression
from spectrain.models.mixture import GaussianMixture
from spectrain.models.softmax_regression import SoftmaxRegression
from spectrain.models.two_layer import TwoLayerNetwork
from spectrain.probes.curvature import head_curvature as module
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.head_curvature import HeadCurvature, head_curvature
from spectrain.probes.curvature.module_curvature import HessianOperator, InformationOperator
from spectrain.probes.krylov.density import resolvent_traces
from spectrain.probes.krylov.eigenpairs import extreme_eigenpairs
from spectrain.probes.krylov.krylov_space import krylov_space

# torch.func.hessian, the oracle, loads deprecated parts of torch.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

D, N = 7, 40


def models(dtype):
    g = torch.Generator().manual_seed(1)
    return [
        SoftmaxRegression(D, 3, 2.0, g, dtype=dtype),
        TwoLayerNetwork(D, [1.0, -0.5, 2.0], "gelu", 2.0, g, dtype=dtype),
        TwoLayerNetwork(
            D,
            [[1.0, -0.5, 2.0], [0.3, 0.7, -1.0]],
            "tanh",
            2.0,
            g,
            dtype=dtype,
            loss="softmax",
            hidden_bias=(0.2, -0.4, 0.1),
            output_bias=(0.5, -0.5),
        ),
        TwoLayerNetwork(D, [1.0, -0.5, 2.0], "silu", 2.0, g, dtype=dtype, loss="squared"),
    ]


def batch(generator, dtype, labels=2):
    inputs = torch.randn(N, D, dtype=dtype, generator=generator)
    return inputs, torch.randint(labels, (N,), generator=generator)


def oracle(model, inputs, targets, matrix, rows):
    """The whole matrix of the direction parameter by automatic differentiation, then its rows."""

    def loss(weight, x, y):
        parameters = {**dict(model.named_parameters()), model.direction_name: weight}
        return model.head.criterion(functional_call(model, parameters, (x,)), y)

    weight = getattr(model, model.direction_name).detach()
    if matrix == "hessian":
        full = hessian(loss)(weight, inputs, targets).reshape(weight.numel(), -1)
    else:
        single = vmap(grad(loss), in_dims=(None, 0, 0))(weight, inputs[:, None], targets[:, None])
        single = single.flatten(1)
        full = single.T @ single / len(single)
    index = torch.arange(weight.numel()).view_as(weight)[list(rows)].flatten()
    return full[index][:, index].detach()


def dense(operator):
    eye = torch.eye(operator.size, dtype=operator.dtype)
    return operator @ eye.expand(*operator.batch, -1, -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("rows", [[(0,), (2,)], [(0, 1), (2, 0)], [(0, 1, 2)]])
def test_head_module_and_oracle_agree(generator, dtype, index, rows):
    model = models(dtype)[index]
    inputs, targets = batch(generator, dtype)
    selections = [(matrix, part) for part in rows for matrix in ("hessian", "information")]
    operator = head_curvature(model, inputs, targets, selections)
    assert operator.batch == (len(selections),)
    assert operator.size == len(rows[0]) * D
    kinds = {"hessian": HessianOperator, "information": InformationOperator}
    for product, (matrix, part) in zip(dense(operator), selections, strict=True):
        block = Block("rows", (model.direction_name,), part)
        general = kinds[matrix](model, model.head.criterion, (inputs, targets), block)
        exact = oracle(model, inputs, targets, matrix, part)
        accuracy = 200 * torch.finfo(dtype).eps * exact.abs().max().item()
        torch.testing.assert_close(product, exact, atol=accuracy, rtol=0)
        torch.testing.assert_close(dense(general), exact, atol=accuracy, rtol=0)


@pytest.mark.parametrize("rows", [[(0,), (2,)], [(0, 1), (2, 0)], [(0, 1, 2)]])
def test_the_matrix_is_formed_as_its_products_have_it(generator, rows):
    model = models(torch.float64)[0]
    inputs, targets = batch(generator, torch.float64, labels=3)
    selections = [("hessian", chosen) for chosen in rows] + [("information", rows[0])]
    operator = head_curvature(model, inputs, targets, selections)
    torch.testing.assert_close(operator.dense(), dense(operator), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_direction_is_a_block(generator, dtype):
    """H = E[p (1 - p) Y Y^T] and E[(p - y)^2 Y Y^T] on the sample, for logistic regression."""
    model = LogisticRegression(D, 2.0, generator, dtype)
    inputs, targets = batch(generator, dtype)
    p = torch.sigmoid(model(inputs)).detach()
    operator = head_curvature(model, inputs, targets, [("hessian", ()), ("information", (0,))])
    for product, weights in zip(dense(operator), (p * (1 - p), (p - targets) ** 2), strict=True):
        expected = inputs.T @ (weights[:, None] * inputs) / N
        accuracy = 200 * torch.finfo(dtype).eps * expected.abs().max().item()
        torch.testing.assert_close(product, expected, atol=accuracy, rtol=0)


def test_no_rows_means_all(generator):
    model = models(torch.float64)[0]
    data = batch(generator, torch.float64, 3)
    every = head_curvature(model, *data, [("hessian", ())])
    named = head_curvature(model, *data, [("hessian", (0, 1, 2))])
    assert torch.equal(dense(every), dense(named))


def test_softmax_hessian_has_its_null_directions(generator):
    # Adding the same vector to all rows changes no probability: d zero eigenvalues.
    model = models(torch.float64)[0]
    operator = head_curvature(model, *batch(generator, torch.float64, 3), [("hessian", ())])
    shift = torch.eye(D, dtype=torch.float64).repeat(3, 1)[None]
    assert (operator @ shift).abs().max() < 1e-14


def test_chunks_do_not_matter(generator, monkeypatch):
    model = models(torch.float64)[1]
    operator = head_curvature(model, *batch(generator, torch.float64), [("hessian", ())] * 2)
    panel = torch.randn(2, operator.size, 4, dtype=torch.float64, generator=generator)
    whole = operator @ panel
    monkeypatch.setattr(module, "_SAMPLES", 7)
    torch.testing.assert_close(operator @ panel, whole, atol=1e-14, rtol=0)


def test_products_are_symmetric(generator):
    model = models(torch.float64)[1]
    operator = head_curvature(model, *batch(generator, torch.float64), [("information", ())])
    a, b = torch.randn(2, 1, operator.size, 3, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(a.mT @ (operator @ b), (operator @ a).mT @ b)


def test_traces(generator):
    model = models(torch.float64)[1]
    selections = [("hessian", (0, 1)), ("information", (2, 1))]
    operator = head_curvature(model, *batch(generator, torch.float64), selections)
    expected = dense(operator).diagonal(dim1=1, dim2=2).sum(-1)
    torch.testing.assert_close(operator.traces(), expected)


def test_information_at_the_origin_in_closed_form(generator):
    # Every gradient factor is 1/C - [own class], so D is (1 - 1/C)^2 or 1/C^2.
    model = SoftmaxRegression(D, 3, dtype=torch.float64)
    inputs, targets = batch(generator, torch.float64, 3)
    weights = torch.where(targets == 1, 4 / 9, 1 / 9).double()
    expected = inputs.T @ (weights[:, None] * inputs) / N
    product = dense(head_curvature(model, inputs, targets, [("information", (1,))]))[0]
    torch.testing.assert_close(product, expected)


def test_sampling_errors_are_the_spread_over_samples():
    # 100 dimensions, 4 n / d; two well separated outliers. The s.d. of 80 draws is known to 8 %.
    generator = torch.Generator().manual_seed(5)
    means = torch.zeros(2, 100, dtype=torch.float64)
    means[0, 0], means[1, 1] = 2.0, 1.2
    mixture = GaussianMixture(means, (0.5, 0.5), (0, 1), 6.0)
    model = SoftmaxRegression(100, 2, 0.3, generator, dtype=torch.float64)
    values, errors = [], []
    for _ in range(80):
        inputs, targets = mixture.sample(400, generator)
        operator = head_curvature(model, inputs, targets, [("hessian", (0,))])
        krylov = krylov_space(operator, 2, 0, generator=generator)
        pairs = extreme_eigenpairs(operator, krylov, 2, 0)
        values.append(pairs.values[0])
        resolvent = resolvent_traces(krylov, pairs.values)
        errors.append(operator.sampling_errors(pairs.vectors, resolvent)[0])
    ratio = torch.stack(errors).mean(0) / torch.stack(values).std(0)
    assert (ratio > 0.75).all()
    assert (ratio < 1.35).all()


@pytest.mark.parametrize(
    ("inputs", "factors", "message"),
    [
        (torch.zeros(3), torch.zeros(1, 3, 1, 1), "inputs: expected shape"),
        (torch.zeros(0, 3), torch.zeros(1, 0, 1, 1), "inputs: expected shape"),
        (torch.zeros(3, 2), torch.zeros(1, 2, 1, 1), "factors: expected shape"),
        (torch.zeros(3, 2), torch.zeros(1, 3, 1, 2), "factors: expected shape"),
        (torch.full((3, 2), math.nan), torch.zeros(1, 3, 1, 1), "finite"),
        (torch.zeros(3, 2), torch.full((1, 3, 1, 1), math.inf), "finite"),
    ],
)
def test_bad_factors(inputs, factors, message):
    with pytest.raises(ValueError, match=message):
        HeadCurvature(inputs, factors)


@pytest.mark.parametrize(
    "selections", [[], [("hessian", (0,)), ("hessian", (0, 1))], [("hessian", (3,))]]
)
def test_bad_selections(generator, selections):
    model = models(torch.float64)[0]
    with pytest.raises(ValueError, match="selections"):
        head_curvature(model, *batch(generator, torch.float64), selections)


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (torch.zeros(4, D + 1), torch.zeros(4).long(), "inputs: expected torch.float32 of shape"),
        (torch.zeros(4, D).double(), torch.zeros(4).long(), "inputs: expected torch.float32"),
        (torch.zeros(4, D), torch.zeros(3).long(), "targets: expected one for each"),
        (torch.zeros(0, D), torch.zeros(0).long(), "targets: expected one for each of n >= 1"),
    ],
)
def test_batch_that_does_not_fit(inputs, targets, message):
    with pytest.raises(ValueError, match=message):
        head_curvature(models(torch.float32)[0], inputs, targets, [("hessian", ())])


def test_model_without_a_head(generator):
    with pytest.raises(ValueError, match="model: expected a HeadModel, got Linear"):
        head_curvature(torch.nn.Linear(D, 3), *batch(generator, torch.float32), [("hessian", ())])
