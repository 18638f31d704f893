"""Callbacks: what is told as a training goes along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tqdm import tqdm

from ..models.arguments import require_arguments, require_whole

if TYPE_CHECKING:
    from torch.optim.lr_scheduler import LRScheduler

__all__ = ["Callback", "ProgressBar", "ScheduleStep"]


class Callback(Protocol):
    """Is told where the training stands: the steps taken and the epochs finished.

    A subclass overrides what it wants to hear of; a `SpectralProbe` fits as it is. One that has a
    method ``on_loss`` is told, before the end of each step, of the loss, (), that it started from.
    """

    def on_train_start(self, step: int, epoch: int) -> None:
        """Before the first step, also of a run that is continued."""
        return

    def on_step_end(self, step: int, epoch: int) -> None:
        """After a step of the optimiser."""
        return

    def on_epoch_end(self, step: int, epoch: int) -> None:
        """After the last step of an epoch."""
        return

    def on_train_end(self, step: int, epoch: int) -> None:
        """After the last epoch."""
        return


class ProgressBar(Callback):
    """Shows the steps on a terminal, and nothing elsewhere.

    Args:
        steps: number of steps of the whole training.
        description: is shown before the bar.
    """

    def __init__(self, steps: int, description: str) -> None:
        require_arguments(ProgressBar.__init__, locals())
        require_whole("steps", steps, 0)
        self._steps = steps
        self._description = description
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, step: int, epoch: int) -> None:
        """Draw the bar where the training stands."""
        self._bar = tqdm(
            total=self._steps, initial=step, desc=self._description, unit="step", disable=None
        )

    def on_step_end(self, step: int, epoch: int) -> None:
        """Move on by a step."""
        if self._bar is not None:
            self._bar.update()

    def on_train_end(self, step: int, epoch: int) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


class ScheduleStep(Callback):
    """Moves the learning rate along its schedule after every step.

    Args:
        schedule: of the optimiser's learning rate.
    """

    def __init__(self, schedule: LRScheduler) -> None:
        require_arguments(ScheduleStep.__init__, locals())
        self._schedule = schedule

    def on_step_end(self, step: int, epoch: int) -> None:
        """Set the learning rate of the next step."""
        self._schedule.step()
