"""A probe along a training whose loop belongs to another library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, distributed, nn

from ...probes.curvature.losses import Loss
from ...probes.probe import SpectralProbe
from ...probes.records.log_folder import LogFolder
from ...probes.records.record import Record
from ...probes.records.sink import Sink
from ...probes.schedules import Schedule
from ...probes.setup import Sample

__all__ = ["Session", "is_of_training", "stepping", "world"]


@runtime_checkable
class _Reopened(Protocol):
    """A sink that can go on behind the record of a step."""

    def open(self, after: int | None = None) -> None: ...


class Session:
    """Makes the probe when the training starts, calls it when it is due, and closes its sinks.

    A probing is due at the start, at the first step at or behind each multiple of ``every``, and at
    the end of every ``every_epochs``-th epoch; never twice at one step. The state may be loaded
    before there is a probe: it waits. After it, sinks that can go on behind the last record that
    the state knows of; a probing that is due at the step of the checkpoint, and was not taken
    before it was written, is taken at the start.

    Args:
        every: steps between probings, or a schedule that reads no loss; None: not by steps.
        every_epochs: epochs between probings; None: not by epochs.
        logdir: folder of a record file and of TensorBoard's events.
        sinks: receive every record too, and are closed at the end.
        arguments: of `SpectralProbe`.

    Raises:
        ValueError: if a number of steps or epochs is less than 1.
    """

    def __init__(
        self,
        *,
        every: int | Schedule | None = None,
        every_epochs: int | None = None,
        logdir: str | Path | None = None,
        sinks: Sequence[Sink] = (),
        **arguments: Any,
    ) -> None:
        for name, number in (("every", every), ("every_epochs", every_epochs)):
            if isinstance(number, Schedule):
                if number.reads_loss:
                    raise ValueError(
                        f"{name}: expected a schedule that reads no loss, which these loops do not "
                        f"give, got {type(number).__name__}"
                    )
            elif number is not None and number < 1:
                raise ValueError(f"{name}: expected at least 1, got {number}")
        self._schedule = every if isinstance(every, Schedule) else None
        self._every = None if isinstance(every, Schedule) else every
        self._every_epochs = every_epochs
        self._sinks = (*sinks, *([] if logdir is None else [LogFolder(logdir)]))
        self._arguments = arguments
        self._probe: SpectralProbe | None = None
        self._waiting: dict[str, Any] | None = None
        self._last: int | None = None

    @property
    def running(self) -> bool:
        """Whether there is a probe now."""
        return self._probe is not None

    def start(
        self,
        model: nn.Module,
        loss: Loss,
        sample: Sample,
        step: int = 0,
        epoch: float = math.nan,
        **arguments: Any,
    ) -> Record | None:
        """Make the probe, and probe if that is due.

        Args:
            model: see `SpectralProbe`.
            loss: likewise.
            sample: likewise.
            step: steps taken so far.
            epoch: epochs finished so far.
            arguments: of `SpectralProbe`, where none were given before.

        Raises:
            ValueError: naming the argument that is wrong; nothing is left open.
        """
        if self._last is not None and step < self._last:  # another training
            self._last = self._waiting = None
        arguments |= {"sinks": self._sinks, **self._arguments}
        if self._schedule is not None:
            arguments["every"] = self._schedule
        self._probe = SpectralProbe(model, loss, sample, **arguments)
        try:
            if self._waiting is not None:
                self._restore(self._waiting)
            else:
                self._open()
            if self._schedule is not None:
                return self._asked(step, epoch)
            due = self._last is None or self._by_steps(step) or self._by_epochs(step, epoch)
            return self._take(step, epoch) if due else None
        except BaseException:
            self.close()
            raise

    def after_step(self, step: int, epoch: float = math.nan) -> Record | None:
        """Probe if that is due after so many steps."""
        if self._schedule is not None:
            return self._asked(step, epoch)
        return self._take(step, epoch) if self._by_steps(step) else None

    def after_epoch(self, step: int, epoch: float) -> Record | None:
        """Probe if that is due after so many epochs."""
        return self._take(step, epoch) if self._by_epochs(step, epoch) else None

    def now(self, step: int, epoch: float = math.nan) -> Record | None:
        """Probe unless that was done at this step."""
        return self._take(step, epoch) if self._is_new(step) else None

    def close(self) -> None:
        """Close the sinks and give the probe up; its state waits for another start."""
        if self._probe is None:
            return
        self._waiting = self.state_dict()
        self._probe.close()
        self._probe = None
        for sink in self._sinks:
            sink.close()

    def state_dict(self) -> dict[str, Any]:
        """What later records depend on; empty before the first probing."""
        if self._probe is None:
            return dict(self._waiting or {})
        if self._last is None:
            return {}
        return {"step": self._last, "probe": self._probe.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, at once or when the training starts."""
        if not state:
            return
        self._waiting, self._last = dict(state), state["step"]
        if self._probe is not None:
            self._restore(self._waiting)

    def _restore(self, state: dict[str, Any]) -> None:
        assert self._probe is not None
        self._probe.load_state_dict(state["probe"])
        self._last, self._waiting = state["step"], None
        self._open()

    def _open(self) -> None:
        assert self._probe is not None
        processes = self._probe.setup.processes
        with processes.agreed():
            for sink in self._sinks:
                if processes.rank == 0 and isinstance(sink, _Reopened):
                    sink.open(self._last)

    def _take(self, step: int, epoch: float) -> Record:
        assert self._probe is not None
        self._last = step
        return self._probe(step, epoch)

    def _asked(self, step: int, epoch: float) -> Record | None:
        """Probe if the schedule says so."""
        if not self._is_new(step):
            return None
        assert self._probe is not None
        record = self._probe.maybe(step, epoch)
        self._last = self._last if record is None else step
        return record

    def _is_new(self, step: int) -> bool:
        return self.running and (self._last is None or step > self._last)

    def _by_steps(self, step: int) -> bool:
        if self._every is None or not self._is_new(step):
            return False
        return self._last is None or step // self._every > self._last // self._every

    def _by_epochs(self, step: int, epoch: float) -> bool:
        if self._every_epochs is None or not self._is_new(step):
            return False
        return float(epoch).is_integer() and epoch % self._every_epochs == 0


