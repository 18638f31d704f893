"""The training with a probe is bit for bit the training without, whatever model and loss do."""

import contextlib
import copy
import itertools
import random
import subprocess
import sys
import warnings
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune
from torch.utils.checkpoint import checkpoint

from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe

QUICK = Measurement(eigenvalues=1, smallest=1, density=False, tolerance=0.1, max_products=40)
N, D, C = 12, 4, 3
NOT_SECOND = "expected a second derivative"


# What is said where a value that is computed from parameters is taken for a number.
CONSTANT = "counts as constant"


@dataclass
class Setting:
    """A training in which the probe may be called at any moment.

    Attributes:
        model, loss, inputs, targets: as they are probed.
        optimiser: of the model's parameters.
        forward: what the training calls.
        refused: a part of the failure, if the probing has to fail; else it must not.
        also: other state that must be the same, in whatever containers, or a function of it.
        around: a context of each step.
        warns: part of the probe's warning.
        sometimes: whether it is refused only as long as it would change something.
    """

    model: nn.Module
    loss: object = functional.cross_entropy
    inputs: object = None
    targets: torch.Tensor = None
    optimiser: object = lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    forward: object = None
    refused: str = ""
    also: object = ()
    around: object = contextlib.nullcontext
    warns: str = ""
    sometimes: bool = False
    options: dict = field(default_factory=dict)

    def __post_init__(self):
        generator = torch.Generator().manual_seed(3)
        if self.inputs is None:
            self.inputs = torch.randn(N, D, generator=generator)
        if self.targets is None:
            self.targets = torch.randint(C, (N,), generator=generator)
        self.forward = self.forward or self.model


def net(*between):
    return nn.Sequential(nn.Linear(D, 5), nn.Tanh(), *between, nn.Linear(5, C))


def fingerprint(value, seen=None):
    """What an object holds, as bits: written apart from the package's own walk."""
    seen = {} if seen is None else seen
    if isinstance(value, int | float | str | bool | type(None) | torch.dtype | set):
        return repr(value)
    if id(value) in seen:
        return "again", list(seen).index(id(value))
    seen[id(value)] = value
    if isinstance(value, torch.Tensor):
        grad = None if not value.is_leaf or value.grad is None else fingerprint(value.grad)
        dense = value.detach().to_dense() if value.is_sparse else value.detach()
        bits = dense.contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return (type(value).__name__, value.dtype, value.shape, value.requires_grad, bits, grad)
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, dict):
        return [(key, fingerprint(item, seen)) for key, item in value.items()]
    if isinstance(value, list | tuple | deque):
        return [fingerprint(item, seen) for item in value]
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return fingerprint({k: v for k, v in vars(value).items() if "hook" not in k}, seen)
    return type(value).__name__


