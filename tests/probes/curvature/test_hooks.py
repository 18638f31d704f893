"""The user's hooks are left out or run, and named; those that make parameters are run."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import HessianOperator
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe
from spectrain.probes.records.codec import decode, encode
from spectrain.probes.records.record import Record

N, D, C = 30, 4, 3
ce = functional.cross_entropy
LEAN = Measurement(density=False)


def batch():
    g = torch.Generator().manual_seed(2)
    x = torch.randn(N, D, generator=g, dtype=torch.float64)
    return x, torch.randint(C, (N,), generator=g)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(D, 5), nn.Tanh(), nn.Linear(5, C)).double()


def matrix(model, loss=ce, **options):
    operator = HessianOperator(model, loss, batch(), Block("all"), **options)
    return operator @ torch.eye(operator.size, dtype=torch.float64)


def doubled(outputs, targets):
    return ce(2 * outputs, targets)


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def hooked(calls):
    """A network whose last layer's output a hook doubles."""
    model = network()

    def double(module, args, output):
        calls.append(len(output))
        return 2 * output

    model[2].register_forward_hook(double)
    return model


def test_hooks_are_left_out_named_and_warned_of():
    calls, name = [], "forward hook hooked.<locals>.double of 2"
    model = hooked(calls)
    with pytest.warns(RuntimeWarning, match=f"hooks are left out .*: {name}; run_hooks=True"):
        same(matrix(model), matrix(network()))
    probe = SpectralProbe(model, ce, batch(), measurement=LEAN)
    with pytest.warns(RuntimeWarning, match=name):
        record = probe(0)
    assert record.hooks == (f"{name}: left out",)
    assert probe(1).hooks == record.hooks  # a second warning would be an error
    assert calls == []


def test_hooks_are_run_if_asked_for_and_named():
    calls = []
    model = hooked(calls)
    same(matrix(model, run_hooks=True), matrix(network(), doubled))
    record = SpectralProbe(model, ce, batch(), measurement=LEAN, run_hooks=True)(0)
    assert record.hooks == ("forward hook hooked.<locals>.double of 2: run",)
    expected = SpectralProbe(network(), doubled, batch(), measurement=LEAN)(0)
    values = [
        [pair.value for spectrum in each.measured.spectra for pair in spectrum.top]
        for each in (record, expected)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-10)
    assert calls == []  # what they write is put back as well


