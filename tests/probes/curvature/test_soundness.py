"""What is no second derivative, or misses a part of one, is refused or said."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from spectrain.probes.compat import hessian
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


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def data(dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    return torch.randn(20, 4, generator=g, dtype=dtype), torch.randint(3, (20,), generator=g)


def network(dtype=torch.float64):
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def differences(model, loss, batch, step=1e-5):
    """The Hessian from central differences of the gradient: no second derivative is taken."""
    parameters = [p for p in model.parameters() if p.requires_grad]

    def slope():
        value = loss(model(batch[0]), batch[1])
        found = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
        return torch.cat([part.reshape(-1) for part in found])

    columns = []
    with torch.no_grad():
        for parameter in parameters:
            flat = parameter.view(-1)
            for i in range(len(flat)):
                kept = flat[i].clone()
                ends = []
                for sign in (1, -1):
                    flat[i] = kept + sign * step
                    with torch.enable_grad():
                        ends.append(slope())
                flat[i] = kept
                columns.append((ends[0] - ends[1]) / (2 * step))
    return torch.stack(columns, 1)


@pytest.mark.parametrize("dim", [0, 1, -1, None])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
def test_weight_norm_has_its_second_derivative(dim, old):
    norm = nn.utils.weight_norm if old else nn.utils.parametrizations.weight_norm
    model = nn.Sequential(norm(nn.Linear(4, 5, dtype=torch.float64), dim=dim), nn.Tanh())
    model.append(nn.Linear(5, 3, dtype=torch.float64))
    found = HessianOperator(model, CE, data(), ALL).dense()
    torch.testing.assert_close(found, differences(model, CE, data()), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found, found.mT, rtol=1e-10, atol=1e-12)


def test_a_sparse_embedding_is_measured_as_a_dense_one():
    ids = torch.randint(4, (20,))
    found = []
    for sparse in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(4, 5, sparse=sparse), nn.Tanh(), nn.Linear(5, 3))
        found.append(InformationOperator(model, CE, (ids, data()[1]), ALL).dense())
        HessianOperator(model, CE, (ids, data()[1]), ALL)
    assert torch.equal(*found)


class Frozen(torch.autograd.Function):
    """exp(x) y, whose derivative in y keeps exp(x) as a number."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        ctx.grown = x.detach().exp()
        return x.exp() * y

    @staticmethod
    def backward(ctx, slope):
        x, y = ctx.saved_tensors
        return slope * x.exp() * y, slope * ctx.grown


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right, self.head = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(Frozen.apply(self.left(x), self.right(x)))


def test_an_asymmetric_second_derivative_is_refused_with_its_size():
    model = nn.Sequential(nn.Embedding(4, 5, scale_grad_by_freq=True), nn.Tanh(), nn.Linear(5, 3))
    ids = torch.randint(4, (20,))
    with pytest.raises(
        ValueError, match=r"symmetric matrix in block 'all', got .* 0\.\d+ of their"
    ):
        HessianOperator(model, CE, (ids, data()[1]), ALL)
    for dtype in (torch.float32, torch.float64):
        with pytest.raises(ValueError, match="symmetric matrix"):
            HessianOperator(Gated().to(dtype), CE, data(dtype), ALL)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "kind", [HessianOperator, GaussNewtonOperator, InformationOperator, CovarianceOperator]
)
def test_right_products_are_symmetric_enough(kind, dtype):
    kind(network(dtype), CE, data(dtype), ALL)


