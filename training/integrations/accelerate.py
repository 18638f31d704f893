"""The probe in a loop of Hugging Face's accelerate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from ...probes.curvature.losses import Loss
from ...probes.records.record import Record
from ...probes.records.sink import Sink
from ...probes.schedules import Schedule
from ...probes.setup import Sample
from ...views.sinks.scalars import scalars
from .session import Session, is_of_training, stepping, world

__all__ = ["AcceleratedProbe", "TrackerSink"]


class AcceleratedProbe:
    """Probe a prepared model from when the block begins, after every so many steps.

    A step is one of the optimiser inside: a call of ``optimizer.step()`` that only accumulates
    gradients (``sync_gradients`` is false) is none, nor is one that the gradient scaler leaves out.
    Give it to ``accelerator.register_for_checkpointing`` and load a state before the block begins.
    All processes run the block, each with its share of the sample; the first writes. Under mixed
    precision the model is measured without autocast.

    Args:
        model: as ``accelerator.prepare`` gives it.
        optimizer: likewise.
        loss: see `SpectralProbe`.
        sample: likewise, on the model's device.
        every: steps between probings.
        logdir: folder of a record file and of TensorBoard's events, for the tab Spectrum.
        sinks: receive every record too, such as a `TrackerSink`, and are closed at the end.
        arguments: of `SpectralProbe`.

    Attributes:
        step: steps counted.

    Raises:
        ValueError: naming the argument that is wrong, some of them when the block begins.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        loss: Loss,
        sample: Sample,
        *,
        every: int | Schedule = 1,
        logdir: str | Path | None = None,
        sinks: Sequence[Sink] = (),
        **arguments: Any,
    ) -> None:
        self.step = 0
        self._measured = model, loss, sample
        self._optimiser = stepping(optimizer)
        self._session = Session(every=every, logdir=logdir, sinks=sinks, **arguments)
        self._handle: Any = None

    def __enter__(self) -> AcceleratedProbe:
        self._session.start(*self._measured, self.step, process_group=world())
        self._handle = self._optimiser.register_step_post_hook(self._stepped)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.remove()
        self._session.close()

    def state_dict(self) -> dict[str, Any]:
        """What later records depend on, and the steps counted."""
        return {"step": self.step, "session": self._session.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, at once or when the block begins."""
        self.step = state["step"]
        self._session.load_state_dict(state["session"])

    def _stepped(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if is_of_training(optimizer):
            self.step += 1
            self._session.after_step(self.step)


class TrackerSink:
    """Logs the numbers of records to the trackers of an accelerator.

    Args:
        accelerator: whose ``init_trackers`` was called; they are left open.
    """

    def __init__(self, accelerator: Any) -> None:
        self._accelerator = accelerator

    def write(self, record: Record) -> None:
        """Log one record at its step."""
        self._accelerator.log(scalars(record), step=record.step)

    def close(self) -> None:
        """Nothing: ``accelerator.end_training`` closes the trackers."""
