"""What is computed from parameters without a gradient: right, or said with its size, or refused.

The oracle is the difference of gradients: a probing says aloud that a Hessian is another, and says
it of no other.
"""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.matrix import Hessian
from spectrain.probes.curvature.module_curvature import HessianOperator
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe

ALL = Block("all")
CE = functional.cross_entropy
QUICK = Measurement(density=False, eigenvalues=1, smallest=0, tracking=False)

# torch.func.jvp compiles something by torch.jit when it is first called.
JIT = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")


def data():
    g = torch.Generator().manual_seed(0)
    return torch.randn(12, 4, generator=g, dtype=torch.float64), torch.randint(
        3, (12,), generator=g
    )


class Net(nn.Module):
    """A layer, something done to its output, and another layer."""

    def __init__(self, done=torch.tanh):
        super().__init__()
        self.first, self.last, self.done = nn.Linear(4, 5), nn.Linear(5, 3), done

    def forward(self, x):
        return self.last(self.done(self.first(x)))


class Standardised(nn.Linear):
    """Weights over their deviation, which is taken for a number."""

    def forward(self, x):
        return functional.linear(x, self.weight / self.weight.detach().std(), self.bias)


class ByData(nn.Linear):
    def forward(self, x):
        return functional.linear(x, self.weight / self.weight.data.norm(), self.bias)


class Followed(nn.Module):
    """Takes off a mean that follows the activations."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(5))

    def forward(self, h):
        with torch.no_grad():
            self.mean.mul_(0.5).add_(h.mean(0), alpha=0.5)
        return torch.tanh(h - self.mean)


class Codebook(nn.Module):
    """The nearest code, with the gradient of what it stands for."""

    def __init__(self):
        super().__init__()
        self.codes = nn.Parameter(torch.randn(6, 5))

    def forward(self, h):
        codes = self.codes[torch.cdist(h.detach(), self.codes.detach()).argmin(1)]
        return torch.tanh(h + (codes - h).detach())


class Round(torch.autograd.Function):
    """Straight through."""

    @staticmethod
    def forward(ctx, x):
        return (4 * x).round() / 4

    @staticmethod
    def backward(ctx, slope):
        return slope


class Square(torch.autograd.Function):
    """With derivatives of every order."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, slope):
        (x,) = ctx.saved_tensors
        return 2 * x * slope


class Cached(Net):
    def __init__(self):
        super().__init__()
        # Not by its default for such a weight, whose signs are integers of entries at 1.
        parametrizations.orthogonal(self.first, orthogonal_map="matrix_exp")

    def forward(self, x):
        with parametrize.cached():
            return super().forward(x) + super().forward(-x)


class OverItsSize(Net):
    """Divided by a number that was read from the outputs."""

    def __init__(self, read):
        super().__init__()
        self.read = read

    def forward(self, x):
        outputs = super().forward(x)
        return outputs / (1 + self.read(outputs))


def by_numpy(outputs):
    return torch.from_numpy(abs(outputs.detach().numpy()).mean(keepdims=True))


class FixedPoint(Net):
    """Found without a gradient, which then knows of its last step alone."""

    def __init__(self):
        super().__init__()
        self.step = nn.Linear(5, 5)

    def forward(self, x):
        given = self.first(x)

        def step(z):
            return torch.tanh(0.3 * self.step(z) + given)

        with torch.no_grad():
            z = torch.zeros_like(given)
            for _ in range(30):
                z = step(z)
        return self.last(step(z))


class InnerStep(Net):
    """The outputs after a step of gradient descent, as in meta-learning."""

    def __init__(self, first_order):
        super().__init__()
        self.first_order = first_order

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        weight = self.last.weight
        value = (hidden @ weight.mT + self.last.bias).square().mean()
        (slope,) = torch.autograd.grad(value, weight, create_graph=not self.first_order)
        return hidden @ (weight - 0.5 * slope).mT


class Forward(nn.Module):
    """The outputs and their derivative along the inputs, in forward mode."""

    def __init__(self, middle):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 6), middle, nn.Tanh(), nn.Linear(6, 3))

    def forward(self, x):
        outputs, slopes = torch.func.jvp(self.net, (x,), (torch.ones_like(x),))
        return outputs + slopes


