"""A system that is nothing like a mixture under SGD is trained, probed and resumed all the same."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import spectrain
from spectrain.probes.curvature.matrix import Hessian
from spectrain.theory.quantity import Quantity
from spectrain.training.callbacks import Callback
from spectrain.training.config import ProbeConfig, TrainingConfig
from spectrain.training.data import FullBatch
from spectrain.training.loop import fit
from spectrain.training.run import run
from spectrain.training.system import System

N = 6
PROBE = ProbeConfig(eigenvalues=2, smallest=1, density=False)


class Energy(nn.Module):
    """H(x) = -x.Jx / 2 of a point x on the sphere |x|^2 = N; it has no inputs."""

    def __init__(self, generator):
        super().__init__()
        x = torch.randn(N, generator=generator, dtype=torch.float64)
        self.x = nn.Parameter(x * N**0.5 / x.norm())
        noise = torch.randn(N, N, generator=generator, dtype=torch.float64)
        self.register_buffer("couplings", (noise + noise.T) / (2 * N) ** 0.5)

    def forward(self):
        return -self.x @ self.couplings @ self.x / 2


class SphericalLangevin(torch.optim.SGD):
    """x <- sqrt(N) y / |y|,  y = x - eta grad + sqrt(2 T eta) xi."""

    def __init__(self, x, rate, temperature, generator):
        super().__init__([x], lr=rate)
        self._temperature, self._generator = temperature, generator

    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for x in group["params"]:
                xi = torch.randn(x.shape, generator=self._generator, dtype=x.dtype)
                x += (2 * self._temperature * group["lr"]) ** 0.5 * xi
                x *= len(x) ** 0.5 / x.norm()

    def state_dict(self):
        return super().state_dict() | {"generator": self._generator.get_state()}

    def load_state_dict(self, state):
        self._generator.set_state(state["generator"])
        super().load_state_dict({k: v for k, v in state.items() if k != "generator"})


@dataclass(frozen=True, kw_only=True)
class SphereConfig(TrainingConfig):
    system: ClassVar[str] = "sphere"

    temperature: float = 0.0
    rate: float = 0.1
    epochs: int = 4
    probe: ProbeConfig = PROBE
    steps_per_epoch: int = 5

    def build(self, generator):
        model = Energy(generator)
        seed = int(torch.randint(2**31, (), generator=generator))
        optimiser = SphericalLangevin(
            model.x, self.rate, self.temperature, torch.Generator().manual_seed(seed)
        )
        return System(
            model=model,
            loss=lambda energy, _: energy,
            optimiser=optimiser,
            batches=lambda _: FullBatch((), torch.zeros(1)),
            sample=((), torch.zeros(1)),
            sample_kind="training",
            matrices=(Hessian(),),  # there are no samples whose gradients differ
            schedule=torch.optim.lr_scheduler.StepLR(optimiser, 3, 0.5),
            runs=spheres,
        )


def spheres(configs, steps):
    """Descents side by side, one landscape each."""
    if any(config.temperature for config in configs):
        raise ValueError("temperature: expected 0 for runs side by side")
    seeds = [np.random.SeedSequence(config.seed).generate_state(3, np.uint64) for config in configs]
    models = [Energy(torch.Generator().manual_seed(int(seed[0]))) for seed in seeds]
    x = torch.stack([model.x.detach() for model in models])
    couplings = torch.stack([model.couplings for model in models])
    rates = torch.tensor([config.rate for config in configs], dtype=x.dtype)
    energies = []
    for step in range(max(steps) + 1):
        if step in steps:
            energies.append(-torch.einsum("ri,rij,rj->r", x, couplings, x) / 2)
        x = x + rates[:, None] * 0.5 ** (step // 3) * torch.einsum("rij,rj->ri", couplings, x)
        x *= N**0.5 / x.norm(dim=1, keepdim=True)
    axes = tuple(map(str, range(len(configs)))), tuple(map(str, steps))
    return (Quantity("loss", torch.stack(energies, 1).numpy(), "loss", axes),)


class StopAfter(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, step, epoch):
        if epoch == self.epoch:
            raise InterruptedError


def state(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]


def test_descent_on_the_sphere_ends_at_the_largest_eigenvalue():
    system = SphereConfig(rate=1.0).build(torch.Generator().manual_seed(0))
    fit(
        system.model,
        system.loss,
        system.batches(torch.Generator()),
        system.optimiser,
        epochs=1,
        steps_per_epoch=2000,
    )
    largest = torch.linalg.eigvalsh(system.model.couplings).max()
    torch.testing.assert_close(system.model().detach(), -N * largest / 2, rtol=1e-9, atol=0)


def test_noise_and_schedule_go_on_where_a_stopped_run_stood(tmp_path):
    config = SphereConfig(temperature=0.5)
    whole = run(config, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        run(config, tmp_path / "parted", callbacks=[StopAfter(2)])
    parted = run(config, tmp_path / "parted", resume=True)
    first, second = state(tmp_path / "whole"), state(tmp_path / "parted")
    assert torch.equal(first["model"]["x"], second["model"]["x"])
    assert first["schedule"] == second["schedule"]
    assert first["optimiser"]["param_groups"] == second["optimiser"]["param_groups"]
    assert first["optimiser"]["param_groups"][0]["lr"] == 0.1 * 0.5 ** (20 // 3)
    losses = [[record.measured.loss for record in result.records] for result in (whole, parted)]
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == 5


def test_runs_side_by_side_are_the_single_ones(tmp_path):
    configs = [SphereConfig(seed=seed, rate=0.1 + 0.1 * seed) for seed in range(3)]
    system = configs[0].build(torch.Generator().manual_seed(0))
    (loss,) = system.runs(configs, [0, 5, 10, 15, 20])
    for row, config in zip(loss.values, configs, strict=True):
        single = run(config, tmp_path / str(config.seed))
        measured = [record.measured.loss for record in single.records]
        np.testing.assert_allclose(row, measured, rtol=1e-12)
    with pytest.raises(ValueError, match="temperature: expected 0"):
        system.runs([SphereConfig(temperature=1.0)], [1])


def test_a_system_without_theory_and_data_is_probed(tmp_path):
    """The Hessian of -x.Jx / 2 is -J."""
    result = run(SphereConfig(epochs=1), tmp_path)
    for record in result.records:
        spectrum = record.measured.spectrum("hessian", "all")
        expected = torch.linalg.eigvalsh(-state(tmp_path)["model"]["couplings"]).tolist()
        assert [pair.value for pair in spectrum.top] == pytest.approx(expected[:-3:-1])
        assert record.predicted is None
    assert spectrain.load(tmp_path).config["system"] == "sphere"
