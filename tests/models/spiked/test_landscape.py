"""The landscape against its definition: all orders of the axes, and automatic differentiation."""

import itertools
import math

import pytest
import torch

from spectrain.models.spiked.landscape import SpikedLandscape
from spectrain.models.spiked.model import SpikedModel
from spectrain.models.spiked.start import random_signal, start_at_overlap

N = 7
CASES = [(0.4, None, 3), (None, 0.7, 3), (0.4, 0.7, 3), (0.9, 1.3, 4), (None, 0.5, 5)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def landscape(case, dimension=N, seed=0, dtype=torch.float64):
    matrix_noise, tensor_noise, order = case
    signal = random_signal(dimension, generator(seed), dtype)
    return SpikedLandscape(signal, matrix_noise, tensor_noise, generator(seed + 1), order)


def defined(land, x, seed=0):
    """H by its definition from the same full Gaussian tensors, in autograd's reach."""
    source, n = generator(seed + 1), land.dimension
    energy = 0.0
    for noise, order in ((land.matrix_noise, 2), (land.tensor_noise, land.order)):
        if noise is None:
            continue
        g = torch.randn((n,) * order, dtype=torch.float64, generator=source)
        for _ in range(order):
            g = g @ x
        # E (c G x^p)(c G x'^p) = c^2 N^p q^p = N q^p / (p Delta)
        energy = energy + g * n ** ((1 - order) / 2) / (order * noise) ** 0.5
        energy = energy - n * (x @ land.signal / n) ** order / (order * noise)
    return energy


@pytest.mark.parametrize("case", CASES)
def test_energy_gradient_and_hessian_are_those_of_the_definition(case):
    land = landscape(case)
    x = start_at_overlap(land.signal, 0.3, generator(5))
    local = land.at(x)
    expected = torch.func.grad(lambda y: defined(land, y))(x)
    hessian = torch.func.jacrev(torch.func.grad(lambda y: defined(land, y)))(x)
    torch.testing.assert_close(local.energy, defined(land, x), atol=1e-11, rtol=0)
    torch.testing.assert_close(local.gradient, expected, atol=1e-11, rtol=0)
    torch.testing.assert_close(local.hessian, hessian, atol=1e-11, rtol=0)
    torch.testing.assert_close(local.multiplier, -(x @ expected) / N, atol=1e-11, rtol=0)
    torch.testing.assert_close(local.tangent_gradient @ x, x.new_zeros(()), atol=1e-10, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_the_model_is_differentiable_twice(case):
    model = SpikedModel(
        landscape(case), start_at_overlap(landscape(case).signal, 0.3, generator(5))
    )
    local = model.landscape.at(model.x)
    v = torch.randn(N, dtype=torch.float64, generator=generator(9))
    (gradient,) = torch.autograd.grad(model(), model.x, create_graph=True)
    (product,) = torch.autograd.grad(gradient @ v, model.x)
    torch.testing.assert_close(gradient.detach(), local.gradient)
    torch.testing.assert_close(product, local.hessian @ v)


def test_one_pass_serves_energy_gradient_and_hessian(monkeypatch):
    land = landscape((0.4, 0.7, 3))
    passes = []
    local = SpikedLandscape._local
    monkeypatch.setattr(
        SpikedLandscape, "_local", lambda self, x: passes.append(x) or local(self, x)
    )
    model = SpikedModel(land, start_at_overlap(land.signal, 0.1, generator(2)))
    (gradient,) = torch.autograd.grad(model(), model.x, create_graph=True)
    torch.autograd.grad(gradient.sum(), model.x)
    assert land.at(model.x).hessian.shape == (N, N)
    assert len(passes) == 1
    with torch.no_grad():
        model.x.mul_(-1)
    model()
    assert len(passes) == 2


def test_the_noise_has_covariance_n_q():
    """E Hn(x)^2 = N Q(1) and E Hn(x) Hn(x') = N Q(q): 1000 draws, six standard errors.

    The variance of a product of two unit Gaussians with correlation c is 1 + c^2.
    """
    draws, n, q = 1000, 5, 0.4
    x = random_signal(n, generator(1), torch.float64)
    y = start_at_overlap(x, q, generator(2))
    source = generator(3)
    drawn = []
    for _ in range(draws):
        land = SpikedLandscape(x, 0.5, 1.5, source)
        signal = (n * land.covariance(land.overlap(z))[0] for z in (x, y))
        drawn.append([land.at(z).energy + part for z, part in zip((x, y), signal, strict=True)])
    values = torch.stack([torch.stack(row) for row in drawn])
    one, at_q = (float(land.covariance(torch.tensor(c))[0]) for c in (1.0, q))
    unit = n * one
    assert values[:, 0].square().mean() == pytest.approx(unit, abs=6 * unit * (2 / draws) ** 0.5)
    bound = 6 * unit * ((1 + (at_q / one) ** 2) / draws) ** 0.5
    assert values.prod(1).mean() == pytest.approx(n * at_q, abs=bound)


def test_float32_holds_the_same_landscape():
    double, single = (
        landscape((0.4, 0.7, 3), 40, 0, kind) for kind in (torch.float64, torch.float32)
    )
    assert single.at(single.signal).hessian.dtype == torch.float32
    # Drawn in another dtype the noise is another: compare what it is made from, its scale.
    ratio = single.at(single.signal).hessian.norm() / double.at(double.signal).hessian.norm()
    assert float(ratio) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("overlap", [-1, -0.4, 0, 0.7, 1])
def test_a_start_has_its_overlap_exactly(overlap):
    signal = random_signal(30, generator(), torch.float64)
    x = start_at_overlap(signal, overlap, generator(1))
    assert float(x @ signal) / 30 == pytest.approx(overlap, abs=1e-14)
    assert float(x @ x) == pytest.approx(30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signal": torch.ones(3, 3)}, r"signal: expected a floating tensor of shape \(N,\)"),
        ({"signal": 2 * torch.ones(5)}, r"signal: expected \|x\*\|\^2 = N, got 4 N"),
        ({"matrix_noise": 0.0}, "matrix_noise: expected a positive number or None, got 0"),
        ({"tensor_noise": math.nan}, "tensor_noise: expected a positive number or None, got nan"),
        ({"matrix_noise": None, "tensor_noise": None}, "expected at least one, got None for both"),
        ({"order": 2}, "order: expected an integer of at least 3, got 2"),
    ],
)
def test_bad_input_is_named(change, message):
    good = {"signal": torch.ones(5), "matrix_noise": 1.0, "tensor_noise": 1.0, "order": 3}
    with pytest.raises(ValueError, match=message):
        SpikedLandscape(**{**good, **change}, generator=generator())


def test_bad_starts_are_named():
    land = landscape((0.4, None, 3))
    with pytest.raises(ValueError, match=r"start: expected torch.float64 of shape \(7,\)"):
        SpikedModel(land, torch.ones(7))
    with pytest.raises(ValueError, match=r"start: expected \|x\|\^2 = N, got 4 N"):
        SpikedModel(land, 2 * torch.ones(7, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"overlap: expected a number from -1 to 1, got 1\.1"):
        start_at_overlap(land.signal, 1.1, generator())
    with pytest.raises(ValueError, match="dimension: expected at least 2, got 1"):
        random_signal(1, generator())


def test_symmetric_in_all_its_axes():
    from spectrain.models.spiked.landscape import _symmetric_noise

    noise = _symmetric_noise(torch.zeros(4, dtype=torch.float64), 4, 1.0, generator())
    g = torch.randn((4,) * 4, dtype=torch.float64, generator=generator())
    orders = list(itertools.permutations(range(4)))
    torch.testing.assert_close(noise, sum(g.permute(order) for order in orders) / len(orders))
