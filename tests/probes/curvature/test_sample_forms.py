"""The samples' own forms u'H_l u, and how far a Hessian's eigenvalues move over draws."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from spectrain import Measurement, SpectralProbe
from spectrain.probes.curvature.batches import divided
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.formed import FormedCurvature
from spectrain.probes.curvature.matrix import Hessian
from spectrain.probes.curvature.module_curvature import (
    CovarianceOperator,
    GaussNewtonOperator,
    HessianOperator,
    InformationOperator,
)
from spectrain.probes.curvature.sample_forms import form_errors
from spectrain.probes.curvature.weighted_mean import WeightedMean
from spectrain.probes.measured_spectra import measured_spectra
from spectrain.probes.records.codec import decode, encode
from spectrain.theory.protocol import Selection

CE = functional.cross_entropy
ALL = Block("all")
MODELS = {
    "tanh": (lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), (4,)),
    "relu": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
        ),
        (1, 6, 6),
    ),
    "layer norm": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 3)),
        (4,),
    ),
}


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_forms_are_those_of_each_sample_alone(name, rows):
    torch.manual_seed(0)
    build, shape = MODELS[name]
    model = build().double()
    batch = torch.randn(8, *shape).double(), torch.randint(3, (8,))
    block = Block("rows", ("0.weight",), (2, 0)) if rows else ALL
    loader = [tuple(part[s] for part in batch) for s in (slice(0, 3), slice(3, 8))]
    operator = HessianOperator(model, CE, loader, block)
    u = torch.linalg.qr(torch.randn(operator.size, 3).double()).Q
    forms, weights = operator.forms(u)
    for row, sample in zip(forms, divided(batch, 1), strict=True):
        alone = HessianOperator(model, CE, sample, block)
        torch.testing.assert_close(row, (u * (alone @ u)).sum(0), rtol=1e-9, atol=1e-11)
    assert torch.equal(weights, torch.ones(8).double())
    torch.testing.assert_close(forms.mean(0), (u * (operator @ u)).sum(0))


def test_forms_of_many_vectors_are_of_one_dropout_mask():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3)).double()
    batch = torch.randn(8, 4).double(), torch.randint(3, (8,))
    operator = HessianOperator(model, CE, batch, ALL, mode="train")
    u = torch.linalg.qr(torch.randn(operator.size, 30).double()).Q
    forms, _ = operator.forms(u)
    torch.testing.assert_close(forms.mean(0), (u * (operator @ u)).sum(0))


def test_forms_of_units_that_weigh_differently():
    torch.manual_seed(1)
    model = MODELS["tanh"][0]().double()
    batch = torch.randn(8, 4).double(), torch.randint(3, (8,))
    loss = WeightedMean(lambda o, t: (CE(o, t, reduction="none"), 1.0 + t))
    operator = HessianOperator(model, loss, batch, ALL)
    u = torch.linalg.qr(torch.randn(operator.size, 2).double()).Q
    forms, weights = operator.forms(u)
    assert torch.equal(weights, 1.0 + batch[1])
    mean = weights @ forms / weights.sum()
    torch.testing.assert_close(mean, (u * (operator @ u)).sum(0))


def test_errors_of_a_linear_model_in_closed_form():
    """H_l = 2 x_l x_l', with the resolvent's sum over the other eigenvalues."""
    torch.manual_seed(2)
    x, y = torch.randn(50, 6).double() * torch.arange(1, 7), torch.randn(50, 1).double()
    model = nn.Linear(6, 1, bias=False).double()
    operator = HessianOperator(model, nn.MSELoss(), (x, y), ALL)
    values, vectors = torch.linalg.eigh(2 * x.T @ x / 50)
    top, rest = values[-1], values[:-1]
    s = (rest / (top - rest)).sum() / 50
    resolvent = (1 / (rest - top)).sum() / 6
    found, reason = form_errors(operator, vectors[:, -1:], top[None], resolvent[None])
    assert not reason
    q = 2 * (x @ vectors[:, -1]).square()
    torch.testing.assert_close(found[0], q.std() / 50**0.5 / (1 + s))


def test_a_loss_without_units_has_none_for_a_stated_reason():
    torch.manual_seed(3)
    model, batch = (
        nn.Linear(4, 3).double(),
        (torch.randn(8, 4).double(), torch.randn(8, 3).double()),
    )

    def coupled(o, t):
        return (o - t).square().mean().sqrt()

    u, one = torch.eye(15, 1).double(), torch.ones(1).double()
    for kind in (HessianOperator, GaussNewtonOperator):
        errors, reason = form_errors(kind(model, coupled, batch, ALL), u, one, -one)
        assert errors.isnan().all()
        assert "expected the mean over samples" in reason
    errors, reason = form_errors(FormedCurvature(torch.eye(15).double()), u, one, -one)
    assert errors.isnan().all()
    assert reason == "FormedCurvature does not tell its samples apart"
    operator = HessianOperator(model, nn.MSELoss(), tuple(part[:1] for part in batch), ALL)
    errors, reason = form_errors(operator, u, one, -one)
    assert errors.isnan().all()
    assert reason == "a single sample has no spread"


class OnceDifferentiable(torch.autograd.Function):
    """x^2, whose second derivative is the last."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, slope):
        (x,) = ctx.saved_tensors
        return Slope.apply(x, slope)


