import pytest
import torch

from spectrain.models.spiked.landscape import SpikedLandscape
from spectrain.models.spiked.message_passing import message_passing
from spectrain.models.spiked.model import SpikedModel
from spectrain.models.spiked.sphere_descent import SphereDescent
from spectrain.models.spiked.start import random_signal, start_at_overlap


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def model(dimension=30, noises=(0.3, 1.0), overlap=0.2, dtype=torch.float64):
    source = generator()
    signal = random_signal(dimension, source, dtype)
    land = SpikedLandscape(signal, *noises, source)
    return SpikedModel(land, start_at_overlap(signal, overlap, source))


def test_a_step_is_the_projected_one_put_back_on_the_sphere():
    spiked, rate = model(), 0.1
    x, local = spiked.x.detach().clone(), spiked.landscape.at(spiked.x)
    spiked().backward()
    SphereDescent(spiked.parameters(), rate).step()
    moved = x - rate * local.tangent_gradient
    torch.testing.assert_close(spiked.x.detach(), moved * (x.norm() / moved.norm()))


def test_descent_stays_on_the_sphere_and_ends_where_the_gradient_is_zero():
    spiked = model(dtype=torch.float32)
    descent = SphereDescent(spiked.parameters(), 0.05)
    for _ in range(600):
        descent.zero_grad()
        spiked().backward()
        descent.step()
    local = spiked.landscape.at(spiked.x)
    assert float(local.point.square().mean()) == pytest.approx(1, abs=1e-5)
    assert float(local.tangent_gradient.norm()) < 1e-3 * float(local.gradient.norm())


def test_langevin_noise_alone_diffuses_on_the_sphere():
    """x.x'/N = (1 + 2 T eta)^(-1/2) after a step without gradient, within 6 N^(-1/2)."""
    n, rate, temperature = 100_000, 0.1, 0.8
    x = torch.nn.Parameter(random_signal(n, generator(), torch.float64))
    before = x.detach().clone()
    x.grad = torch.zeros_like(x)
    SphereDescent([x], rate, temperature, generator(1)).step()
    expected = (1 + 2 * temperature * rate) ** -0.5
    assert float(x.detach() @ before) / n == pytest.approx(expected, abs=6 * n**-0.5)
    assert float(x.detach().norm()) == pytest.approx(float(before.norm()))


def test_the_same_generator_the_same_path():
    ends = []
    for _ in range(2):
        spiked = model()
        descent = SphereDescent(spiked.parameters(), 0.05, 0.3, generator(7))
        for _ in range(5):
            descent.zero_grad()
            spiked().backward()
            descent.step()
        ends.append(spiked.x.detach().clone())
    assert torch.equal(*ends)


def test_a_saved_state_goes_on_with_the_same_noise():
    spiked = model()

    def steps(descent, count):
        for _ in range(count):
            descent.zero_grad()
            spiked().backward()
            descent.step()

    descent = SphereDescent(spiked.parameters(), 0.05, 0.3, generator(7))
    steps(descent, 2)
    state, x = descent.state_dict(), spiked.x.detach().clone()
    steps(descent, 3)
    end = spiked.x.detach().clone()
    with torch.no_grad():
        spiked.x.copy_(x)
    again = SphereDescent(spiked.parameters(), 0.05, 0.3, generator(0))
    again.load_state_dict(state)
    steps(again, 3)
    assert torch.equal(spiked.x.detach(), end)


def test_a_parameter_without_gradient_stays():
    still = torch.nn.Parameter(torch.ones(3))
    SphereDescent([still], 0.1).step()
    assert torch.equal(still.detach(), torch.ones(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, "lr: expected a positive number, got 0.0"),
        ({"lr": 0.1, "temperature": -1.0}, "temperature: expected at least 0, got -1.0"),
        ({"lr": 0.1, "temperature": 1.0}, "generator: expected one at a temperature above 0"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SphereDescent([torch.ones(2, requires_grad=True)], **arguments)


def test_message_passing_ends_in_a_critical_point():
    """x = chi B and x' = x make grad H + (1/chi + chi Q''(1)) x = 0."""
    spiked = model(100, (0.2, 1.0), 0.5)
    path = message_passing(spiked.landscape, spiked.x, 200)
    assert len(path) == 201
    local = spiked.landscape.at(path[-1])
    assert float(local.tangent_gradient.norm()) < 1e-6 * float(local.gradient.norm())
    with pytest.raises(ValueError, match="iterations: expected at least 0, got -1"):
        message_passing(spiked.landscape, spiked.x, -1)
