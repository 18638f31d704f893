"""Local entropy of a loss about the present weights, by Langevin averages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..models.arguments import require_fields, require_least
from ..theory.quantity import Quantity
from .curvature.batches import Batch
from .curvature.losses import Loss

__all__ = ["LocalEntropy"]

_BLOCKS = 10  # of a chain, for the error of its mean
_FEWEST = 10  # steps of a block


@dataclass(frozen=True)
class LocalEntropy:
    """Phi = log E_g e^(-beta L(w + g / gamma^(1/2))),  g ~ N(0, 1); a `Measure` of any module.

        Phi = -int_0^beta <L>_b db,   <L>_b over  e^(-b L(w') - gamma |w' - w|^2 / 2)

    Each <L>_b at the nodes of a Gauss-Legendre rule is the mean over a Metropolis-adjusted Langevin
    chain that starts at w, a fifth of it left out, with the error of the means of ten blocks:

        w' <- w + rho (w' - w) - (1 - rho) b grad L(w') / gamma + ((1 - rho^2) / gamma)^(1/2) xi

    Quantities are "local_entropy" and "local_loss" (<L>_beta), with standard errors, and the lowest
    share of accepted proposals, "local_acceptance". Blocks are taken to be independent: have chains
    much longer than 1 / (1 - rho) steps, and an acceptance well above zero. The rule's own error
    falls exponentially with ``nodes`` and is not in the error. Costs (nodes + 1) steps gradients,
    by a probe some tens of milliseconds each at least: call it by itself for long chains.

    Attributes:
        inverse_temperature: beta > 0, in units of 1 / loss.
        stiffness: gamma > 0, in units of 1 / squared parameter.
        memory: rho in (0, 1): proposals are short where it is near 1.
        steps: of each chain, at least 125.
        nodes: of the rule in b.
        parameters: names of those that move, all that are trained if empty.
        name: for messages.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    inverse_temperature: float
    stiffness: float
    memory: float = 0.9
    steps: int = 1000
    nodes: int = 4
    parameters: tuple[str, ...] = ()
    name: str = "local entropy"

    def __post_init__(self) -> None:
        require_fields(self)
        for name in ("inverse_temperature", "stiffness"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: expected a positive number, got {value}")
        if not 0 < self.memory < 1:
            raise ValueError(f"memory: expected a number between 0 and 1, got {self.memory}")
        least = _BLOCKS * _FEWEST * 5 // 4
        if self.steps < least:
            raise ValueError(f"steps: expected at least {least}, got {self.steps}")
        require_least("nodes", self.nodes, 1)

    def __call__(
        self, model: nn.Module, loss: Loss, batch: Batch, generator: torch.Generator
    ) -> Sequence[Quantity]:
        """The three.

        Args:
            model: any.
            loss: of (outputs, targets).
            batch: on which L is taken.
            generator: on the CPU, source of all numbers.

        Raises:
            ValueError: if a parameter is unknown.
        """
        points, weights = np.polynomial.legendre.leggauss(self.nodes)
        beta = self.inverse_temperature
        runs = [
            self._chain(model, loss, batch, float(b), generator)
            for b in (*(beta * (1 + points) / 2), beta)
        ]
        means, errors, accepted = np.array(runs).T
        entropy = -beta / 2 * float(weights @ means[:-1])
        error = beta / 2 * float(np.linalg.norm(weights * errors[:-1]))
        return (
            Quantity.number("local_entropy", entropy, "1", error),
            Quantity.number("local_loss", float(means[-1]), "loss", float(errors[-1])),
            Quantity.number("local_acceptance", float(accepted.min()), "share"),
        )

    def _chain(
        self, model: nn.Module, loss: Loss, batch: Batch, b: float, generator: torch.Generator
    ) -> tuple[float, float, float]:
        """<L>_b, its standard error, and the share of accepted proposals."""
        state = _Chain.started(model, loss, batch, self.parameters)
        left_out, losses, accepted = self.steps // 5, [], 0
        for step in range(self.steps):
            state, moved = self._moved(state, b, generator)
            accepted += moved
            if step >= left_out:
                losses.append(state.loss)
        blocks = np.array([block.mean() for block in np.array_split(np.array(losses), _BLOCKS)])
        error = float(blocks.std(ddof=1)) / math.sqrt(_BLOCKS)
        return float(np.mean(losses)), error, accepted / self.steps

    def _moved(self, now: _Chain, b: float, generator: torch.Generator) -> tuple[_Chain, bool]:
        """One proposal, taken or not: with d = w' - w, the Gaussian part is kept exactly."""
        variance = (1 - self.memory**2) / self.stiffness
        noise = torch.randn(now.shift.shape, generator=generator, dtype=torch.float64)
        drawn = noise.to(now.shift.device)
        then = now.at(self._drifted(now, b) + math.sqrt(variance) * drawn)
        back = now.shift - self._drifted(then, b)
        gain = (
            float(drawn.square().sum() - back.square().sum() / variance) / 2
            - b * (then.loss - now.loss)
            - self.stiffness * float(then.shift.square().sum() - now.shift.square().sum()) / 2
        )
        uniform = float(torch.rand((), generator=generator, dtype=torch.float64))
        # A loss that is not finite is never moved to.
        taken = math.isfinite(gain) and uniform < math.exp(min(gain, 0.0))
        return (then, True) if taken else (now, False)

    def _drifted(self, at: _Chain, b: float) -> Tensor:
        return self.memory * at.shift - (1 - self.memory) * b / self.stiffness * at.gradient


@dataclass(frozen=True)
class _Chain:
    """Where a chain is: the shift d from w, (N,) float64, with loss and gradient there."""

    model: nn.Module
    objective: Loss
    batch: Batch
    start: dict[str, Tensor]
    shift: Tensor
    gradient: Tensor
    loss: float

    @classmethod
    def started(cls, model: nn.Module, loss: Loss, batch: Batch, names: Sequence[str]) -> _Chain:
        trained = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
        unknown = [name for name in names if name not in trained]
        if unknown or not trained:
            raise ValueError(
                f"parameters: expected names among {list(trained)}, got {unknown or 'none'}"
            )
        start = {name: trained[name] for name in names or trained}
        first = next(iter(start.values()))
        size = sum(w.numel() for w in start.values())
        shift = torch.zeros(size, dtype=torch.float64, device=first.device)
        return cls(model, loss, batch, start, shift, shift, 0.0).at(shift)

    def at(self, shift: Tensor) -> _Chain:
        """The same chain elsewhere."""
        parts = torch.split(shift, [w.numel() for w in self.start.values()])
        moved = {
            name: (w.double() + part.view_as(w)).to(w.dtype).requires_grad_()
            for (name, w), part in zip(self.start.items(), parts, strict=True)
        }
        inputs, targets = self.batch
        with torch.enable_grad():
            if isinstance(inputs, Tensor):
                outputs = functional_call(self.model, moved, (inputs,))
            elif isinstance(inputs, dict):
                outputs = functional_call(self.model, moved, (), inputs)
            else:
                outputs = functional_call(self.model, moved, tuple(inputs))
            value = self.objective(outputs, targets)
            found = torch.autograd.grad(value, list(moved.values()), allow_unused=True)
        gradient = torch.cat(
            [
                (torch.zeros_like(w) if g is None else g).double().flatten()
                for g, w in zip(found, moved.values(), strict=True)
            ]
        )
        return replace(self, shift=shift, gradient=gradient, loss=float(value.detach()))
