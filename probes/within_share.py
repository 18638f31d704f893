"""Probing within a share of the training's time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .schedules import EverySteps, Schedule

if TYPE_CHECKING:
    from .records.record import Record

__all__ = ["WithinShare"]

# A probing that was ended early is taken to need so much more time than it had.
_MORE = 1.5


class WithinShare(Schedule):
    """Another schedule, as far as  P <= s T:  P the seconds of probings, T of all since the first.

    The interval adapts: what is due waits until (s T - P) / (1 - s) seconds, the longest that a
    probing may take without breaking the bound, are as many as the last one took. The products
    adapt: a probing that would take more ends early with what it has (`Record.early`), and the next
    waits for half as much again. The first is taken whatever it costs, and paid off afterwards. The
    share kept is in `Record.share`.

    Args:
        share: s, between 0 and 1.
        schedule: what would be due without the bound; default: every step.
        clock: seconds.

    Raises:
        ValueError: if the share is out of range.
    """

    def __init__(
        self,
        share: float,
        schedule: Schedule | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share: expected a number between 0 and 1, got {share}")
        self._bound, self._clock = share, clock
        self._schedule = schedule or EverySteps(1)
        self._start: float | None = None
        self._begun: float | None = None
        self._spent, self._needed, self._waiting = 0.0, 0.0, False

    @property
    def alike(self) -> bool:
        """False: each process has its own clock."""
        return False

    @property
    def reads_loss(self) -> bool:
        """Whether the other one does."""
        return self._schedule.reads_loss

    @property
    def seconds(self) -> float:
        """(s T - P) / (1 - s); inf for the first."""
        if not self._spent:
            return math.inf
        allowed = self._bound * self._elapsed() - self._spent
        return min(max(0.0, allowed / (1 - self._bound)), self._schedule.seconds)

    @property
    def share(self) -> float:
        """P / T, the probing that is going on included; NaN before the first."""
        elapsed, spent = self._elapsed(), self._spent
        if self._begun is not None:
            spent += self._clock() - self._begun
        return spent / elapsed if elapsed else math.nan

    def due(self, step: int, epoch: float = math.nan, loss: float | None = None) -> bool:
        """Whether it is, or was and had to wait, and there is time for it."""
        self._elapsed()
        self._waiting |= self._schedule.due(step, epoch, loss)
        return self._waiting and self.seconds >= self._needed

    def begun(self) -> None:
        """Look at the clock."""
        self._elapsed()
        self._begun = self._clock()
        self._schedule.begun()

    def probed(self, record: Record) -> None:
        """Count what it took."""
        took = self._clock() - self._begun if self._begun is not None else 0.0
        self._spent, self._begun, self._waiting = self._spent + took, None, False
        self._needed = _MORE * took if record.early else took
        self._schedule.probed(record)

    def state_dict(self) -> dict[str, Any]:
        """Seconds of all, of probings, and that the next one needs; whether one waits."""
        return {
            "elapsed": self._elapsed(),
            "spent": self._spent,
            "needed": self._needed,
            "waiting": self._waiting,
            "schedule": self._schedule.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from that: the time in between does not count."""
        self._start = self._clock() - state["elapsed"]
        self._spent, self._needed = state["spent"], state["needed"]
        self._waiting = state["waiting"]
        self._schedule.load_state_dict(state["schedule"])

    def _elapsed(self) -> float:
        """T, from the first time that it is asked."""
        if self._start is None:
            self._start = self._clock()
        return self._clock() - self._start
