"""When to probe: at steps, at epochs, and at whichever of several comes first."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..models.arguments import require_least

if TYPE_CHECKING:
    from .records.record import Record

__all__ = ["AnyOf", "AtSteps", "EveryEpochs", "EverySteps", "Logarithmic", "Schedule"]


class Schedule(ABC):
    """Says when a probing is due; ``one | other`` is due whenever one of them is.

    It is asked after every step, or as often as the loop likes, with numbers that do not decrease.
    The first time that it is asked a probing is due, if nothing else is said. A `SpectralProbe`
    takes it as ``every``; in a loop of one's own::

        if schedule.due(step):
            schedule.probed(probe(step))
    """

    @property
    def alike(self) -> bool:
        """Whether it says the same in every process: it uses neither losses nor a clock."""
        return True

    @property
    def reads_loss(self) -> bool:
        """Whether it has to be given the loss of each step."""
        return False

    @property
    def seconds(self) -> float:
        """What the probing that is due may take; inf without a bound."""
        return math.inf

    @property
    def share(self) -> float:
        """Share of the training's time that probings have taken; NaN where it is not kept."""
        return math.nan

    @abstractmethod
    def due(self, step: int, epoch: float = math.nan, loss: float | None = None) -> bool:
        """Whether to probe now.

        Args:
            step: optimiser steps taken.
            epoch: epochs finished, whole or in part.
            loss: of the last batch; only read where `reads_loss`.
        """

    def begun(self) -> None:
        """Hear that a probing begins, due or not."""
        return

    def probed(self, record: Record) -> None:
        """Hear of a probing, due or not."""
        return

    def state_dict(self) -> dict[str, Any]:
        """What later answers depend on, of plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        return

    def __or__(self, other: Schedule) -> AnyOf:
        return AnyOf(self, other)


class _Ladder(Schedule):
    """Due where a level that grows with the training is higher than when it was asked before."""

    _lowest = -1

    def __init__(self) -> None:
        self._level = self._lowest

    @abstractmethod
    def level(self, step: int, epoch: float) -> int:
        """The level there."""

    def due(self, step: int, epoch: float = math.nan, loss: float | None = None) -> bool:
        """Whether another level is reached."""
        before, self._level = self._level, self.level(step, epoch)
        return self._level > before

    def state_dict(self) -> dict[str, Any]:
        """The level."""
        return {"level": self._level}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a level."""
        self._level = state["level"]


class EverySteps(_Ladder):
    """At the first step that is asked about at or behind 0, n, 2 n, ...

    Args:
        steps: n.

    Raises:
        ValueError: if it is less than 1.
    """

    def __init__(self, steps: int) -> None:
        self._steps = _positive("steps", steps)
        super().__init__()

    def level(self, step: int, epoch: float) -> int:
        """Multiples of n."""
        return step // self._steps


class EveryEpochs(_Ladder):
    """As `EverySteps`, by epochs.

    Args:
        epochs: n; may be a fraction.

    Raises:
        ValueError: if it is not positive, or it is asked without an epoch.
    """

    def __init__(self, epochs: float) -> None:
        if not epochs > 0:
            raise ValueError(f"epochs: expected a positive number, got {epochs}")
        self._epochs = epochs
        super().__init__()

    def level(self, step: int, epoch: float) -> int:
        """Multiples of n."""
        if math.isnan(epoch):
            raise ValueError("epoch: expected the number of epochs finished, got none")
        return math.floor(epoch / self._epochs)


class Logarithmic(_Ladder):
    """At 0, 1 and from there at steps that are spaced evenly in log(step).

    Args:
        per_decade: probings from one power of ten to the next.

    Raises:
        ValueError: if it is less than 1.
    """

    def __init__(self, per_decade: int = 10) -> None:
        self._per_decade = _positive("per_decade", per_decade)
        super().__init__()

    def level(self, step: int, epoch: float) -> int:
        """Steps on the logarithmic scale, from 1 at step 1."""
        return 1 + math.floor(self._per_decade * math.log10(step)) if step else 0


class AtSteps(_Ladder):
    """At these steps, or where it is asked first behind one of them.

    Args:
        steps: in any order.

    Raises:
        ValueError: if there are none, or one is negative.
    """

    _lowest = 0

    def __init__(self, steps: Iterable[int]) -> None:
        self._steps = sorted(steps)
        if not self._steps or self._steps[0] < 0:
            raise ValueError(f"steps: expected some of at least 0, got {self._steps}")
        super().__init__()

    def level(self, step: int, epoch: float) -> int:
        """How many of them are reached."""
        return bisect_right(self._steps, step)


class AnyOf(Schedule):
    """Due whenever one of its schedules is; what they bound is the least of theirs."""

    def __init__(self, *schedules: Schedule) -> None:
        self._all = schedules

    @property
    def alike(self) -> bool:
        """Whether all are."""
        return all(each.alike for each in self._all)

    @property
    def reads_loss(self) -> bool:
        """Whether one does."""
        return any(each.reads_loss for each in self._all)

    @property
    def seconds(self) -> float:
        """The least."""
        return min((each.seconds for each in self._all), default=math.inf)

    @property
    def share(self) -> float:
        """The first that is kept."""
        return next((s for each in self._all if not math.isnan(s := each.share)), math.nan)

    def due(self, step: int, epoch: float = math.nan, loss: float | None = None) -> bool:
        """Whether one is; all are asked."""
        answers = [each.due(step, epoch, loss) for each in self._all]
        return any(answers)

    def begun(self) -> None:
        """Tell all."""
        for each in self._all:
            each.begun()

    def probed(self, record: Record) -> None:
        """Tell all."""
        for each in self._all:
            each.probed(record)

    def state_dict(self) -> dict[str, Any]:
        """Those of all, in their order."""
        return {"all": [each.state_dict() for each in self._all]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the states of all."""
        for each, own in zip(self._all, state["all"], strict=True):
            each.load_state_dict(own)


def _positive(name: str, number: int) -> int:
    require_least(name, number, 1)
    return number
