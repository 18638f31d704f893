"""Modes of modules, dtypes of copies, and operators whose parameters have changed."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from spectrain.models.softmax_regression import SoftmaxRegression
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import (
    CovarianceOperator,
    GaussNewtonOperator,
    HessianOperator,
    InformationOperator,
)
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe

ALL = Block("all")
CE = functional.cross_entropy
QUICK = Measurement(density=False)
OPERATORS = [HessianOperator, GaussNewtonOperator, InformationOperator, CovarianceOperator]


def data(dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    return 2 + 3 * torch.randn(24, 4, generator=g, dtype=dtype), torch.randint(
        3, (24,), generator=g
    )


def normed():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
    return body.double()


def dense_hessian(model, value):
    parameters = [p for p in model.parameters() if p.requires_grad]
    slope = torch.autograd.grad(value, parameters, create_graph=True)
    flat = torch.cat([part.reshape(-1) for part in slope])
    rows = [torch.autograd.grad(entry, parameters, retain_graph=True) for entry in flat]
    return torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])


@pytest.mark.parametrize("memory", [2**30, 200])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_batch_norm_is_measured_in_either_mode(mode, memory):
    model = normed()
    twin = copy.deepcopy(model).train(mode == "train")
    expected = dense_hessian(twin, CE(twin(data()[0]), data()[1]))
    state = copy.deepcopy(model.state_dict())
    for training in (True, False):
        model.train(training)
        operator = HessianOperator(model, CE, data(), ALL, mode=mode, memory=memory)
        torch.testing.assert_close(operator.dense(), expected, rtol=1e-9, atol=1e-11)
        assert all(part.training is training for part in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])
    record = SpectralProbe(model, CE, data(), mode=mode, measurement=QUICK)(0)
    assert record.failure == ""
    assert record.mode == mode
    assert record.measured.loss == pytest.approx(float(CE(twin(data()[0]), data()[1]).detach()))
    top = float(torch.linalg.eigvalsh(expected)[-1])
    assert record.measured.spectrum("hessian", "all").top[0].value == pytest.approx(top, rel=1e-5)


def test_the_modes_of_the_training_are_kept():
    """Batch norm that is frozen in a model that trains is measured as frozen."""
    model = normed().train()
    model[1].eval()
    expected = dense_hessian(model, CE(model(data()[0]), data()[1]))
    found = HessianOperator(model, CE, data(), ALL, mode="train").dense()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    assert [part.training for part in model] == [True, False, True, True]


@pytest.mark.parametrize("strategy", ["kept graph", "rebuilt graph", "rebuilt graph, vmap"])
@pytest.mark.parametrize("kind", OPERATORS)
def test_dropout_drops_the_same_throughout(kind, strategy):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3)).double()
    state = torch.get_rng_state()
    operator = kind(model, CE, data(), ALL, mode="train", strategy=strategy)
    matrix = operator.dense()
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(matrix, matrix.mT)
    assert torch.equal(operator.dense(), matrix)
    plain = kind(model, CE, data(), ALL).dense()
    assert (matrix - plain).norm() > 0.01 * plain.norm()
    if kind is HessianOperator:
        expected = dense_hessian(model.train(), CE(model(data()[0]), data()[1]))
        torch.testing.assert_close(matrix, expected, rtol=1e-9, atol=1e-11)


def test_dropout_of_a_probe_follows_from_seed_and_step():
    model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Linear(5, 3)).double()
    probe = SpectralProbe(model, CE, data(), mode="train", measurement=QUICK)
    tops = []
    for seed, step in ((1, 0), (2, 0), (3, 1)):
        torch.manual_seed(seed)
        tops.append(probe(step).measured.spectra[0].top[0].value)
    assert tops[0] == tops[1] != tops[2]


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_measured_in_copies(kind, half):
    model = normed().to(half)
    model[1].float()  # mixed
    inputs = data(torch.float32)[0].to(half)
    twin = copy.deepcopy(model).double()
    expected = kind(twin, CE, (inputs.double(), data()[1]), ALL).dense()
    found = kind(model, CE, (inputs, data()[1]), ALL, dtype=torch.float32)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.dense().double(), expected, rtol=1e-3, atol=1e-5)
    exact = kind(model, CE, (inputs, data()[1]), ALL, dtype=torch.float64).dense()
    torch.testing.assert_close(exact, expected, rtol=1e-12, atol=1e-12)
    assert model[0].weight.dtype == half


def test_a_probe_measures_half_precision_in_copies():
    model = normed().bfloat16()
    inputs, targets = data(torch.bfloat16)
    before = copy.deepcopy(model.state_dict())
    probe = SpectralProbe(model, CE, (inputs, targets), dtype=torch.float32, measurement=QUICK)
    records = [probe(0), probe(1)]
    assert [record.failure for record in records] == ["", ""]
    twin = copy.deepcopy(model).float().eval()
    expected = dense_hessian(twin, CE(twin(inputs.float()), targets))
    top = float(torch.linalg.eigvalsh(expected)[-1])
    for record in records:
        found = record.measured.spectrum("hessian", "all").top[0].value
        assert found == pytest.approx(top, rel=1e-3)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.get_default_dtype() == torch.float32
    with pytest.raises(ValueError, match="dtype: expected float32 or float64"):
        SpectralProbe(model, CE, (inputs, targets), dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="mode: expected 'eval' or 'train'"):
        SpectralProbe(model, CE, (inputs, targets), dtype=torch.float32, mode="both")


def test_a_penalty_is_in_the_hessian_of_a_head_model():
    torch.manual_seed(0)
    model = SoftmaxRegression(4, 3).double()
    matrices = []
    for size in (0.0, 0.15):

        def loss(o, t, size=size):
            return CE(o, t) + size * sum(p.square().sum() for p in model.parameters())

        probe = SpectralProbe(model, loss, data(), blocks=[ALL], measurement=QUICK)
        matrices.append(probe(0).measured.spectrum("hessian", "all").top[0].value)
    assert matrices[1] - matrices[0] == pytest.approx(0.3, rel=1e-6)
    small = SpectralProbe(
        *(model, lambda o, t: CE(o, t) + 1e-6 * sum(p.square().sum() for p in model.parameters())),
        data(),
        measurement=QUICK,
    )
    assert small(0).operator == "autograd"  # with a penalty no gradients of samples
    assert SpectralProbe(model, CE, data(), measurement=QUICK)(0).operator == "head"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("frozen", [False, True])
def test_parameters_that_were_written_to_through_data(dtype, frozen):
    model = normed().to(dtype)
    model[3].requires_grad_(not frozen)
    operator = HessianOperator(model, CE, data(dtype), ALL)
    panel = torch.ones(operator.size, 1, dtype=dtype)
    operator @ panel
    weight = model[3].weight
    kept = weight.data.clone()
    for change in (
        lambda: weight.data.view(-1)[3].mul_(1 + 2 * torch.finfo(dtype).eps),
        lambda: weight.data.copy_(kept.flip(0)),
        lambda: setattr(weight, "data", kept + 1),
    ):
        change()
        with pytest.raises(ValueError, match="got changed ones"):
            operator @ panel
        weight.data = kept.clone()
        operator @ panel


def test_the_block_of_all_parameters_follows_the_model():
    model = normed().float()
    model[0].requires_grad_(False)
    probe = SpectralProbe(model, CE, data(torch.float32), measurement=QUICK)
    sizes = [probe(0).measured.spectra[0].size]
    model[0].requires_grad_(True)
    sizes.append(probe(1).measured.spectra[0].size)
    model.append(nn.Linear(3, 3))
    sizes.append(probe(2).measured.spectra[0].size)
    assert sizes == [28, 53, 65]