def difference(one, other, path=""):
    """Where two fingerprints differ first; empty if they do not."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        name = f"{path}.{one[0]}" if one and isinstance(one[0], str) else path
        parts = (
            difference(a, b, f"{name}[{i}]")
            for i, (a, b) in enumerate(zip(one, other, strict=True))
        )
        return next(filter(None, parts), "")
    return "" if one == other else f"{path}: {one!r:.80} {other!r:.80}"


def everything(setting, optimiser):
    also = setting.also() if callable(setting.also) else setting.also
    return fingerprint(
        [
            setting.model,
            setting.loss,
            also,
            setting.inputs,
            setting.targets,
            optimiser.state_dict(),
            torch.get_rng_state(),
            list(np.random.get_state()),  # noqa: NPY002
            repr(random.getstate()),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            repr(warnings.filters),
            [
                (
                    part.training,
                    *(len(hooks) for name, hooks in vars(part).items() if "hooks" in name),
                )
                for part in setting.model.modules()
            ],
        ]
    )


def trained(make, probings, steps=2):
    """Losses and all that is left after each step.

    Args:
        make: the setting.
        probings: where the probe is called, as pairs of step and moment: 0 before the forward pass,
            1 with a graph pending, 2 with gradients, 3 after the step.
        steps: of the optimiser.

    Returns:
        What is left, the records' failures, and the setting.
    """
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    setting = make()
    optimiser = setting.optimiser(setting.model.parameters())
    names = dict(setting.model.named_parameters(remove_duplicate=False))
    failures, kept = [], []
    probe = SpectralProbe(
        setting.model,
        setting.loss,
        (setting.inputs, setting.targets),
        measurement=QUICK,
        **setting.options,
    )

    def observe(*moment):
        if moment in probings:
            with warnings.catch_warnings():
                for known in (setting.warns, setting.refused):
                    if known:
                        warnings.filterwarnings("ignore", f".*{known}", RuntimeWarning)
                failures.append(probe(len(failures)).failure)

    for step in range(steps):
        with setting.around():
            optimiser.zero_grad()
            observe(step, 0)
            inputs = copy.deepcopy(setting.inputs)
            given = inputs if isinstance(inputs, tuple) else (inputs,)
            value = setting.loss(setting.forward(*given), setting.targets.clone())
            observe(step, 1)
            value.backward()
            observe(step, 2)

            def closure(given=given):
                optimiser.zero_grad()
                again = setting.loss(setting.forward(*given), setting.targets.clone())
                again.backward()
                return again

            optimiser.step(*[closure] * isinstance(optimiser, torch.optim.LBFGS))
            observe(step, 3)
            kept.append((value.item(), everything(setting, optimiser)))
    now = dict(setting.model.named_parameters(remove_duplicate=False))
    assert now.keys() == names.keys()
    assert all(now[name] is parameter for name, parameter in names.items())
    return kept, failures, setting


SETTINGS = {}


def setting(make):
    SETTINGS[make.__name__] = make
    return make


# As most trainings are.


@setting
def plain():
    return Setting(net())


@setting
def dropout():
    return Setting(net(nn.Dropout(0.3)))


@setting
def batch_norm():
    return Setting(net(nn.BatchNorm1d(5)))


@setting
def cumulative_batch_norm():
    return Setting(net(nn.BatchNorm1d(5, momentum=None)))


@setting
def batch_statistics_whatever_the_mode():
    class Batch(nn.BatchNorm1d):
        def forward(self, x):
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=True
            )

    return Setting(net(Batch(5)))


@setting
def batch_statistics_in_attributes():
    class Batch(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean, self.var = torch.zeros(5), torch.ones(5)

        def forward(self, x):
            return functional.batch_norm(x, self.mean, self.var, training=True)

    return Setting(net(Batch()))


@setting
def autocast():
    return Setting(net(), around=lambda: torch.autocast("cpu", torch.bfloat16))


@setting
def accumulation():
    class Every(torch.optim.SGD):
        calls = 0

        def zero_grad(self, set_to_none=True):
            self.calls += 1
            if self.calls % 2:
                super().zero_grad(set_to_none)

    return Setting(net(), optimiser=lambda parameters: Every(parameters, lr=0.1))


@setting
def frozen_batch_norm():
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net(nn.BatchNorm1d(5))

        def train(self, mode=True):
            super().train(mode)
            self.body[2].eval()
            return self

        def forward(self, x):
            self.body[2].eval()
            return self.body(x)

    return Setting(Frozen().train())


@setting
def recurrent():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.out = nn.LSTM(D, 3, num_layers=2, dropout=0.2), nn.Linear(3, C)

        def forward(self, x):
            return self.out(self.cell(x[None].expand(3, -1, -1))[0][-1])

    return Setting(Recurrent())


@setting
def attention():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(D, 2, 6, batch_first=True)
            self.out = nn.Linear(D, C)

        def forward(self, x):
            return self.out(self.layer(x[:, None].expand(-1, 3, -1)).mean(1))

    return Setting(Attends())


@setting
def checkpointed():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.out, self.calls = (
                nn.Sequential(nn.Linear(D, 5), nn.Tanh()),
                nn.Linear(5, C),
                0,
            )
            self.register_buffer("mean", torch.zeros(5))

        def part(self, x):
            self.calls += 1
            h = self.inner(x)
            self.mean.mul_(0.9).add_(0.1 * h.detach().mean(0))
            return functional.dropout(h, 0.1, self.training)

        def forward(self, x):
            return self.out(checkpoint(self.part, x, use_reentrant=False))

    return Setting(Checkpointed())


@setting
def checkpointed_batch_norm():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.out = nn.Linear(D, 5), nn.Linear(5, C)
            self.register_buffer("mean", torch.zeros(5))
            self.register_buffer("var", torch.ones(5))

        def norm(self, x):
            return functional.batch_norm(x, self.mean, self.var, training=True)

        def forward(self, x):
            return self.out(checkpoint(self.norm, self.inner(x), use_reentrant=False))

    return Setting(Checkpointed())


# Parameters in unusual places.


@setting
def tied_weights():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.out = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, C)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.out(torch.tanh(self.two(torch.tanh(self.one(x)))))

    return Setting(Tied())


@setting
def one_block_under_several_names():
    block, activation = nn.Sequential(nn.Linear(D, D), nn.BatchNorm1d(D)), nn.Tanh()
    model = nn.Sequential(block, activation, block, activation, nn.Linear(D, C))
    model[4].again = block
    return Setting(model)


@setting
def modules_outside_of_the_tree():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(5, C)
            self.layers = [nn.Linear(D, 5), nn.BatchNorm1d(5)]
            self.weights = (self.out.weight, self.out.bias)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return functional.linear(x, *self.weights)

    return Setting(Hidden())


@setting
def lists_of_parameters():
    class Lists(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.ParameterList([torch.randn(5, D), torch.randn(C, 5)])
            self.scales = nn.ParameterDict({"one": torch.ones(5), "two": torch.ones(C)})

        def forward(self, x):
            for weight, scale in zip(self.weights, self.scales.values(), strict=True):
                x = torch.tanh(x @ weight.T) * scale
            return x

    return Setting(Lists())


@setting
def weight_and_spectral_norm_of_old():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        first = nn.utils.weight_norm(nn.Linear(D, 5))
    return Setting(nn.Sequential(first, nn.Tanh(), nn.utils.spectral_norm(nn.Linear(5, C))))


@setting
def parametrizations_of_today():
    first = parametrizations.weight_norm(nn.Linear(D, 5))
    last = parametrizations.spectral_norm(nn.Linear(5, 5))
    return Setting(
        nn.Sequential(
            first, nn.Tanh(), last, parametrizations.orthogonal(nn.Linear(5, 5)), nn.Linear(5, C)
        )
    )


@setting
def parametrizations_that_are_remembered():
    model = net()
    parametrizations.weight_norm(model[0])
    return Setting(model, around=parametrize.cached)


@setting
def pruned():
    model = net()
    prune.random_unstructured(model[0], "weight", amount=0.3)
    return Setting(model)


@setting
def dropped_weights():
    class Drops(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(D, C)
            self.raw = nn.Parameter(self.layer.weight.detach().clone())
            del self.layer.weight
            self.layer.weight = functional.dropout(self.raw, 0.2, True)

        def forward(self, x):
            self.layer.weight = functional.dropout(self.raw, 0.2, self.training)
            return self.layer(x)

    return Setting(Drops())


@setting
def work_in_train_and_eval():
    class Folding(nn.Linear):
        folded = False

        def train(self, mode=True):
            super().train(mode)
            if mode == self.folded:
                with torch.no_grad():
                    self.weight.mul_(0.5 if self.folded else 2.0)
                self.folded = not mode
            return self

    return Setting(nn.Sequential(Folding(D, 5), nn.Tanh(), nn.Linear(5, C)))


@setting
def slots_of_its_own():
    class Unusual(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def __setattr__(self, name, value):
            if name == "training" and "_parameters" in vars(self):
                value = True
            super().__setattr__(name, value)

        def __getattr__(self, name):
            return super().__getattr__(name)

        def forward(self, x):
            return self.body(x)

    return Setting(Unusual())


# State that the forward pass writes.


@setting
def running_buffer():
    class Running(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()
            self.register_buffer("mean", torch.zeros(D))
            self.first = self.mean[:1]

        def forward(self, x):
            self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
            return self.body(x - self.mean - self.first)

    return Setting(Running())


@setting
def attributes():
    class Remembers(nn.Module):
        cache: ClassVar = {}

        def __init__(self):
            super().__init__()
            self.body, self.calls, self.history = net(), 0, []
            self.hidden = torch.zeros(C)
            self.table, self.queue = {"shapes": {(1, 2)}}, deque(maxlen=3)
            self.mean = np.zeros(D)

        def forward(self, x):
            self.calls += 1
            type(self).cache[self.calls] = x
            self.table["shapes"].add(tuple(x.shape))
            self.mean += x.detach().mean(0).double().numpy()
            self.hidden.mul_(0.5)
            if not hasattr(self, "mask"):
                self.mask = torch.ones(x.shape[-1], requires_grad=True)
                self.register_buffer("positions", torch.arange(3.0))
            self.last = self.body(x * self.mask) + self.hidden.detach()
            self.history.append(self.last)
            self.queue.append(self.last.detach())
            self.hidden = self.last.mean(0).detach()
            return self.last

    model = Remembers()
    Remembers.cache.clear()
    return Setting(model, also=[Remembers.cache])


class Average:
    """An exponential average that is no module."""

    __slots__ = ("decay", "value")

    def __init__(self, size):
        self.decay, self.value = 0.9, torch.zeros(size)

    def update(self, x):
        self.value = self.decay * self.value + 0.1 * x.detach().mean(0)
        return self.value


class Codebook:
    def __init__(self):
        self.codes = torch.linspace(-1, 1, 8).view(2, 4).clone()
        self.average = Average(D)


@setting
def helpers():
    class Quantised(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.codebook = net(), Codebook()

        def forward(self, x):
            nearest = torch.cdist(x.detach(), self.codebook.codes).argmin(1)
            self.codebook.codes.index_add_(0, nearest, 0.01 * x.detach())
            return self.body(self.codebook.codes[nearest].clone() - self.codebook.average.update(x))

    model = Quantised()
    return Setting(model, also=[model.codebook.average.value, model.codebook.average.decay])


@setting
def hidden_state_of_the_step_before():
    class Stateful(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.out = nn.GRUCell(D, 4), nn.Linear(4, C)
            self.state = None

        def forward(self, x):
            self.state = self.cell(x, None if self.state is None else self.state.detach())
            return self.out(self.state)

    return Setting(Stateful())


@setting
def momentum_encoder():
    class Contrast(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key = net(), net().requires_grad_(False)
            self.register_buffer("queue", torch.zeros(C))

        def forward(self, x):
            for q, k in zip(self.query.parameters(), self.key.parameters(), strict=True):
                k.data = 0.9 * k.data + 0.1 * q.data
            with torch.no_grad():
                for k in self.key.parameters():
                    k.mul_(0.999)
                self.queue.copy_(self.key(x).mean(0))
            return self.query(x) - self.queue

    return Setting(Contrast(), refused=CONSTANT)


@setting
def fake_quantisation():
    from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver

    middle = FakeQuantize(MovingAverageMinMaxObserver, quant_min=0, quant_max=255)
    return Setting(net(middle), refused=CONSTANT)


@setting
def observers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.ao.quantization import HistogramObserver, MinMaxObserver

        return Setting(net(MinMaxObserver(), HistogramObserver()))


@setting
def lost_load_balance():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.one, self.two = nn.Linear(D, 2), nn.Linear(D, C), nn.Linear(D, C)

        def forward(self, x):
            share = self.gate(x).softmax(-1)
            self.balance = share.mean(0).square().sum()
            return share[:, :1] * self.one(x) + share[:, 1:] * self.two(x)

    model = Experts()
    loss = lambda o, t: functional.cross_entropy(o, t) + model.balance  # noqa: E731
    return Setting(model, loss, refused="left elsewhere")


@setting
def settings_and_flags():
    class Sets(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def forward(self, x):
            warnings.simplefilter("ignore", ResourceWarning)
            self.body.requires_grad_(True)
            if self.training:
                self.train()
            return self.body(x)

    return Setting(Sets())


# Losses with state.


class Centred(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("centre", torch.zeros(C))
        self.scale = nn.Parameter(torch.ones(()))
        self.seen = 0

    def forward(self, outputs, targets):
        centre, self.seen = self.centre, self.seen + len(targets)
        self.centre = 0.9 * self.centre + 0.1 * outputs.detach().mean(0)
        return functional.cross_entropy(self.scale * (outputs - centre), targets)


@setting
def loss_module():
    return Setting(net(), Centred())


@setting
def loss_method():
    return Setting(net(), Centred().forward)


@setting
def loss_closure():
    seen, mean, count = [], torch.zeros(C), 0

    def loss(outputs, targets):
        nonlocal count
        count += 1
        loss.calls = count
        seen.append(outputs)
        if torch.is_grad_enabled():
            mean.mul_(0.9).add_(0.1 * outputs.detach().mean(0))
        return functional.cross_entropy(outputs - mean, targets)

    return Setting(net(), loss, also=[seen, mean], refused="vmap", warns=CONSTANT)


total, running = 0, torch.zeros(C)


@setting
def loss_with_global_variables():
    def loss(outputs, targets):
        global total, running  # noqa: PLW0603
        total += 1
        value = functional.cross_entropy(outputs, targets) + 0.01 * (outputs * running).mean()
        running = running + outputs.detach().mean(0)
        return value

    global total, running
    total, running = 0, torch.zeros(C)
    return Setting(net(), loss, also=lambda: (total, running))


@setting
def penalty():
    model = net()

    def loss(outputs, targets):
        weights = sum(parameter.square().sum() for parameter in model.parameters())
        return functional.cross_entropy(outputs, targets) + 0.1 * weights

    return Setting(model, loss)


# Writes into what is given.


@setting
def inputs_in_place():
    class Shifts(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def forward(self, x):
            return self.body(x.sub_(2.0).div_(3.0).unsqueeze_(0).squeeze_(0))

    return Setting(Shifts())


@setting
def outputs_and_targets_in_place():
    def loss(outputs, targets):
        targets.neg_().add_(C - 1)
        return functional.cross_entropy(outputs.mul_(0.5), targets)

    return Setting(net(), loss)


@setting
def inputs_that_are_objects():
    class Graph:
        def __init__(self):
            self.x, self.calls = torch.ones(N, D), 0

    class Takes(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def forward(self, x, graph):
            graph.calls += 1
            graph.x.add_(0.1)
            graph.x = graph.x + x
            return self.body(graph.x)

    return Setting(Takes(), inputs=(torch.randn(N, D), Graph()))


# Writes into parameters: refused.


@setting
def parameters_clamped():
    class Clamps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(D, C)

        def forward(self, x):
            with torch.no_grad():
                self.layer.weight.clamp_(-0.1, 0.1)
            return self.layer(x)

    return Setting(Clamps(), refused="write to layer.weight")


@setting
def parameters_by_data():
    class Clamps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(D, C)

        def forward(self, x):
            self.layer.weight.data = self.layer.weight.data.clamp(-0.1, 0.1)
            return self.layer(x)

    return Setting(Clamps(), refused="write to layer.weight", sometimes=True)


@setting
def renormalised_embedding():
    model = nn.Sequential(nn.Embedding(6, 5, max_norm=0.5), nn.Linear(5, C))
    return Setting(model, inputs=torch.arange(N) % 6, refused="write to 0.weight")


@setting
def loss_that_writes_parameters():
    model = net()

    def loss(outputs, targets):
        model[2].bias.data.sub_(model[2].bias.data.mean())
        return functional.cross_entropy(outputs, targets)

    return Setting(model, loss, refused="write to 2.bias")


@setting
def parameters_set_by_the_first_batch():
    class Normalises(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift, self.body, self.ready = nn.Parameter(torch.zeros(D)), net(), False

        def forward(self, x):
            if not self.ready:
                self.shift.data.copy_(x.mean(0))
                self.ready = True
            return self.body(x - self.shift)

    return Setting(Normalises(), refused="write to shift", sometimes=True)


# Random numbers.


@setting
def noise_of_all_kinds():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.own, self.other = net(), torch.Generator(), random.Random(3)
            self.third = np.random.default_rng(3)

        def forward(self, x):
            shift = random.random() + self.other.random() + self.third.random()
            shift += np.random.rand()  # noqa: NPY002
            noise = torch.randn_like(x) + torch.rand(D, generator=self.own)
            return self.body(x + 0.1 * noise) + shift

    model = Noisy()
    return Setting(model)


# Hooks.


@setting
def hooks():
    model, seen = net(), []

    def forward(module, args, output):
        seen.append(output)
        return output

    def gradient(module, given, got):
        seen.append(len(got))

    model[0].register_forward_hook(forward)
    model[1].register_forward_pre_hook(lambda module, args: seen.append(args))
    model[2].register_full_backward_hook(gradient)
    model[2].weight.register_hook(lambda g: g.clamp(-0.01, 0.01))
    model[2].bias.register_post_accumulate_grad_hook(lambda p: seen.append("bias"))
    return Setting(model, also=[seen], warns="hooks are left out")


@setting
def hooks_that_run():
    model, seen = net(), []
    model[0].register_forward_hook(lambda m, a, o: seen.append(o) or o * 2)
    return Setting(model, also=[seen], options={"run_hooks": True})


@setting
def tensor_hooks():
    class Reverses(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.seen = net(), []

        def forward(self, x):
            h = self.body(x)
            h.retain_grad()
            h.register_hook(self.seen.append)
            return h

    model = Reverses()
    return Setting(model, warns="hooks are left out")


@setting
def hooks_of_all_modules():
    seen = []

    @contextlib.contextmanager
    def around():
        with nn.modules.module.register_module_forward_hook(lambda m, a, o: seen.append(o)):
            yield

    return Setting(net(), also=[seen], around=around, warns="hooks are left out")


def check(make, probings, steps):
    """Where a training with probings differs from that without; and what the probings said."""
    alone, _, unwatched = trained(make, (), steps)
    watched, failures, made = trained(make, probings, steps)
    told = [failure for failure in failures if not made.refused or made.refused not in failure]
    assert set(told) <= {""}
    assert bool(made.refused) == bool(failures[0])
    # Parameters that forward writes only once, or again as they are, are measured then.
    assert made.sometimes or len(told) in (0, len(failures))
    with contextlib.suppress(RuntimeError):
        copy.deepcopy(unwatched.model)
        copy.deepcopy(made.model)
    return difference(alone, watched) or ("" if alone == watched else "?"), failures


@pytest.mark.parametrize("name", SETTINGS)
def test_training_is_the_same_to_the_bit(name):
    """Weights, gradients, state of all kinds, flags, generators, with a graph pending."""
    make = SETTINGS[name]
    # Where forward writes to parameters, the first probing has to come before it does.
    where, _ = check(make, [(0, 0), (0, 1)] if make().sometimes else [(0, 1)], steps=2)
    assert where == ""


def compiled():
    model = net(nn.BatchNorm1d(5), nn.Dropout(0.2))
    return Setting(model, forward=torch.compile(model, backend="aot_eager"))


def optimised(kind):
    """A training by an optimiser of torch."""

    def of(parameters):
        chosen = list(parameters)
        if kind.__name__ == "Muon":
            chosen = [parameter for parameter in chosen if parameter.ndim == 2]
        if kind.__name__ == "SparseAdam":
            chosen = chosen[:1]
        return kind(chosen, lr=0.01)

    def make():
        if kind.__name__ == "SparseAdam":
            model = nn.Sequential(nn.Embedding(6, 5, sparse=True), nn.Linear(5, C))
            inputs = torch.arange(N) % 6
            return Setting(model, inputs=inputs, optimiser=of)
        return Setting(net(), optimiser=of)

    return make


def on_two_processes(folder):
    """Whether both processes of a distributed training have the same bits."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    worker = Path(__file__).parents[1] / "processes.py"
    subprocess.run([*launch, str(worker), str(folder), "zero_bits"], check=True, timeout=240)
    return [torch.load(folder / f"{rank}.pt")["zero_bits"] for rank in range(2)] == [True, True]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_table(tmp_path, capsys):
    """Every setting, compiled, with each optimiser, on two processes; probed at every moment."""
    optimisers = [
        kind
        for kind in vars(torch.optim).values()
        if isinstance(kind, type) and torch.optim.Optimizer in kind.__mro__[1:]
    ]
    settings = SETTINGS | {"compiled": compiled}
    settings |= {kind.__name__: optimised(kind) for kind in optimisers}
    assert len(settings) >= 25
    moments = list(itertools.product(range(2), range(4)))
    lines, different = [], []
    for name, make in settings.items():
        where, failures = check(make, moments, steps=2)
        refused = sum(map(bool, failures))
        lines.append(
            f"{name:40} {len(failures):2} probings, {refused:2} refused: {where or 'same'}"
        )
        different += [name] * bool(where)
    same = on_two_processes(tmp_path)
    lines.append(f"{'two processes':40} {'same' if same else 'different'}")
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert not different
    assert same