class Slope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x, slope)
        return 2 * x * slope

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, change):
        x, slope = ctx.saved_tensors
        return 2 * slope * change, 2 * x * change


def test_only_what_is_no_mean_or_has_no_third_derivative_is_unknown(monkeypatch):
    batch = torch.randn(8, 4).double(), torch.randn(8, 3).double()
    model = nn.Linear(4, 3).double()

    def once(o, t):
        return OnceDifferentiable.apply(o - t).mean()

    u, one = torch.eye(15, 1).double(), torch.ones(1).double()
    errors, reason = form_errors(HessianOperator(model, once, batch, ALL), u, one, -one)
    assert errors.isnan().all()
    assert "expected a function that torch.func.vmap takes" in reason

    class Squared(nn.Linear):
        def forward(self, x):
            return OnceDifferentiable.apply(super().forward(x))

    squared = HessianOperator(Squared(4, 3).double(), nn.MSELoss(), batch, ALL)
    panel = torch.ones_like(u) / 15**0.5
    errors, reason = form_errors(squared, panel, (panel * (squared @ panel)).sum(0), -one)
    assert errors.isnan().all()
    assert "do not have the eigenvalues as their means" in reason
    operator = HessianOperator(model, nn.MSELoss(), batch, ALL)

    def broken(vectors):
        raise TypeError("another")

    monkeypatch.setattr(operator, "forms", broken)
    with pytest.raises(TypeError, match="another"):
        form_errors(operator, u, one, -one)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "matrix"),
    [
        ("linear", HessianOperator),
        ("logistic", HessianOperator),
        ("logistic", GaussNewtonOperator),
        ("logistic", InformationOperator),
        ("logistic", CovarianceOperator),
    ],
)
def test_errors_cover_the_spread_over_draws(kind, matrix):
    """Of an outlier near the bulk, n/d = 4: 200 draws."""
    dimension, samples = 100, 400
    torch.manual_seed(4)
    model = nn.Linear(dimension, 1, bias=False).double()
    model.weight.data *= 1.5 / model.weight.norm()
    scales = torch.ones(dimension).double()
    scales[0] = 2.0
    loss = nn.MSELoss() if kind == "linear" else nn.BCEWithLogitsLoss()
    values, errors = [], []
    for draw in range(200):
        x = torch.randn(samples, dimension).double() * scales
        y = (torch.rand(samples, 1).double() < torch.sigmoid(model(x).detach())).double()
        (spectrum,), _, _ = measured_spectra(
            matrix(model, loss, (x, y), ALL),
            [Selection("hessian", "all", ("weight",), ())],
            Measurement(eigenvalues=1, smallest=0),
            torch.Generator().manual_seed(draw),
            None,
            density=False,
            start=None,
        )
        values.append(spectrum.top[0].value)
        errors.append(spectrum.top[0].sampling_error)
    spread, mean = torch.tensor(values).std(), torch.tensor(errors).mean()
    # 200 draws tell the spread to 5 %; the correction is one of first order.
    assert 0.8 < float(mean / spread) < 1.2


def test_a_record_says_why_a_spectrum_has_no_sampling_errors():
    torch.manual_seed(6)
    model = nn.Linear(4, 1).double()
    batch = torch.randn(200, 4).double() * torch.arange(1, 5), torch.randn(200, 1).double()

    def coupled(o, t):
        return (o - t).square().mean().sqrt()

    for loss, known in ((coupled, False), (nn.MSELoss(), True)):
        probe = SpectralProbe(model, loss, batch, matrices=[Hessian()], on_failure="raise")
        record = probe(0, thorough=True)
        (spectrum,) = record.measured.spectra
        pairs = (*spectrum.top, *spectrum.bottom)
        assert all(math.isfinite(pair.sampling_error) == known for pair in pairs)
        assert (record.measured.quantity("hessian_size_bias") is not None) == known
        assert ("expected the mean over samples" in spectrum.unknown) != known
        assert ("sampling errors not known" in record.summary()) != known
        assert decode(encode(record)).measured.spectra[0].unknown == spectrum.unknown
