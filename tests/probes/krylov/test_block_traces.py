"""Traces of all blocks from products with the whole matrix."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from torch import nn

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import HessianOperator
from spectrain.probes.krylov.block_traces import block_traces
from spectrain.probes.krylov.trace import trace

SIZES = (10, 16, 12, 8, 4)
LAYERS = ((0, 1), (2, 3), (4, 5), (6, 7))


@pytest.fixture
def hessian(dense_operator, generator):
    """Of a network of four layers after some training, formed; and its layers' own matrices."""
    torch.manual_seed(0)
    pairs = pairwise(SIZES)
    layers = [part for pair in pairs for part in (nn.Linear(*pair), nn.Tanh())]
    model = nn.Sequential(*layers[:-1]).double()
    inputs = torch.randn(100, SIZES[0], dtype=torch.float64, generator=generator)
    targets = inputs[:, : SIZES[-1]].argmax(1)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimiser.step()
    formed = HessianOperator(model, nn.CrossEntropyLoss(), (inputs, targets), Block("all"))
    matrix = formed.dense()
    operator = type("Shaped", (dense_operator,), {"shapes": formed.shapes})(matrix)
    ends = np.cumsum([(before + 1) * after for before, after in pairwise(SIZES)])
    parts = [slice(low, high) for low, high in zip([0, *ends[:-1]], ends, strict=True)]
    return operator, [matrix[part, part] for part in parts]


@pytest.mark.parametrize("products", [6, 24])
def test_standard_errors_cover_as_they_claim(hessian, products):
    """In 200 runs, within 4 deviations of the binomial, and without bias; traces and shares."""
    operator, own = hessian
    truth = np.array([float(part.trace()) for part in own])
    total = truth.sum()
    found = [
        block_traces(operator, LAYERS, products, torch.Generator().manual_seed(seed))
        for seed in range(200)
    ]
    traces = [(each.value - truth, each.error) for each in found]
    shares = [(each.shares[0] - truth / total, each.shares[1]) for each in found]
    for pairs in (traces, shares):
        deviation, errors = np.array(pairs).transpose(1, 0, 2)
        assert errors.shape == (200, 4)
        for level in (0.68, 0.95):
            inside = np.abs(deviation) <= student.ppf((1 + level) / 2, found[0].degrees) * errors
            assert (np.abs(inside.mean(0) - level) < 4 * (level * (1 - level) / 200) ** 0.5).all()
        assert (np.abs(deviation.mean(0)) < 4 * deviation.std(0) / 200**0.5).all()


def test_half_of_the_products_of_each_layer_alone_are_enough(hessian, dense_operator):
    """Mean square errors of all traces together; four layers with 8 each are twice as many.

    The ratio was .61 in 60 runs: a mean of so many squares is within a tenth of the truth.
    """
    operator, own = hessian
    together, apart = np.zeros((2, 60, 4))
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        together[seed] = block_traces(operator, LAYERS, 16, generator).value
        apart[seed] = [float(trace(dense_operator(part), 8, generator).value) for part in own]
    truth = np.array([float(part.trace()) for part in own])
    squares = [np.square(each - truth).mean() for each in (together, apart)]
    assert squares[0] < squares[1]


def test_exact_with_as_many_products_as_rows(hessian, generator):
    operator, own = hessian
    found = block_traces(operator, [*LAYERS, (6,)], operator.size, generator)
    np.testing.assert_allclose(found.value[:4], [float(part.trace()) for part in own], rtol=1e-12)
    weights = SIZES[3] * SIZES[4]
    assert found.value[4] == pytest.approx(float(own[3].diagonal()[:weights].sum()))
    assert not found.error.any()
    assert found.products == operator.size


@pytest.mark.parametrize("products", [2, 7, 8, 50])
def test_products_are_counted(hessian, generator, products):
    operator, _ = hessian
    assert block_traces(operator, LAYERS, products, generator).products == products
    assert operator.columns == products


def test_bad_input_is_refused(hessian, dense_operator, generator):
    operator, _ = hessian
    with pytest.raises(ValueError, match="products: expected at least 2, got 1"):
        block_traces(operator, LAYERS, 1, generator)
    for wrong in ((), (8,), (-1,)):
        with pytest.raises(ValueError, match="blocks: expected places of the 8 parameters"):
            block_traces(operator, [wrong], 8, generator)
    with pytest.raises(ValueError, match="operator: expected a single matrix, got a batch"):
        block_traces(dense_operator(torch.ones(2, 5, 5)), [(0,)], 8, generator)
    for products in (4, 16, 90):
        with pytest.raises(ValueError, match="operator: expected finite products, got NaN"):
            block_traces(
                dense_operator(torch.full((90, 90), torch.nan)), [(0,)], products, generator
            )
