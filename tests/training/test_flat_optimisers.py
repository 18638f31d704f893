"""Entropy-SGD and replicated SGD against what they do exactly on a quadratic loss."""

import copy
import math

import pytest
import torch
from torch import nn

from spectrain.training.entropy_sgd import EntropySGD
from spectrain.training.loop import fit
from spectrain.training.replicated_sgd import ReplicatedSGD

CURVATURES = torch.tensor([0.01, 0.5, 3.0, 40.0], dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def quadratic(optimiser, *parameters):
    """Closure of sum h x^2 / 2 over the parameters, h as many as there are entries."""

    def closure():
        optimiser.zero_grad()
        x = torch.cat([p.flatten() for p in parameters])
        loss = (CURVATURES * x**2).sum() / 2
        loss.backward()
        return loss

    return closure


def parameter(values=(1.0, -2.0, 3.0, 0.5)):
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def test_the_local_entropy_filters_curvatures():
    """A long chain turns h into gamma h / (h + gamma): x <- (1 - eta gamma h / (h + gamma)) x."""
    x, gamma, eta = parameter(), 2.0, 0.3
    optimiser = EntropySGD(
        [x], lr=eta, inner_lr=0.04, stiffness=gamma, inner_steps=1500, averaging=0.9
    )
    closure = quadratic(optimiser, x)
    expected = x.detach().clone()
    for _ in range(3):
        loss = (CURVATURES * expected**2).sum() / 2
        assert float(optimiser.step(closure).detach()) == pytest.approx(float(loss), rel=1e-12)
        expected *= 1 - eta * gamma * CURVATURES / (CURVATURES + gamma)
        torch.testing.assert_close(x.detach(), expected, rtol=1e-12, atol=1e-12)


def test_a_short_chain_in_closed_form():
    """x' - x* decays by 1 - eta'(h + gamma) towards x* = gamma x / (h + gamma)."""
    x, gamma, rate, alpha, length = parameter(), 2.0, 0.02, 0.6, 5
    start = x.detach().clone()
    optimiser = EntropySGD(
        [x], lr=0.4, inner_lr=rate, stiffness=gamma, inner_steps=length, averaging=alpha
    )
    optimiser.step(quadratic(optimiser, x))
    fixed = gamma * start / (CURVATURES + gamma)
    decay = 1 - rate * (CURVATURES + gamma)
    mean = (1 - alpha) ** length * start
    for k in range(1, length + 1):
        mean += alpha * (1 - alpha) ** (length - k) * (fixed + decay**k * (start - fixed))
    torch.testing.assert_close(x.detach(), start + 0.4 * gamma * (mean - start))


def test_the_chain_has_the_noise_that_is_asked_for():
    """Variance of y after one inner step with alpha = 1: eta' epsilon^2, over 10^4 coordinates."""
    x = nn.Parameter(torch.zeros(10_000, dtype=torch.float64))
    optimiser = EntropySGD(
        [x],
        lr=1.0,
        inner_lr=0.25,
        inner_steps=1,
        averaging=1.0,
        noise=0.8,
        generator=generator(),
    )

    def closure():
        x.grad = torch.zeros_like(x)
        return 0.0

    optimiser.step(closure)
    # The standard error of a variance over n normal numbers is (2/n)^(1/2) of it.
    assert float(x.detach().var()) == pytest.approx(0.25 * 0.64, rel=5 * math.sqrt(2 / 10_000))


def test_replicas_decay_at_h_and_their_deviations_at_h_and_gamma():
    x, eta, gamma = parameter(), 0.01, 3.0
    optimiser = ReplicatedSGD(
        [x], lr=eta, stiffness=gamma, replicas=4, spread=0.3, generator=generator()
    )
    closure = quadratic(optimiser, x)
    optimiser.step(closure)
    replicas = optimiser.state[x]["replicas"].clone()
    centre, steps = x.detach().clone(), 25
    deviations = replicas - centre
    assert float(deviations.abs().max()) > 0.1
    for _ in range(steps):
        optimiser.step(closure)
    torch.testing.assert_close(x.detach(), centre * (1 - eta * CURVATURES) ** steps)
    found = optimiser.state[x]["replicas"] - x.detach()
    expected = deviations * (1 - eta * (CURVATURES + gamma)) ** steps
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-13)


def test_replicas_without_attraction_are_runs_of_sgd():
    x = parameter()
    optimiser = ReplicatedSGD([x], lr=0.01, stiffness=0.0, replicas=2)
    for _ in range(4):
        optimiser.step(quadratic(optimiser, x))
    torch.testing.assert_close(x.detach(), parameter().detach() * (1 - 0.01 * CURVATURES) ** 4)


