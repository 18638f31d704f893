"""What is measured of models whose code writes: the numbers, and what is named without one."""

import contextlib
import itertools
import random
import types
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.loss_gradient import loss_gradient
from spectrain.probes.curvature.module_curvature import (
    CovarianceOperator,
    GaussNewtonOperator,
    HessianOperator,
    InformationOperator,
)
from spectrain.probes.curvature.observe import undisturbed
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe
from spectrain.theory.quantity import Quantity

N, D, C = 30, 4, 3
ce = functional.cross_entropy


def batch():
    g = torch.Generator().manual_seed(2)
    x = torch.randn(N, D, generator=g, dtype=torch.float64)
    return x, torch.randint(C, (N,), generator=g)


def matrix(model, loss=ce, data=None, kind=HessianOperator, **options):
    operator = kind(model, loss, data or batch(), Block("all"), **options)
    return operator @ torch.eye(operator.size, dtype=operator.dtype)


def linear(*sizes):
    torch.manual_seed(0)
    layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    between = [layer for pair in layers for layer in (pair, nn.Tanh())][:-1]
    return nn.Sequential(*between).double()


class Wrapped(nn.Module):
    """A network of two layers whose forward pass is a function."""

    def __init__(self, forward):
        super().__init__()
        self.body = linear(D, 5, C)
        self.calls = forward

    def forward(self, x):
        return self.calls(self, x)


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


# Parameters in unusual places have their derivatives all the same.


def test_one_block_under_three_names_has_the_derivative_of_all_its_uses():
    class Repeated(nn.Module):
        def __init__(self):
            super().__init__()
            block = nn.Linear(D, D).double()
            self.blocks, self.out = nn.ModuleList([block] * 3), nn.Linear(D, C).double()

        def forward(self, x):
            for block in self.blocks:
                x = torch.tanh(block(x))
            return self.out(x)

    model, (x, y) = Repeated(), batch()
    shapes = [p.shape for p in model.parameters()]

    def loss(flat):
        w, b, v, c = (
            part.view(shape)
            for part, shape in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)
        )
        h = x
        for _ in range(3):
            h = torch.tanh(h @ w.T + b)
        return ce(h @ v.T + c, y)

    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    same(matrix(model), torch.autograd.functional.hessian(loss, flat))


def test_parameters_and_modules_that_are_only_referred_to_are_seen():
    class Refers(nn.Module):
        def __init__(self):
            super().__init__()
            body = linear(D, 5, C)
            self.register_parameter("w", body[0].weight)
            self.register_parameter("b", body[0].bias)
            self.last = nn.ModuleList([body[2]])
            self.pair = (self.w, [self.b])
            self.table = {"last": types.SimpleNamespace(layer=body[2])}

        def forward(self, x):
            weight, (bias,) = self.pair
            return self.last[0](torch.tanh(functional.linear(x, weight, bias)))

    same(matrix(Refers()), matrix(linear(D, 5, C)))


@pytest.mark.parametrize("kind", [HessianOperator, InformationOperator])
def test_a_penalty_on_the_weights_is_a_part_of_the_loss(kind):
    """H + 2 lambda 1, and gradients g_l + 2 lambda w; also through names of the function around."""
    model, rate = linear(D, 5, C), 0.15
    weights = list(model.parameters())

    def penalised(outputs, targets):
        return ce(outputs, targets) + rate * sum(w.square().sum() for w in weights)

    plain, found = matrix(model, kind=kind), matrix(model, penalised, kind=kind)
    w = torch.cat([weight.detach().flatten() for weight in weights])
    if kind is HessianOperator:
        same(found, plain + 2 * rate * torch.eye(len(w), dtype=torch.float64))
    else:
        gradient = loss_gradient(model, ce, *batch())
        g = torch.cat([part.flatten() for part in gradient.values()])
        shift = 2 * rate * w
        cross = torch.outer(g, shift)
        same(found, plain + cross + cross.T + torch.outer(shift, shift))


def test_a_term_that_forward_leaves_on_the_module_is_a_part_of_the_loss():
    def forward(self, x):
        self.term = self.body[0].weight.square().sum()
        return self.body(x)

    model = Wrapped(forward)
    found = matrix(model, lambda o, t: ce(o, t) + 0.5 * model.term)
    expected = matrix(model.body)
    expected[: D * 5, : D * 5] += torch.eye(D * 5, dtype=torch.float64)
    same(found, expected)
    assert not hasattr(model, "term")


# Every evaluation starts from the same state, that of the training.


def running(self, x):
    self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
    return self.body(x - self.mean)


@pytest.mark.parametrize("strategy", ["kept graph", "rebuilt graph", "rebuilt graph, vmap"])
@pytest.mark.parametrize(
    "kind", [HessianOperator, GaussNewtonOperator, InformationOperator, CovarianceOperator]
)
def test_a_running_mean_is_that_of_the_next_step_for_every_product(kind, strategy):
    model, (x, y) = Wrapped(running), batch()
    model.register_buffer("mean", torch.full((D,), 0.3, dtype=torch.float64))
    operator = kind(model, ce, (x, y), Block("all"), strategy=strategy)
    eye = torch.eye(operator.size, dtype=torch.float64)
    shifted = x - (0.9 * 0.3 + 0.1 * x.mean(0))
    expected = matrix(model.body, data=(shifted, y), kind=kind)
    same(operator @ eye, expected)
    same(operator @ eye, expected)
    assert (model.mean == 0.3).all()
    assert model.mean._version == 0


