"""The algorithm that the effective dynamics follows."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from ...models.arguments import require_fields

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent on fresh samples.

    Attributes:
        scaled_learning_rate: c = delta d; torch's lr is c/d.
        batch_size: B fresh samples a step.
        ridge: kappa, torch's weight_decay; adds kappa x to the gradient.
        momentum: heavy-ball momentum in [0, 1), without dampening.
        second_layer_rate: learning rate of the head's parameters v divided by that of x; 0 keeps v
            fixed.
        schedule: pairs (time, factor) by increasing time: from that time t on both learning rates
            are ``factor`` times the ones above. The clock t = steps * delta goes on as before.

    Raises:
        ValueError: naming the attribute, if one is out of its range.
    """

    scaled_learning_rate: float
    batch_size: int = 1
    ridge: float = 0.0
    momentum: float = 0.0
    second_layer_rate: float = 0.0
    schedule: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        require_fields(self)
        if not (math.isfinite(self.scaled_learning_rate) and self.scaled_learning_rate > 0):
            raise ValueError(
                f"scaled_learning_rate: expected a positive number, got {self.scaled_learning_rate}"
            )
        if not 1 <= self.batch_size < math.inf:
            raise ValueError(f"batch_size: expected at least 1, got {self.batch_size}")
        if not (math.isfinite(self.ridge) and self.ridge >= 0):
            raise ValueError(f"ridge: expected a number >= 0, got {self.ridge}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: expected 0 <= momentum < 1, got {self.momentum}")
        if not (math.isfinite(self.second_layer_rate) and self.second_layer_rate >= 0):
            raise ValueError(
                f"second_layer_rate: expected a number >= 0, got {self.second_layer_rate}"
            )
        before = -math.inf
        for entry in self.schedule:
            if len(entry) != 2 or not all(math.isfinite(number) for number in entry):
                raise ValueError(f"schedule: expected pairs (time, factor), got {entry}")
            time, factor = entry
            if time < 0 or time <= before:
                got = f"{time}" if before == -math.inf else f"{time} after {before}"
                raise ValueError(f"schedule: expected increasing times >= 0, got {got}")
            if factor < 0:
                raise ValueError(f"schedule: expected factors >= 0, got {factor}")
            before = time

    def factor(self, time: float) -> float:
        """The schedule's factor from ``time`` on."""
        passed = bisect_right(self.schedule, time, key=lambda entry: entry[0])
        return self.schedule[passed - 1][1] if passed else 1.0
