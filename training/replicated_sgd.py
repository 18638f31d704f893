"""Replicated SGD: several copies of the weights that attract each other (arXiv 1605.06444)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..models.arguments import require_arguments, require_least
from .closure_optimiser import Closure, ClosureOptimiser, require

__all__ = ["ReplicatedSGD"]

_RANGES = {
    "lr": (0.0, False),
    "stiffness": (0.0, True),
    "replicas": (2, True),
    "spread": (0.0, True),
    "scoping": (0.0, True),
}


class ReplicatedSGD(ClosureOptimiser):
    """w_a <- w_a - eta (grad f(w_a) + gamma (w_a - x)),  x = mean_a w_a,  a = 1, ..., R.

    Descent of sum_a f(w_a) + gamma sum_a |w_a - x|^2 / 2, whose minima are those with wide
    surroundings. On a quadratic loss of curvature h the mean x decays at the rate h, as one copy
    would, and deviations from it at h + gamma. Between steps the model's parameters are x. A step
    costs R gradients, and the state holds R copies of the parameters.

    Args:
        params: parameters or groups of them; every number below but ``replicas`` may differ from
            group to group.
        lr: eta.
        stiffness: gamma.
        replicas: R, at least 2.
        spread: standard deviation of each coordinate of the w_a about the weights that are there
            at the first step; without it replicas differ by the batches that the closure takes.
        scoping: gamma is multiplied by 1 + scoping after every step.
        generator: source of the initial deviations, needed at a spread above 0.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.1,
        stiffness: float = 0.1,
        replicas: int = 3,
        spread: float = 0.0,
        scoping: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        require_arguments(ReplicatedSGD.__init__, locals())
        require_least("spread", spread, 0)
        if spread > 0 and generator is None:
            raise ValueError("generator: expected one at a spread above 0, got None")
        defaults = {
            "lr": lr,
            "stiffness": stiffness,
            "replicas": replicas,
            "spread": spread,
            "scoping": scoping,
        }
        super().__init__(params, defaults, _RANGES, generator)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As of any optimiser.

        Raises:
            ValueError: naming a number that is out of range.
        """
        count = param_group.get("replicas", self.defaults["replicas"])
        if count != int(count) or any(group["replicas"] != count for group in self.param_groups):
            raise ValueError(f"replicas: expected one integer for all groups, got {count}")
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Move every replica, and the parameters to their mean.

        Args:
            closure: is called once a replica; each call may take another batch.

        Returns:
            the mean of the losses that the closure returned.

        Raises:
            ValueError: if there is no closure.
        """
        evaluate, trained = require(closure), self._trained()
        count = self.param_groups[0]["replicas"]
        for group, p in trained:
            if "replicas" not in self.state[p]:
                self.state[p]["replicas"] = self._initial(group, p)
        # The mean of all before any is moved, kept exactly: parameters may have been rounded.
        centres = [self.state[p]["replicas"].mean(0) for _, p in trained]
        total: Any = 0.0
        for a in range(count):
            for _, p in trained:
                p.copy_(self.state[p]["replicas"][a])
            with torch.enable_grad():
                loss = evaluate()
            total = total + (loss.detach() if isinstance(loss, torch.Tensor) else loss)
            for (group, p), centre in zip(trained, centres, strict=True):
                if p.grad is not None:
                    pull = group["stiffness"] * (p - centre)
                    self.state[p]["replicas"][a] -= group["lr"] * (p.grad + pull)
        for _, p in trained:
            p.copy_(self.state[p]["replicas"].mean(0))
        for group in self.param_groups:
            group["stiffness"] *= 1 + group["scoping"]
        return total / count

    def _initial(self, group: dict[str, Any], p: torch.Tensor) -> torch.Tensor:
        """The replicas at the first step, (R, *p.shape)."""
        replicas = p.expand(group["replicas"], *p.shape).clone()
        if group["spread"] > 0:
            replicas += group["spread"] * self._noise(replicas, "spread")
        return replicas