def stepping(optimizer: Any) -> torch.optim.Optimizer:
    """The optimiser that takes the steps, inside those that wrap it and take no hooks.

    accelerate's is one: a call of its ``step`` that only accumulates gradients is no step.

    Raises:
        ValueError: if there is none.
    """
    inner = optimizer
    while isinstance(getattr(inner, "optimizer", None), torch.optim.Optimizer):
        inner = inner.optimizer
    if not isinstance(inner, torch.optim.Optimizer):
        raise ValueError(f"optimizer: expected one of torch.optim, got {type(inner).__name__}")
    return inner


def is_of_training(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the step that an optimiser has just taken is one that somebody trained with.

    Not one at a learning rate of 0 with gradients of 0: so `torch.distributed.checkpoint` steps an
    optimiser that has no state, to read it.
    """
    for group in optimizer.param_groups:
        rate = group.get("lr")
        # What lies on a device is not waited for: that of the getter does not.
        if rate is None or (isinstance(rate, Tensor) and rate.device.type != "cpu") or rate != 0:
            return True
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = [p.grad.detach() for p in parameters if p.grad is not None]
    return not gradients or any(map(_is_not_zero, gradients))


def _is_not_zero(gradient: Tensor) -> bool:
    size = gradient.abs().sum()
    # Of a gradient in parts, the same on all processes.
    whole = size.full_tensor() if hasattr(size, "full_tensor") else size
    return bool(whole != 0)


def world() -> distributed.ProcessGroup | None:
    """All processes of a distributed training; None for one alone."""
    if not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.group.WORLD if distributed.get_world_size() > 1 else None