def test_a_second_derivative_that_is_not_finite_is_refused():
    model = nn.Linear(4, 3, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    with pytest.raises(ValueError, match="finite second derivative"):
        HessianOperator(model, lambda o, t: o.norm(), data(), ALL)


class Behind(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.first, self.last, self.reentrant = network(), nn.Linear(3, 3).double(), reentrant

    def forward(self, x):
        x = x.clone().requires_grad_()
        return self.last(checkpoint(self.first, x, use_reentrant=self.reentrant))


@pytest.mark.parametrize("kind", [HessianOperator, GaussNewtonOperator, InformationOperator])
def test_parameters_behind_reentrant_checkpoints_are_not_counted_as_zero(kind):
    with pytest.raises(ValueError, match=r"got first\.0\.weight, first.* use_reentrant=True"):
        kind(Behind(True), CE, data(), ALL)
    kind(Behind(False), CE, data(), ALL)


def test_parameters_without_a_gradient_path_are_named():
    model = network()
    model.spare = nn.Linear(2, 2, dtype=torch.float64)
    model.forward = lambda x: model[2](model[1](model[0](x)))
    with pytest.warns(RuntimeWarning, match=r"reaches spare\.weight, spare\.bias: .* 0"):
        operator = HessianOperator(model, CE, data(), ALL)
    assert operator.unreached == ("spare.weight", "spare.bias")
    probe = SpectralProbe(model, CE, data(), measurement=QUICK)
    with pytest.warns(RuntimeWarning, match="no gradient of the loss reaches"):
        record = probe(0)
    assert record.unreached == ("spare.weight", "spare.bias")
    assert probe(1).unreached == record.unreached  # without a second warning


def test_a_penalty_on_the_parameters_is_in_the_hessian():
    model = network()
    expected = HessianOperator(model, CE, data(), ALL).dense()
    expected += 0.3 * torch.eye(len(expected), dtype=torch.float64)
    kept = list(model.parameters())

    def through_the_model(o, t):
        return CE(o, t) + 0.15 * sum(p.square().sum() for p in model.parameters())

    def through_a_list(o, t):
        return CE(o, t) + 0.15 * sum(p.square().sum() for p in kept)

    for loss in (through_the_model, through_a_list):
        found = HessianOperator(model, loss, data(), ALL).dense()
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        ours = hessian(model, loss, data=data(), cuda=False).eigenvalues()[0][0]
        largest = torch.linalg.eigvalsh(expected).abs().max()
        assert ours == pytest.approx(float(largest), rel=1e-5)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)

    def through_an_optimiser(o, t):
        return CE(o, t) + sum(p.square().sum() for p in optimiser.param_groups[0]["params"])

    with pytest.raises(ValueError, match=r"got .*0\.weight read elsewhere"):
        HessianOperator(model, through_an_optimiser, data(), ALL)


@pytest.mark.parametrize("scale", [1e-30, 1e20])
def test_losses_of_extreme_size_keep_their_hessian(scale):
    model = network(torch.float32)

    def scaled(o, t):
        return CE(o, t) * scale

    plain = SpectralProbe(model, CE, data(torch.float32), measurement=Measurement())(0)
    with pytest.warns(RuntimeWarning, match=r"squared gradients are within torch\.float32"):
        record = SpectralProbe(model, scaled, data(torch.float32), measurement=Measurement())(0)
    (found,) = record.measured.spectra
    expected = plain.measured.spectra[0]
    assert found.matrix == "hessian"
    for one, other in zip(found.top, expected.top, strict=True):
        assert one.value / scale == pytest.approx(other.value, rel=1e-3, abs=1e-4)


def test_gradients_of_zero_make_an_information_matrix_of_zero():
    model = nn.Linear(4, 3)
    inputs, _ = data(torch.float32)
    targets = model(inputs).detach()
    found = InformationOperator(model, functional.mse_loss, (inputs, targets), ALL).dense()
    assert not found.any()


def test_the_drop_in_counts_batches_by_their_samples():
    model = network()
    x, y = data()
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 20.0], dtype=torch.float64))
    batches = [(x[:5], y[:5]), (x[5:], y[5:])]
    each = [HessianOperator(model, loss, batch, ALL).dense() for batch in batches]
    expected = torch.linalg.eigvalsh((5 * each[0] + 15 * each[1]) / 20).abs().max()
    found = hessian(model, loss, dataloader=batches, cuda=False).eigenvalues(tol=1e-6)[0][0]
    assert found == pytest.approx(float(expected), rel=1e-6)