KINDS = {
    "forward pre-hook": lambda m, f: m[1].register_forward_pre_hook(lambda m, a: f(a)),
    "forward hook": lambda m, f: m[1].register_forward_hook(lambda m, a, o: f(o)),
    "backward pre-hook": lambda m, f: m[1].register_full_backward_pre_hook(lambda m, g: f(g)),
    "backward hook": lambda m, f: m[1].register_full_backward_hook(lambda m, g, h: f(g)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_hook_is_left_out_of_kept_and_of_rebuilt_graphs(kind):
    model, calls = network(), []
    KINDS[kind](model, lambda _: calls.append(kind))
    for strategy in ("kept graph, vmap", "rebuilt graph"):
        with pytest.warns(RuntimeWarning, match=f"{kind} .* of 1"):
            same(matrix(model, strategy=strategy), matrix(network()))
    assert calls == []


def test_hooks_of_all_modules_and_of_the_loss_are_left_out():
    calls, loss = [], nn.CrossEntropyLoss()
    loss.register_forward_hook(lambda m, a, o: calls.append(o))
    expected = "forward hook .* of loss, forward hook .* of all modules"
    with nn.modules.module.register_module_forward_hook(lambda m, a, o: calls.append(o)):
        with pytest.warns(RuntimeWarning, match=expected):
            matrix(network(), loss)
        assert len(nn.modules.module._global_forward_hooks) == 1
    assert calls == []


class Reversed(nn.Module):
    """Its gradient is turned round by a hook that forward itself puts on a tensor."""

    def __init__(self):
        super().__init__()
        self.body, self.calls = network(), []

    def reverse(self, gradient):
        self.calls.append(1)
        return -gradient

    def forward(self, x):
        h = self.body[0](x)
        if h.requires_grad:
            h.register_hook(self.reverse)
        return self.body[2](self.body[1](h))


def test_hooks_that_forward_puts_on_tensors_are_left_out_or_run():
    model = Reversed()
    with pytest.warns(RuntimeWarning, match=r"tensor hook Reversed\.reverse"):
        same(matrix(model), matrix(model.body))
    # For the last layer's parameters, which are behind it, nothing changes.
    found = matrix(model, run_hooks=True)
    first = D * 5 + 5
    same(found[first:, first:], matrix(model.body)[first:, first:])
    assert not torch.allclose(found, matrix(model.body))
    record = SpectralProbe(model, ce, batch(), measurement=LEAN, run_hooks=True)(0)
    assert record.hooks == ("tensor hook Reversed.reverse: run",)
    assert model.calls == []


def test_hooks_for_gradients_of_parameters_are_named_and_no_reason_to_warn():
    """The gradient that they are for, in ``.grad``, is never made."""
    model, calls = network(), []

    def clip(gradient):
        calls.append(1)
        return gradient.clamp(-1e-3, 1e-3)

    model[0].weight.register_hook(clip)
    for run in (False, True):
        same(matrix(model, run_hooks=run), matrix(network()))
        record = SpectralProbe(model, ce, batch(), measurement=LEAN, run_hooks=run)(0)
        (name,) = record.hooks
        assert name.startswith("gradient hook ")
        assert name.endswith("clip of 0.weight: left out")
    assert calls == []


def test_hooks_that_make_parameters_are_run_and_are_nobodys():
    """Pruned: M H M with the mask M. Weight norm: as if the weight were made by hand."""
    model = network()
    prune.random_unstructured(model[0], "weight", amount=0.4)

    class Own(prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            return default_mask * (torch.arange(t.numel()).view_as(t) % 2)

    Own.apply(model[2], "weight")
    plain = network()
    with torch.no_grad():
        plain[0].weight.mul_(model[0].weight_mask)
        plain[2].weight.mul_(model[2].weight_mask)
    # A pruned weight comes behind the bias.
    order = [name.removesuffix("_orig") for name, _ in model.named_parameters()]
    sizes = {name: parameter.numel() for name, parameter in plain.named_parameters()}
    parts = torch.arange(sum(sizes.values())).split(list(sizes.values()))
    places = dict(zip(sizes, parts, strict=True))
    order = torch.cat([places[name] for name in order])
    masks = [torch.ones(size, dtype=torch.float64) for size in sizes.values()]
    masks[0], masks[2] = model[0].weight_mask.flatten(), model[2].weight_mask.flatten()
    mask = torch.cat(masks)
    expected = mask[:, None] * matrix(plain) * mask
    same(matrix(model), expected[order][:, order])

    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        normed = nn.utils.weight_norm(nn.Linear(D, C, bias=False).double(), dim=None)

    class ByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.g, self.v = normed.weight_g, normed.weight_v

        def forward(self, x):
            return functional.linear(x, self.v * (self.g / self.v.norm()))

    same(matrix(normed), matrix(ByHand()))
    record = SpectralProbe(normed, ce, batch(), measurement=LEAN)(0)
    assert record.hooks == ()
    assert record.failure == ""


def test_hooks_with_which_a_theory_looks_on_see_no_probing_and_are_nobodys():
    model, calls = network(), []

    def look_on(module, args, output):
        calls.append(output)

    look_on.__module__ = "spectrain.theory.covariance"
    model[0].register_forward_hook(look_on)
    model[2].register_forward_hook(lambda m, a, o: 2 * o)
    record = SpectralProbe(model, ce, batch(), measurement=LEAN, run_hooks=True)(0)
    (name,) = record.hooks
    assert name.endswith("<lambda> of 2: run")
    same(matrix(model, run_hooks=True), matrix(network(), doubled))
    assert calls == []
    model(batch()[0])
    assert len(calls) == 1


def test_records_keep_the_names_and_older_ones_have_none():
    record = Record(3, 0.0, 0.0, hooks=("forward hook f of 1: left out",))
    kept = encode(record)
    assert decode(kept).hooks == record.hooks
    del kept["hooks"]
    assert decode(kept).hooks == ()