class Reverse(Forward):
    """The outputs and their slopes in the inputs, in reverse mode."""

    def forward(self, x):
        def one(z):
            return self.net(z[None]).sum()

        return self.net(x) + torch.func.vmap(torch.func.grad(one))(x)[:, :3]


class Lines(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.InstanceNorm1d(2, affine=True)

    def forward(self, h):
        return self.norm(h.view(-1, 2, 3)).flatten(1)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(3, 4)

    def forward(self, x):
        return torch.tanh(x @ self.table.weight.mT) @ self.table.weight @ self.table.weight.mT


class Logs(Net):
    def forward(self, x):
        outputs = super().forward(x)
        self.kept = outputs.detach().abs().mean()
        return outputs


def spectral(norm, **options):
    model = Net()
    model.first = norm(model.first, **options)
    return model


def quantised():
    from torch.ao.quantization import FakeQuantize

    return Net(FakeQuantize())


def rounding(h):
    return torch.tanh(h + ((4 * h).round() / 4 - h).detach())


def hard(h):
    return functional.gumbel_softmax(h, hard=True)


def from_the_maximum(outputs, targets):
    """The same loss: what is taken off all logits of a sample has no influence."""
    shifted = outputs - outputs.max(1, keepdim=True).values.detach()
    return functional.nll_loss(shifted - shifted.exp().sum(1, keepdim=True).log(), targets)


def by_func(outputs, targets):
    def one(logits, target):
        return CE(logits[None], target[None])

    slopes = torch.func.vmap(torch.func.grad(one))(outputs, targets)
    return CE(outputs, targets) + slopes.square().sum(1).mean()


def distilled(outputs, targets):
    return functional.mse_loss(outputs, outputs.detach().roll(1, 0).softmax(1))


def focal(outputs, targets):
    losses = CE(outputs, targets, reduction="none")
    return (losses * (1 - (-losses).exp().detach()) ** 2).mean()


# Name: what makes the model, the loss, and whether the Hessian is another than that of differences.
KINDS = {
    "spectral norm of old, evaluated": (lambda: spectral(nn.utils.spectral_norm), CE, False),
    "spectral norm, evaluated": (lambda: spectral(parametrizations.spectral_norm), CE, False),
    "spectral norm of old, trained": (lambda: spectral(nn.utils.spectral_norm), CE, True),
    "spectral norm, trained": (lambda: spectral(parametrizations.spectral_norm), CE, True),
    "weights over a detached deviation": (lambda: _with_first(Standardised), CE, True),
    "weights over the norm of their data": (lambda: _with_first(ByData), CE, True),
    "a mean that follows": (lambda: Net(Followed()), CE, True),
    "rounding, straight through": (lambda: Net(rounding), CE, True),
    "rounding by a function of one's own": (lambda: Net(lambda h: Round.apply(h).tanh()), CE, True),
    "fake quantisation": (quantised, CE, True),
    "a codebook": (lambda: Net(Codebook()), CE, True),
    "a number that was read": (lambda: OverItsSize(lambda o: float(o.abs().mean())), CE, True),
    "a copy": (lambda: OverItsSize(lambda o: copy.deepcopy(o.detach()).abs()), CE, True),
    "a fixed point": (FixedPoint, CE, True),
    "an inner step of first order": (lambda: InnerStep(first_order=True), CE, True),
    "an inner step": (lambda: InnerStep(first_order=False), CE, False),
    "numbers by NumPy": (lambda: OverItsSize(by_numpy), CE, True),
    "instance norm's derivative in forward mode": (lambda: Forward(Lines()), CE, True),
    "group norm's derivative in forward mode": (lambda: Forward(nn.GroupNorm(2, 6)), CE, False),
    "layer norm's derivative in reverse mode": (lambda: Reverse(nn.LayerNorm(6)), CE, False),
    "hard Gumbel softmax": (
        lambda: Net(lambda h: functional.gumbel_softmax(h, hard=True)),
        CE,
        True,
    ),
    "targets of its own, detached": (Net, distilled, True),
    "detached weights of samples": (Net, focal, True),
    "logits less their detached maximum": (Net, from_the_maximum, False),
    "a detached value that is kept": (Logs, CE, False),
    "a square by a function of one's own": (lambda: Net(Square.apply), CE, False),
    "orthogonal weights, cached": (Cached, CE, False),
    "weights used three times": (Tied, CE, False),
    "checkpoints": (
        lambda: Net(lambda h: checkpoint(torch.tanh, h, use_reentrant=False)),
        CE,
        False,
    ),
    "clamped weights": (lambda: Net(lambda h: h.clamp(-0.7, 0.7)), CE, False),
    "derivatives within the loss": (Net, by_func, False),
    "data parallel": (lambda: nn.DataParallel(Net()), CE, False),
    "compiled": (lambda: torch.compile(Net(), backend="eager"), CE, False),
}

COMPILE = {"compiled", *(name for name in KINDS if "forward mode" in name)}


def _with_first(kind):
    model = Net()
    model.first = kind(4, 5)
    return model


def made(name):
    torch.manual_seed(0)
    make, loss, differs = KINDS[name]
    mode = "train" if "train" in name or "follows" in name else "eval"
    return make().double(), loss, differs, mode


def bare(model):
    return getattr(model, "_orig_mod", getattr(model, "module", model))


def by_differences(model, loss, directions, mode, step=1e-5):
    """H times each direction, from a fresh copy for each gradient: as the probing puts back."""
    columns = []
    for direction in directions.mT:
        ends = []
        for sign in (1, -1):
            twin = copy.deepcopy(model).train(mode == "train")
            parameters = [p for p in twin.parameters() if p.requires_grad]
            parts = torch.split(direction, [p.numel() for p in parameters])
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.data += sign * step * part.view_as(parameter)
            torch.manual_seed(5)
            value = loss(twin(data()[0]), data()[1])
            found = torch.autograd.grad(
                value, parameters, allow_unused=True, materialize_grads=True
            )
            ends.append(torch.cat([part.reshape(-1) for part in found]))
        columns.append((ends[0] - ends[1]) / (2 * step))
    return torch.stack(columns, 1)


@pytest.mark.filterwarnings("ignore:.*(ao.quantization|spectral_norm).*:DeprecationWarning")
@JIT
@pytest.mark.filterwarnings("ignore:.*spectral_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in COMPILE)) for n in KINDS]
)
def test_a_hessian_is_that_of_differences_or_is_said_to_be_another(name):
    model, loss, differs, mode = made(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        torch.manual_seed(5)
        found = HessianOperator(model, loss, data(), ALL, mode=mode)
        probe = SpectralProbe(
            *(model, loss, data()), matrices=[Hessian()], mode=mode, measurement=QUICK
        )
        record = probe(0)
    g = torch.Generator().manual_seed(1)
    directions = torch.randn(found.size, 3, generator=g, dtype=torch.float64)
    expected = by_differences(bare(model), loss, directions, mode)
    apart = (found @ directions - expected).norm() / torch.maximum(
        (found @ directions).norm(), expected.norm()
    )
    assert bool(apart > 1e-2) is differs
    assert bool(apart > 1e-5) is differs
    reasons = [each.reason for each in record.failures if each.part == "check"]
    assert len(reasons) == differs
    assert len(record.measured.spectra) == 1
    assert len(record.failures) == differs


NORMS = [nn.utils.spectral_norm, parametrizations.spectral_norm]


@pytest.mark.filterwarnings("ignore:.*spectral_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("norm", NORMS)
def test_spectral_norm_is_measured_with_the_vectors_of_the_batch_held(norm):
    """In train mode those of one more power iteration, as in the training's gradient."""
    torch.manual_seed(0)
    model = spectral(norm).double()
    with pytest.warns(RuntimeWarning, match=r"what mv gives .* with it held constant"):
        found = HessianOperator(model, CE, data(), ALL, mode="train")
    iterated = copy.deepcopy(model).train()
    with torch.no_grad():
        iterated(data()[0])
    g = torch.Generator().manual_seed(1)
    directions = torch.randn(found.size, 3, generator=g, dtype=torch.float64)
    held = by_differences(iterated, CE, directions, "eval")
    torch.testing.assert_close(found @ directions, held, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("loss", [CE, from_the_maximum])
def test_an_operator_by_itself_tells_of_constants_that_meet_the_loss(loss):
    model = Net().double()
    if loss is CE:
        HessianOperator(model, loss, data(), ALL)
        return
    with pytest.warns(RuntimeWarning, match=r"what detach gives is computed from parameters"):
        HessianOperator(model, loss, data(), ALL)


def test_every_record_says_what_is_held_and_how_much_it_matters():
    torch.manual_seed(0)
    model = spectral(parametrizations.spectral_norm)
    inputs, targets = data()
    sample = inputs.float(), targets

    def probe():
        return SpectralProbe(model, CE, sample, mode="train", measurement=QUICK)

    first = probe()
    with pytest.warns(RuntimeWarning, match="check: ValueError") as told:
        records = [first(0), first(1)]
    assert len(told) == 1
    (check,) = first.check()
    assert check.difference > 0.01
    other = probe()
    other.load_state_dict(first.state_dict())
    with pytest.warns(RuntimeWarning, match="check: ValueError"):
        records.append(other(2))
    reason = f"others in all ({check.difference:.2g} apart): what mv gives is computed from"
    for record in records:
        (failure,) = record.failures
        assert failure.part == "check"
        assert reason in failure.reason
        assert len(record.measured.spectra) == 2
    assert probe().check() == (check,)
    evaluated = SpectralProbe(model, CE, sample, measurement=QUICK)
    assert evaluated(0).failure == ""
    assert evaluated.state_dict()["compared"] is None


@pytest.mark.slow
@JIT
def test_layer_norm_differentiated_in_forward_mode_has_the_curvature_of_its_loss():
    """Of differences of the loss: torch's own gradient is another there (2.13)."""
    torch.manual_seed(0)
    model = Forward(nn.LayerNorm(6)).double()
    found = HessianOperator(model, CE, data(), ALL)
    direction = torch.randn(found.size, dtype=torch.float64)
    curvature = float(direction @ (found @ direction[:, None])[:, 0])
    parameters = list(model.parameters())
    parts = torch.split(direction, [p.numel() for p in parameters])
    inputs, targets = data()

    def loss(t):
        with torch.no_grad():
            for parameter, part in zip(parameters, parts, strict=True):
                parameter += t * part.view_as(parameter)
            value = float(CE(model(inputs), targets))
            for parameter, part in zip(parameters, parts, strict=True):
                parameter -= t * part.view_as(parameter)
        return value

    def second(t):
        return (loss(t) - 2 * loss(0) + loss(-t)) / t**2

    expected = (4 * second(1e-3) - second(2e-3)) / 3  # to fourth order
    assert curvature == pytest.approx(expected, rel=1e-5)
    assert (
        SpectralProbe(model, CE, data(), matrices=[Hessian()], measurement=QUICK)(0).failure == ""
    )


class Clipped(Net):
    def forward(self, x):
        with torch.no_grad():
            self.first.weight.clamp_(-0.2, 0.2)
        return super().forward(x)


def test_writes_to_parameters_and_missing_second_derivatives_are_refused():
    inputs, targets = data()
    bounded = nn.Sequential(nn.Embedding(12, 4, max_norm=0.1), Net()).double()
    for model, batch in (
        (Clipped().double(), (inputs, targets)),
        (bounded, (torch.arange(12), targets)),
    ):
        with pytest.raises(ValueError, match=r"got a write to .*weight"):
            HessianOperator(model, CE, batch, ALL)

    def aligned(outputs, targets):
        lengths = torch.full((2,), 6), torch.full((2,), 2)
        logs = outputs.log_softmax(-1).view(6, 2, 3)
        return functional.ctc_loss(logs, torch.tensor([[1, 2], [2, 1]]), *lengths)

    with pytest.raises(ValueError, match="expected a second derivative"):
        HessianOperator(Net().double(), aligned, data(), ALL)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_run_without_the_kernels_of_cudnn(kind):
    """Wherever they are called: those have no second derivative."""

    class Seen(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if getattr(func, "__name__", "") in ("lstm", "gru", "rnn_tanh"):
                seen.append(torch.backends.cudnn.enabled)
            return func(*args, **(kwargs or {}))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = kind(4, 3, batch_first=True)

        def forward(self, x):
            return self.layer(x[:, None])[0][:, -1]

    seen, before = [], torch.backends.cudnn.enabled
    with Seen():  # outermost: it sees what is called in the end
        operator = HessianOperator(Model().double(), CE, data(), ALL, strategy="rebuilt graph")
        operator @ torch.ones(operator.size, 1, dtype=torch.float64)
    assert len(seen) > 2
    assert not any(seen)
    assert torch.backends.cudnn.enabled is before is True
