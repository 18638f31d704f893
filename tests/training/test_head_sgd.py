"""Steps by hand against torch's own: the same numbers to rounding, for each model of a batch."""

import pytest
import torch
from torch.nn import functional

from spectrain.training.head_sgd import HeadSGD, head_sgd
from spectrain.training.loop import fit
from spectrain.training.systems import SYSTEMS
from spectrain.training.systems.mixture_config import OptimiserConfig

WITH_BIASES = {
    "second_layer_rate": 0.3,
    "hidden_bias": (0.1, 0.0, 0.2, 0.0),
    "output_bias": (0.1,),
}
SOFTMAX = {
    "loss": "softmax",
    "second_layer": ((1.0, -1.0, 0.5), (0.2, 0.3, 0.4)),
    "second_layer_rate": 1.0,
    "start": (),
    "activation": "tanh",
}
CASES = [
    ("softmax-mixture", {}),
    ("logistic-mixture", {}),
    ("two-layer-mixture", {}),
    ("two-layer-mixture", WITH_BIASES),
    ("two-layer-mixture", SOFTMAX),
    ("two-layer-mixture", {"loss": "squared", "activation": "softplus", "second_layer_rate": 0.1}),
]


def systems(name, keys, momentum=0.0, dtype="float64", count=1):
    optimiser = OptimiserConfig(batch_size=3, ridge=0.1, momentum=momentum)
    config = SYSTEMS[name](dimension=20, dtype=dtype, optimiser=optimiser, **keys)
    return [config.build(torch.Generator().manual_seed(seed)) for seed in range(count)]


def batches(system, seed):
    return iter(system.batches(torch.Generator().manual_seed(seed)))


def state(system):
    buffers = [each.get("momentum_buffer") for each in system.optimiser.state.values()]
    parameters = [each.detach() for each in system.model.parameters()]
    return [*parameters, *(each for each in buffers if each is not None)]


@pytest.mark.parametrize(("name", "keys"), CASES)
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_many_models_take_the_steps_that_torch_takes_of_each(name, keys, momentum):
    ours, theirs = (systems(name, keys, momentum, count=3) for _ in range(2))
    together = HeadSGD([s.model for s in ours], [s.optimiser for s in ours])
    streams = [batches(system, seed) for seed, system in enumerate(ours)]
    expected = []
    for _ in range(20):
        drawn = [next(stream) for stream in streams]
        together.step(*(torch.stack(part) for part in zip(*drawn, strict=True)))
        expected.append([])
        for system, (inputs, targets) in zip(theirs, drawn, strict=True):
            system.optimiser.zero_grad()
            loss = system.loss(system.model(inputs), targets)
            loss.backward()
            system.optimiser.step()
            expected[-1].append(loss.detach())
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(state(one), state(other), rtol=1e-11, atol=1e-13)
    losses = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(together.losses(), losses, rtol=1e-11, atol=1e-13)
    assert not len(together.losses())


@pytest.mark.parametrize(("name", "keys"), CASES)
def test_a_training_by_hand_is_the_training_to_rounding(name, keys):
    one, other = systems(name, keys, 0.5, "float32", 1) + systems(name, keys, 0.5, "float32", 1)
    by_hand = head_sgd(one.model, one.loss, one.optimiser)
    assert by_hand is not None
    for system, sgd in ((one, by_hand), (other, None)):
        fit(
            *(system.model, system.loss, batches(system, 1), system.optimiser),
            epochs=2,
            steps_per_epoch=10,
            by_hand=sgd,
        )
    torch.testing.assert_close(state(one), state(other), rtol=1e-4, atol=1e-5)


def test_batches_of_unequal_size_have_their_own_mean_loss():
    (system,) = systems("softmax-mixture", {})
    by_hand = head_sgd(system.model, system.loss, system.optimiser)
    expected = []
    for (inputs, targets), size in zip(batches(system, 2), (3, 3, 1, 2), strict=False):
        with torch.no_grad():
            expected.append(system.loss(system.model(inputs[:size]), targets[:size]))
        by_hand.step(inputs[None, :size], targets[None, :size])
    torch.testing.assert_close(by_hand.losses()[:, 0], torch.stack(expected))


def test_a_loss_that_is_not_finite_is_told_of_with_its_step():
    (system,) = systems("two-layer-mixture", {"loss": "squared", "activation": "square"})
    inputs = torch.full((1, 20), 1e60, dtype=torch.float64)
    data = [(inputs, torch.zeros(1, dtype=torch.int64))] * 5
    by_hand = head_sgd(system.model, system.loss, system.optimiser)
    with pytest.raises(
        FloatingPointError, match=r"^loss: expected finite .* at step 2 \(epoch 1\)"
    ):
        fit(
            *(system.model, system.loss, data, system.optimiser),
            epochs=1,
            steps_per_epoch=5,
            by_hand=by_hand,
        )


class Smoothed(torch.nn.Module):
    def forward(self, outputs, targets):
        return functional.cross_entropy(outputs, targets, label_smoothing=0.1)


def test_what_might_be_another_step_is_left_to_torch():
    (system,) = systems("softmax-mixture", {})
    model, loss, optimiser = system.model, system.loss, system.optimiser
    assert head_sgd(model, loss, optimiser) is not None
    assert head_sgd(model, model.head.criterion, optimiser) is not None
    assert head_sgd(model, Smoothed(), optimiser) is None
    assert head_sgd(model, loss, torch.optim.Adam(model.parameters())) is None
    assert (
        head_sgd(model, loss, torch.optim.SGD(model.parameters(), 0.1, 0.5, nesterov=True)) is None
    )
    other = torch.nn.Parameter(torch.zeros(1))
    assert head_sgd(model, loss, torch.optim.SGD([*model.parameters(), other], 0.1)) is None
    handle = model.register_forward_hook(lambda *_: None)
    assert head_sgd(model, loss, optimiser) is None
    handle.remove()
    optimiser.register_step_pre_hook(lambda *_: None)
    assert head_sgd(model, loss, optimiser) is None
    with pytest.raises(ValueError, match="models, optimisers: expected provided models"):
        HeadSGD([torch.nn.Linear(2, 2)], [optimiser])