def test_noise_is_one_realisation():
    """Otherwise the matrix of a graph that is built again for each panel would not be one."""

    def forward(self, x):
        return self.body(x + 0.5 * torch.randn_like(x))

    found = matrix(Wrapped(forward), strategy="rebuilt graph")
    same(found, found.T)


def test_noise_follows_from_seed_and_step_alone():
    def forward(self, x):
        noise = torch.randn_like(x) * random.random() * np.random.rand()  # noqa: NPY002
        return self.body(x + noise)

    def tops(seed, step):
        probe = SpectralProbe(
            Wrapped(forward), ce, batch(), measurement=Measurement(density=False), seed=seed
        )
        return [spectrum.top[0].value for spectrum in probe(step).measured.spectra]

    first = tops(0, 0)
    torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
    assert tops(0, 0) == first
    assert tops(0, 1) != first
    assert tops(1, 0) != first


@pytest.mark.parametrize("strategy", ["kept graph", "rebuilt graph", "kept graph, vmap"])
def test_checkpoints_call_the_model_in_the_backward_pass_without_a_trace(strategy):
    def part(self, x):
        self.count += 1
        self.mean += 1
        return torch.tanh(self.body[0](x))

    def forward(self, x):
        return self.body[2](checkpoint(self.part, x, use_reentrant=False))

    model = Wrapped(forward)
    model.part, model.count = types.MethodType(part, model), 0
    model.register_buffer("mean", torch.zeros(1))
    same(matrix(model, strategy=strategy), matrix(model.body))
    assert model.count == model.mean.item() == model.mean._version == 0


def test_a_frozen_copy_that_forward_updates_is_measured():
    def forward(self, x):
        with torch.no_grad():
            self.key.weight.mul_(0.9).add_(0.1 * self.body[0].weight)
        return self.body(x) * self.key(x).mean()

    model = Wrapped(forward)
    model.key = nn.Linear(D, 5).double().requires_grad_(False)
    before = model.key.weight.clone()
    moved = 0.9 * before + 0.1 * model.body[0].weight.detach()
    x, _ = batch()
    factor = functional.linear(x, moved, model.key.bias).mean()
    with pytest.warns(RuntimeWarning, match="what mul gives .* with it held constant"):
        found = matrix(model)
    same(found, matrix(model.body, lambda o, t: ce(factor * o, t)))
    assert torch.equal(model.key.weight, before)


def test_a_loss_that_counts_on_what_it_wrote_itself_starts_from_the_same_state():
    """Information matrices call it more than once: on the batch, and on each sample."""

    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("centre", torch.full((C,), 0.5, dtype=torch.float64))

        def forward(self, outputs, targets):
            centre = self.centre
            self.centre = centre + outputs.detach().mean(0)
            return ce(outputs - centre, targets)

    model, loss = linear(D, 5, C), Centred()
    fixed = torch.full((C,), 0.5, dtype=torch.float64)
    for kind in (HessianOperator, InformationOperator):
        expected = matrix(model, lambda o, t: ce(o - fixed, t), kind=kind)
        same(matrix(model, loss, kind=kind), expected)
    assert torch.equal(loss.centre, fixed)


def test_inputs_and_outputs_written_in_place_are_new_each_time():
    def forward(self, x):
        return self.body(x.sub_(2.0).div_(3.0))

    def loss(outputs, targets):
        return ce(outputs.mul_(0.5), targets.neg_().add_(C - 1))

    x, y = batch()
    kept = x.clone(), y.clone()
    found = matrix(Wrapped(forward), loss, (x, y), kind=InformationOperator)
    data = ((x - 2) / 3, C - 1 - y)
    expected = matrix(linear(D, 5, C), lambda o, t: ce(0.5 * o, t), data, kind=InformationOperator)
    same(found, expected)
    assert torch.equal(x, kept[0])
    assert torch.equal(y, kept[1])


# What is refused, by name.


def clamp(self, x):
    with torch.no_grad():
        self.body[0].weight.clamp_(-0.1, 0.1)
    return self.body(x)


def clamp_quietly(self, x):
    with contextlib.suppress(RuntimeError):
        self.body[0].weight.data.clamp_(-0.1, 0.1)
    return self.body(x)


def replace_data(self, x):
    self.body[0].weight.data = self.body[0].weight.data.clamp(-0.1, 0.1)
    return self.body(x)


