import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from spectrain.probes.crosscheck import crosscheck
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import (
    CovarianceOperator,
    GaussNewtonOperator,
    HessianOperator,
    InformationOperator,
)
from spectrain.probes.curvature.observe import undisturbed
from spectrain.probes.curvature.wrappers import unwrap
from spectrain.probes.krylov.density import spectral_densities
from spectrain.probes.krylov.eigenpairs import extreme_eigenpairs
from spectrain.probes.krylov.krylov_space import krylov_space


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 3)
    )


def batch():
    g = torch.Generator().manual_seed(2)
    return torch.randn(20, 4, generator=g), torch.randint(3, (20,), generator=g)


def probe(model, inputs, targets):
    generator = torch.Generator().manual_seed(7)
    for kind in (HessianOperator, GaussNewtonOperator, InformationOperator, CovarianceOperator):
        operator = kind(model, functional.cross_entropy, (inputs, targets), Block("all"))
        krylov = krylov_space(operator, 2, 1, generator=generator, max_steps=4)
        extreme_eigenpairs(operator, krylov, 2, 1)
        spectral_densities(krylov)


def probe_batches(model, inputs, targets):
    """From a shuffling loader, which draws from torch's global generator."""
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=8, shuffle=True)
    for kind in (HessianOperator, CovarianceOperator):
        operator = kind(
            model, functional.cross_entropy, loader, Block("all"), strategy="rebuilt graph"
        )
        operator @ torch.eye(operator.size)[:, :3]


def check(model, inputs, targets):
    crosscheck(
        model, functional.cross_entropy, inputs, targets, torch.Generator().manual_seed(1), draws=3
    )


def trained(observer):
    """Everything that a training leaves behind, with the observer called after each step."""
    model = network()
    model[3].eval()  # modes differ between the parts
    inputs, targets = batch()
    optimiser = torch.optim.Adam(model.parameters())
    kept = []
    for _ in range(3):
        optimiser.zero_grad()
        functional.cross_entropy(model(inputs + torch.randn(20, 4)), targets).backward()
        optimiser.step()
        if observer:
            observer(model, inputs, targets)
        kept += [p.grad.clone() for p in model.parameters()]
        kept.append(torch.get_rng_state())
    state = optimiser.state_dict()["state"]
    kept += [value.clone() for value in model.state_dict().values()]
    kept += [value for slot in state.values() for value in slot.values()]
    return kept, [part.training for part in model.modules()]


@pytest.mark.parametrize("observer", [probe, probe_batches, check])
def test_training_is_the_same_to_the_bit(observer):
    alone, modes = trained(None)
    watched, watched_modes = trained(observer)
    assert modes == watched_modes
    assert len(alone) == len(watched)
    assert all(torch.equal(a, b) for a, b in zip(alone, watched, strict=True))


def test_gradients_that_are_none_stay_none():
    model = network()
    probe(model, *batch())
    check(model, *batch())
    assert all(p.grad is None for p in model.parameters())


def test_hooks_of_the_training_see_nothing():
    model, calls = network(), []
    for parameter in model.parameters():
        parameter.register_hook(lambda gradient: calls.append("hook") or 2 * gradient)
        parameter.register_post_accumulate_grad_hook(lambda _: calls.append("accumulated"))
    probe(model, *batch())
    check(model, *batch())
    assert calls == []


def test_state_comes_back_after_a_failure():
    model = network()
    before = torch.get_rng_state()

    def fail():
        with undisturbed(model) as observed:
            torch.randn(3)
            assert not observed.module.training
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert all(part.training for part in model.modules())
    assert torch.equal(torch.get_rng_state(), before)


def test_leaves_every_mode_of_the_caller():
    model = network()
    with torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        with undisturbed(model):
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
            assert not torch.is_autocast_enabled("cpu")
            assert model(batch()[0]).dtype == torch.float32
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")


def test_dropout_is_off_while_probing():
    model, (inputs, targets) = network(), batch()
    operators = [
        HessianOperator(model, functional.cross_entropy, (inputs, targets), Block("all"))
        for _ in range(2)
    ]
    eye = torch.eye(operators[0].size)
    assert torch.equal(operators[0] @ eye, operators[1] @ eye)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_modules_run_uncompiled():
    calls = []

    def backend(graph, _):
        calls.append(graph)
        return graph.forward

    model = network()
    wrapped = torch.compile(model, backend=backend)
    inner = nn.Sequential(torch.compile(model[0], backend=backend), *model[1:])
    assert unwrap(wrapped) is model
    for candidate in (wrapped, inner):
        with undisturbed(candidate) as observed:
            observed.module(batch()[0])
    assert calls == []
    wrapped(batch()[0])
    assert calls


def test_data_parallel_wrappers_come_off():
    model = network()
    assert unwrap(nn.DataParallel(model)) is model
    assert unwrap(model) is model
