"""Entropy-SGD: descent of the local entropy instead of the loss (arXiv 1611.01838)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..models.arguments import require_arguments, require_least
from .closure_optimiser import Closure, ClosureOptimiser, require

__all__ = ["EntropySGD"]

_RANGES = {
    "lr": (0.0, False),
    "inner_lr": (0.0, False),
    "stiffness": (0.0, False),
    "inner_steps": (1, True),
    "averaging": (0.0, False),
    "noise": (0.0, True),
    "scoping": (0.0, True),
}


class EntropySGD(ClosureOptimiser):
    """x <- x - eta gamma (x - y),  y an average over a local Langevin chain x' that starts at x.

        x' <- x' - eta' (grad f(x') + gamma (x' - x)) + eta'^(1/2) epsilon xi,   xi ~ N(0, 1)
        y  <- (1 - alpha) y + alpha x',   L times a step, from y = x

    It follows the gradient of -log int exp(-f(x') - gamma |x' - x|^2 / 2) dx'. On a quadratic loss
    of curvature h a long chain without noise turns h into gamma h / (h + gamma): directions much
    sharper than gamma all look alike. A step costs ``inner_steps`` gradients and, while it lasts,
    two more copies of the parameters; between steps nothing but the generator is kept.

    Args:
        params: parameters or groups of them; every number below but ``inner_steps`` may differ from
            group to group.
        lr: eta; eta gamma up to 1 moves x to y.
        inner_lr: eta'.
        stiffness: gamma.
        inner_steps: L.
        averaging: alpha, at most 1.
        noise: epsilon.
        scoping: gamma is multiplied by 1 + scoping after every step.
        generator: source of xi, needed at a noise above 0.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        inner_lr: float = 0.1,
        stiffness: float = 1.0,
        inner_steps: int = 20,
        averaging: float = 0.75,
        noise: float = 0.0,
        scoping: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        require_arguments(EntropySGD.__init__, locals())
        require_least("noise", noise, 0)
        if noise > 0 and generator is None:
            raise ValueError("generator: expected one at a noise above 0, got None")
        defaults = {
            "lr": lr,
            "inner_lr": inner_lr,
            "stiffness": stiffness,
            "inner_steps": inner_steps,
            "averaging": averaging,
            "noise": noise,
            "scoping": scoping,
        }
        super().__init__(params, defaults, _RANGES, generator)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As of any optimiser.

        Raises:
            ValueError: naming a number that is out of range.
        """
        averaging = param_group.get("averaging", self.defaults["averaging"])
        if averaging > 1:
            raise ValueError(f"averaging: expected a number up to 1, got {averaging}")
        steps = param_group.get("inner_steps", self.defaults["inner_steps"])
        if steps != int(steps) or any(g["inner_steps"] != steps for g in self.param_groups):
            raise ValueError(f"inner_steps: expected one integer for all groups, got {steps}")
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Run the chain and move towards its average.

        Args:
            closure: is called ``inner_steps`` times; each call may take another batch.

        Returns:
            the loss at x, the first that the closure returned.

        Raises:
            ValueError: if there is no closure.
        """
        evaluate, trained = require(closure), self._trained()
        starts = [p.clone() for _, p in trained]
        means = [p.clone() for _, p in trained]
        first = None
        for inner in range(self.param_groups[0]["inner_steps"]):
            with torch.enable_grad():
                loss = evaluate()
            first = loss if inner == 0 else first
            for (group, p), start, mean in zip(trained, starts, means, strict=True):
                if p.grad is None:
                    continue
                rate = group["inner_lr"]
                p.add_(p.grad + group["stiffness"] * (p - start), alpha=-rate)
                if group["noise"] > 0:
                    p.add_(self._noise(p, "noise"), alpha=rate**0.5 * group["noise"])
                mean.lerp_(p, group["averaging"])
        for (group, p), start, mean in zip(trained, starts, means, strict=True):
            p.copy_(start + group["lr"] * group["stiffness"] * (mean - start))
        for group in self.param_groups:
            group["stiffness"] *= 1 + group["scoping"]
        return first
