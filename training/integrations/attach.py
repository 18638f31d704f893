"""A probe on the optimiser of any loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from ...probes.curvature.losses import Loss
from ...probes.records.sink import Sink
from ...probes.schedules import Schedule
from ...probes.setup import Sample
from .session import Session, is_of_training, stepping

__all__ = ["Attached", "attach"]


def attach(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    sample: Sample,
    *,
    every: int | Schedule = 1,
    logdir: str | Path | None = None,
    sinks: Sequence[Sink] = (),
    state: dict[str, Any] | None = None,
    **arguments: Any,
) -> Attached:
    """Probe now, and after every so many steps of an optimiser, until it is closed.

    The steps are counted by a hook that the optimiser calls: a step that a gradient scaler leaves
    out is none. Several probes may be attached to one model.

    Args:
        model: see `SpectralProbe`.
        optimizer: whose steps are counted.
        loss: see `SpectralProbe`.
        sample: see `SpectralProbe`.
        every: steps between probings, or a schedule that reads no loss.
        logdir: folder of a record file and of TensorBoard's events.
        sinks: receive every record too, and are closed at the end.
        state: what `Attached.state_dict` gave, of a training that is gone on with.
        arguments: of `SpectralProbe`.

    Raises:
        ValueError: naming the argument that is wrong, or a ``logdir`` that holds the records of
            another training.
    """
    return Attached(
        model,
        optimizer,
        loss,
        sample,
        Session(every=every, logdir=logdir, sinks=sinks, **arguments),
        state,
    )


class Attached:
    """A probe on an optimiser's steps, as a context manager; see `attach`.

    Attributes:
        step: steps counted.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Loss,
        sample: Sample,
        session: Session,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.step = 0
        if state is not None:
            self.step = state["step"]
            session.load_state_dict(state["session"])
        self._session = session
        optimizer = stepping(optimizer)
        session.start(model, loss, sample, self.step)
        self._handle = optimizer.register_step_post_hook(self._stepped)

    def close(self) -> None:
        """Take the hook off and close the sinks; a second call does nothing."""
        self._handle.remove()
        self._session.close()

    def state_dict(self) -> dict[str, Any]:
        """What later records depend on, for ``state``."""
        return {"step": self.step, "session": self._session.state_dict()}

    def __enter__(self) -> Attached:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _stepped(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if is_of_training(optimizer):
            self.step += 1
            self._session.after_step(self.step)
