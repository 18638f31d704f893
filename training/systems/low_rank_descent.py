"""Full descent of several low-rank runs without a graph: those of one operator share products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from ...models.low_rank.descent import descend
from ...models.low_rank.factorisation import LocalLoss
from ...models.low_rank.model import FactorisedMatrix
from ..system import Running

__all__ = ["LowRankDescent"]


class LowRankDescent:
    """Runs on one operator that differ in scale and learning rate, see `Descent`."""

    @property
    def free(self) -> frozenset[str]:
        """Scale and learning rate: another seed is another operator."""
        return frozenset(("scale", "learning_rate"))

    def __call__(self, runs: Sequence[Running]) -> Callable[[int], Tensor]:
        """Begin with some runs."""
        models = [cast(FactorisedMatrix, run.system.model) for run in runs]
        rates = [run.system.optimiser.param_groups[0]["lr"] for run in runs]
        first = models[0]
        learning_rates = torch.tensor(rates, dtype=first.u.dtype, device=first.u.device)

        def advance(steps: int) -> Tensor:
            losses: list[Tensor] = []

            def look(step: int, local: LocalLoss) -> None:
                if step < steps:
                    losses.append(local.loss)

            starts = torch.stack([model.u.detach() for model in models])
            points = descend(
                first.measurements, first.outcomes, starts, learning_rates, steps, look
            )
            with torch.no_grad():
                for model, point in zip(models, points, strict=True):
                    model.u.copy_(point)
            return torch.stack(losses)

        return advance
