"""The probe as a handler of PyTorch-Ignite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ...probes.curvature.losses import Loss
from ...probes.records.sink import Sink
from ...probes.setup import Sample
from .session import Session

__all__ = ["SpectrumHandler"]


class SpectrumHandler:
    """Probe a model while an engine of Ignite trains it.

    The step of a record is the engine's ``iteration``. `state_dict` and `load_state_dict` are those
    that ``Checkpoint(to_save={"spectrum": handler})`` asks for; attach the checkpoint's handler
    behind this one, so that what it saves knows of the probing at the same event.

    Args:
        model: see `SpectralProbe`; one in `DistributedDataParallel` is measured by all processes.
        loss: likewise.
        sample: likewise.
        logdir: folder of a record file and of TensorBoard's events, for the tab Spectrum.
        sinks: receive every record too, and are closed at the end.
        arguments: of `SpectralProbe`.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        sample: Sample,
        *,
        logdir: str | Path | None = None,
        sinks: Sequence[Sink] = (),
        **arguments: Any,
    ) -> None:
        self._measured = model, loss, sample
        self._session = Session(logdir=logdir, sinks=sinks, **arguments)

    def attach(self, engine: Any, event: Any = None) -> None:
        """Probe before the first iteration and at an event; close the sinks at the end.

        Args:
            engine: that trains.
            event: such as ``Events.ITERATION_COMPLETED(every=100)``; default: the end of each
                epoch.

        Raises:
            ImportError: if ignite is not installed.
        """
        try:
            from ignite.engine import Events
        except ImportError as error:
            raise ImportError(
                "SpectrumHandler: expected the package pytorch-ignite, which is not installed; "
                "pip install 'spectrain[ignite]'"
            ) from error
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED if event is None else event, self._probe)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.TERMINATE, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._failed)

    def state_dict(self) -> dict[str, Any]:
        """What later records depend on."""
        return self._session.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, at once or when the training starts."""
        self._session.load_state_dict(state)

    def _start(self, engine: Any) -> None:
        self._session.start(*self._measured, engine.state.iteration, _epochs(engine))

    def _probe(self, engine: Any) -> None:
        self._session.now(engine.state.iteration, _epochs(engine))

    def _close(self, engine: Any) -> None:
        self._session.close()

    def _failed(self, engine: Any, error: BaseException) -> None:
        from ignite.engine import Events

        self._session.close()
        # Ignite raises what a training fails with only where nobody handles it. What is done where
        # others do is theirs to say.
        handlers = [each[0] for each in engine._event_handlers[Events.EXCEPTION_RAISED]]
        owners = [getattr(handler, "__self__", None) for handler in handlers]
        if all(isinstance(owner, SpectrumHandler) for owner in owners) and owners[-1] is self:
            raise error


def _epochs(engine: Any) -> float:
    """Epochs finished; NaN where their length is not known."""
    length = engine.state.epoch_length
    return engine.state.iteration / length if length else math.nan