def entropy(groups):
    return EntropySGD(groups, noise=0.1, scoping=0.05, inner_steps=3, generator=generator(5))


def replicated(groups):
    return ReplicatedSGD(groups, spread=0.1, scoping=0.05, generator=generator(5))


@pytest.mark.parametrize("make", [entropy, replicated])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(make):
    inputs, targets = torch.randn(30, 5, generator=generator(1)), torch.randn(30, 1)

    def built():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))
        groups = [
            {"params": list(model[0].parameters())},
            {"params": list(model[2].parameters()), "lr": 0.05, "stiffness": 0.4},
        ]
        return model, make(groups)

    def trained(model, optimiser, steps):
        def closure():
            optimiser.zero_grad()
            loss = nn.functional.mse_loss(model(inputs), targets)
            loss.backward()
            return loss

        for _ in range(steps):
            optimiser.step(closure)

    whole, optimiser = built()
    trained(whole, optimiser, 6)
    half, first = built()
    trained(half, first, 3)
    saved = copy.deepcopy((half.state_dict(), first.state_dict()))
    other, second = built()
    trained(other, second, 1)  # whatever it holds is replaced
    other.load_state_dict(saved[0])
    second.load_state_dict(saved[1])
    trained(other, second, 3)
    for one, another in zip(whole.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, another)
    assert [group["stiffness"] for group in second.param_groups] == [
        group["stiffness"] for group in optimiser.param_groups
    ]


@pytest.mark.parametrize("make", [entropy, replicated])
def test_parameters_without_gradient_stay(make):
    used, unused, frozen = parameter(), parameter(), parameter()
    frozen.requires_grad_(False)
    optimiser = make([used, unused, frozen])
    start = frozen.clone()
    optimiser.step(quadratic(optimiser, used))
    assert torch.equal(frozen, start)
    if make is entropy:
        assert torch.equal(unused, parameter())
    assert not torch.equal(used, parameter())


@pytest.mark.parametrize("make", [entropy, replicated])
def test_the_loop_of_this_package_gives_the_closure(make):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    inputs = torch.randn(20, 3)
    targets = inputs.sum(1, keepdim=True)

    def loss():
        return float(nn.functional.mse_loss(model(inputs), targets).detach())

    before = loss()
    data = [(inputs, targets)] * 30
    fit(model, nn.MSELoss(), data, make(model.parameters()), epochs=1, steps_per_epoch=30)
    assert loss() < before / 4


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (EntropySGD, {"lr": 0.0}, "lr: expected a number above 0, got 0"),
        (EntropySGD, {"inner_lr": -1.0}, "inner_lr: expected a number above 0"),
        (EntropySGD, {"stiffness": 0.0}, "stiffness: expected a number above 0"),
        (EntropySGD, {"inner_steps": 0}, "inner_steps: expected a number at least 1, got 0"),
        (EntropySGD, {"inner_steps": 1.5}, "inner_steps: expected a whole number, got 1.5"),
        (EntropySGD, {"averaging": 1.5}, "averaging: expected a number up to 1"),
        (EntropySGD, {"noise": 0.1}, "generator: expected one at a noise above 0"),
        (EntropySGD, {"scoping": math.nan}, "scoping: expected a number at least 0, got nan"),
        (ReplicatedSGD, {"replicas": 1}, "replicas: expected a number at least 2, got 1"),
        (ReplicatedSGD, {"stiffness": -1.0}, "stiffness: expected a number at least 0"),
        (ReplicatedSGD, {"spread": 1.0}, "generator: expected one at a spread above 0"),
    ],
)
def test_bad_arguments_are_named(make, change, message):
    with pytest.raises(ValueError, match=message):
        make([parameter()], **change)


@pytest.mark.parametrize(
    ("make", "name"), [(EntropySGD, "inner_steps"), (ReplicatedSGD, "replicas")]
)
def test_groups_and_closure_are_checked(make, name):
    optimiser = make([parameter()])
    with pytest.raises(ValueError, match="closure: expected one that returns the loss"):
        optimiser.step()
    with pytest.raises(ValueError, match=f"{name}: expected one integer for all groups, got 7"):
        optimiser.add_param_group({"params": [parameter()], name: 7})
    with pytest.raises(ValueError, match="lr: expected a number above 0"):
        optimiser.add_param_group({"params": [parameter()], "lr": -1.0})