@pytest.mark.parametrize(
    ("forward", "block"),
    [
        (clamp, Block("all")),
        (clamp, Block("last", ("body.2.*",))),
        (clamp_quietly, Block("all")),
        (replace_data, Block("all")),
    ],
)
def test_writes_to_trained_parameters_are_refused_by_name(forward, block):
    model = Wrapped(forward)
    before, version = model.body[0].weight.detach().clone(), model.body[0].weight._version
    with pytest.raises(ValueError, match=r"write to body\.0\.weight"):
        HessianOperator(model, ce, batch(), block)
    assert torch.equal(model.body[0].weight, before)
    assert model.body[0].weight._version == version


def test_weights_that_forward_replaces_are_constants_of_other_blocks():
    """They are then as forward makes them for the training, and not written to."""
    model, last = Wrapped(replace_data), ("body.2.*",)
    before = model.body[0].weight.detach().clone()
    found = HessianOperator(model, ce, batch(), Block("last", last))
    clamped = linear(D, 5, C)
    with torch.no_grad():
        clamped[0].weight.clamp_(-0.1, 0.1)
    expected = HessianOperator(clamped, ce, batch(), Block("last", ("2.*",)))
    eye = torch.eye(found.size, dtype=torch.float64)
    same(found @ eye, expected @ eye)
    assert torch.equal(model.body[0].weight, before)


def test_what_is_written_past_all_that_stands_in_is_told_by_name():
    def forward(self, x):
        self.reference().add_(1)
        return self.body(x)

    model = Wrapped(forward)
    model.register_buffer("count", torch.zeros(1))
    model.reference = weakref.ref(model.count)
    with pytest.warns(RuntimeWarning, match="expected count as before"):
        record = SpectralProbe(model, ce, batch(), measurement=Measurement(density=False))(0)
    assert "probing: RuntimeError: model: expected count as before the probing" in record.failure
    assert len(record.measured.spectra) == 2


@pytest.mark.parametrize("around", [lambda layer: layer, nn.Sequential])
def test_modules_whose_parameters_cannot_be_replaced_are_refused_by_name(around):
    layer = around(nn.Linear(D, 5).double())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(torch.jit.script(layer), nn.Linear(5, C).double())
    with pytest.raises(ValueError, match=r"'0\.(0\.)?weight', .*bias'.*torch\.jit"):
        HessianOperator(model, ce, batch(), Block("last", ("1.*",)))


def test_objects_of_other_packages_are_left_alone():
    """A trainer that a module refers to goes on in other threads, and holds the data."""
    other = type("Trainer", (), {"__module__": "somewhere.trainer"})()
    other.stop = False

    def forward(self, x):
        self.trainer.stop = True
        return self.body(x)

    model = Wrapped(forward)
    model.trainer = other
    matrix(model)
    assert other.stop


# Code of others than the package's own operators.


class Curious:
    """A measure that calls model and loss as it likes, and takes products of its own."""

    name = "curious"

    def __call__(self, model, loss, batch, generator):
        x, y = batch
        model.calls_made = 1
        x.add_(1)
        value = loss(model(x), y)
        gradient = torch.autograd.grad(value, list(model.parameters()))
        trace = matrix(model, loss, (x, y)).trace()
        size = sum(float(part.square().sum()) for part in gradient)
        return [Quantity.number("size", size, "1"), Quantity.number("trace", float(trace), "1")]


def test_measures_may_call_the_model_directly():
    model, (x, y) = Wrapped(running), batch()
    model.register_buffer("mean", torch.zeros(D, dtype=torch.float64))
    kept = x.clone()
    lean = Measurement(density=False)
    record = SpectralProbe(model, ce, (x, y), measures=[Curious()], measurement=lean)(0)
    assert record.failure == ""
    gradient = loss_gradient(model, ce, x + 1, y)
    size = sum(float(part.square().sum()) for part in gradient.values())
    assert float(record.measured.quantity("size").values) == pytest.approx(size, rel=1e-12)
    # Its products start from the same state as all.
    trace = float(matrix(model.body, data=(x + 1 - 0.1 * (x + 1).mean(0), y)).trace())
    assert float(record.measured.quantity("trace").values) == pytest.approx(trace, rel=1e-12)
    assert torch.equal(x, kept)
    assert not hasattr(model, "calls_made")
    assert not model.mean.any()


def test_settings_of_libraries_are_put_back():
    def forward(self, x):
        if not self.training:
            torch.set_default_dtype(torch.float64)
            torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
            np.seterr(all="ignore")
            warnings.simplefilter("ignore")
            torch.use_deterministic_algorithms(True)
        return self.body(x)

    def settings():
        return (
            torch.get_default_dtype(),
            torch.backends.cudnn.benchmark,
            np.geterr(),
            list(warnings.filters),
            torch.are_deterministic_algorithms_enabled(),
        )

    before = settings()
    same(matrix(Wrapped(forward)), matrix(linear(D, 5, C)))
    assert settings() == before


def test_generators_of_all_kinds_are_put_back_after_a_failure():
    model = linear(D, C)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]  # noqa: NPY002

    def draw():
        torch.rand(3), random.random(), np.random.rand(3)  # noqa: NPY002
        raise ArithmeticError("stop")

    with pytest.raises(ArithmeticError, match="stop"), undisturbed(model, ce):
        draw()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()  # noqa: NPY002
