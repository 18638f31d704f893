"""How a linear model is trained, in the theory's units and in torch's."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from ...models.arguments import require, require_fields
from .number_range import require_range

__all__ = ["Algorithm", "AlgorithmName"]

AlgorithmName = Literal["flow", "gd", "sgd", "one-pass", "shuffled"]


@dataclass(frozen=True)
class Algorithm:
    """v <- v - eta [ (1/B) sum phi (f - y) + r v ].

    Attributes:
        name: "flow" (dv/dt = -gradient), "gd" (all samples at once), "sgd" (batches drawn with
            replacement), "one-pass" (every batch fresh) or "shuffled" (passes over the samples in a
            new order each, the default of torch's DataLoader with shuffle=True).
        learning_rate: eta; None for the flow.
        batch_size: B; None for the flow and for gd.
        weight_decay: r.
        schedule: pairs (step, factor) by increasing step: from that step on the learning rate is
            ``factor`` times the one above. Not for the flow.

    Raises:
        ValueError: naming the attribute, what was expected and what came.
    """

    name: AlgorithmName = "flow"
    learning_rate: float | None = field(default=None, metadata={"unit": "1 / squared feature"})
    batch_size: int | None = field(default=None, metadata={"unit": "samples"})
    weight_decay: float = field(default=0.0, metadata={"unit": "squared feature"})
    schedule: tuple[tuple[float, float], ...] = field(default=(), metadata={"unit": "(step, 1)"})

    def __post_init__(self) -> None:
        require("algorithm", self.name, AlgorithmName)
        require_fields(self)
        if self.name not in get_args(AlgorithmName):
            raise ValueError(
                f"algorithm: expected one of {', '.join(get_args(AlgorithmName))} "
                f"(momentum and Adam are not described by this theory), got {self.name!r}"
            )
        self._present("learning_rate", self.learning_rate, self.name != "flow")
        self._present("batch_size", self.batch_size, self.stochastic)
        rate = self.learning_rate
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"learning_rate: expected a positive number, got {rate}")
        size = self.batch_size
        if size is not None and (size < 1 or size != int(size)):
            raise ValueError(f"batch_size: expected a whole number of at least 1, got {size}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"weight_decay: expected a number >= 0, got {self.weight_decay}")
        require_range("weight_decay", self.weight_decay)
        self._check_schedule()

    def _present(self, name: str, value: object, wanted: bool) -> None:
        if (value is not None) != wanted:
            expected = "a number" if wanted else "none"
            raise ValueError(f"{name}: expected {expected} for {self.name}, got {value}")

    def _check_schedule(self) -> None:
        if self.schedule and self.name == "flow":
            raise ValueError("schedule: expected none for flow, whose time takes its place")
        before = -math.inf
        for entry in self.schedule:
            if len(entry) != 2 or not all(math.isfinite(number) for number in entry):
                raise ValueError(f"schedule: expected pairs (step, factor), got {entry}")
            step, factor = entry
            if step < 0 or step <= before or step != int(step):
                raise ValueError(
                    f"schedule: expected increasing whole steps >= 0, got {step:g} after {before:g}"
                )
            if factor < 0:
                raise ValueError(f"schedule: expected factors >= 0, got {factor:g}")
            require_range("schedule", factor)
            before = step

    @classmethod
    def of_torch(
        cls,
        name: AlgorithmName,
        lr: float,
        batch_size: int | None = None,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        schedule: tuple[tuple[float, float], ...] = (),
    ) -> Algorithm:
        """torch.optim.SGD on nn.MSELoss, whose gradient is twice the one above.

        lr (2 phi (f - y) + weight_decay v)  =  eta (phi (f - y) + r v):  eta = 2 lr and
        r = weight_decay / 2. For the flow, time is 2 lr steps.

        Raises:
            ValueError: if there is momentum, or an argument is out of its range.
        """
        if momentum:
            raise ValueError(f"momentum: expected 0, which alone is described, got {momentum}")
        rate = None if name == "flow" else 2 * lr
        return cls(name, rate, batch_size, weight_decay / 2, schedule)

    @property
    def stochastic(self) -> bool:
        """Whether the gradient is that of a batch."""
        return self.name in ("sgd", "one-pass", "shuffled")

    @property
    def largest_rate(self) -> float:
        """The largest learning rate of the schedule; 0 for the flow."""
        if self.learning_rate is None:
            return 0.0
        factors = [factor for _, factor in self.schedule]
        if not self.schedule or self.schedule[0][0] > 0:
            factors.append(1.0)
        return self.learning_rate * max(factors)

    def rates(self, first: int, last: int) -> Iterator[tuple[float, int]]:
        """Learning rates and for how many steps each, from step ``first`` to before ``last``."""
        assert self.learning_rate is not None
        changes = [step for step, _ in self.schedule]
        here = first
        while here < last:
            passed = bisect_right(changes, here)
            end = changes[passed] if passed < len(changes) else last
            until = min(int(end), last)
            factor = self.schedule[passed - 1][1] if passed else 1.0
            yield self.learning_rate * factor, until - here
            here = until

    def clock(self, last: float) -> float:
        """The sum of the learning rates up to step ``last``; the time itself for the flow."""
        if self.name == "flow":
            return last
        return math.fsum(rate * steps for rate, steps in self.rates(0, int(last)))
