"""The probe as a callback of Lightning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from ...probes.curvature.losses import Loss
from ...probes.records.record import Record
from ...probes.records.sink import Sink
from ...probes.schedules import Schedule
from ...probes.setup import Sample
from ...views.sinks.scalars import scalars
from .first_batch import first_batch
from .late_class import late_class
from .session import Session, world

__all__ = ["SpectrumCallback"]  # noqa: F822 -- made at its first use


class _Hooks:
    """Probe a model while Lightning trains it.

    Probes before the first step, at steps and at ends of epochs; never during the sanity check. The
    step of a record is the trainer's ``global_step``. All numbers go to the trainer's loggers at
    that step, and are among its ``callback_metrics``, so that checkpoints and early stopping can
    monitor them: "measured/hessian/all/top_1". Checkpoints of the trainer hold the probe's state.
    All processes call the probe together, each with its share of the sample; the first writes.

    Args:
        loss: of (outputs, targets); the training's own, without regularisation by the optimiser.
        sample: see `SpectralProbe`; default: the first batch of the first loader for validation.
        module: the part of the LightningModule that is measured; default: all of it, as it is
            called on inputs.
        every: steps between probings; default: not by steps.
        every_epochs: epochs between probings; default: 1, or not by epochs where ``every`` is
            given.
        logdir: folder of a record file and of TensorBoard's events, for the tab Spectrum.
        sinks: receive every record too, and are closed at the end.
        arguments: of `SpectralProbe`. ``sample_kind`` of the default sample is "held-out".

    Raises:
        ImportError: if lightning is not installed.
        ValueError: naming the argument, when the training starts.
    """

    def __init__(
        self,
        loss: Loss,
        sample: Sample | None = None,
        *,
        module: Callable[[Any], nn.Module] = lambda whole: whole,
        every: int | Schedule | None = None,
        every_epochs: int | None = None,
        logdir: str | Path | None = None,
        sinks: Sequence[Sink] = (),
        **arguments: Any,
    ) -> None:
        if every is None and every_epochs is None:
            every_epochs = 1
        self._loss, self._sample, self._module = loss, sample, module
        self._schedule = (every, every_epochs)
        self._session = Session(
            every=every, every_epochs=every_epochs, logdir=logdir, sinks=sinks, **arguments
        )

    @property
    def state_key(self) -> str:
        """Tells several such callbacks apart in a checkpoint: each needs a schedule of its own."""
        every, every_epochs = self._schedule
        return f"SpectrumCallback(every={every}, every_epochs={every_epochs})"

    def state_dict(self) -> dict[str, Any]:
        """What later records depend on."""
        return self._session.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Keep a state until there is a probe: Lightning loads it before the training starts."""
        self._session.load_state_dict(state)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the probe, and probe before the first step."""
        sample, arguments = self._sample, dict[str, Any]()
        if sample is None:
            sample, arguments["sample_kind"] = _validation_batch(trainer), "held-out"
        arguments["process_group"] = world()
        record = self._session.start(
            *(self._module(pl_module), self._loss, sample, trainer.global_step),
            trainer.current_epoch,
            **arguments,
        )
        _log(record, trainer)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Probe if that is due after so many steps."""
        number = trainer.num_training_batches
        done = (batch_idx + 1) / number if math.isfinite(number) else math.nan
        record = self._session.after_step(trainer.global_step, trainer.current_epoch + done)
        _log(record, trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Probe if that is due after so many epochs."""
        _log(self._session.after_epoch(trainer.global_step, trainer.current_epoch + 1), trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Close the sinks."""
        self._session.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close the sinks."""
        self._session.close()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Close the sinks."""
        self._session.close()


def _validation_batch(trainer: Any) -> Any:
    """The first batch for validation as the model gets it."""
    loaders = trainer.val_dataloaders
    found = [] if loaders is None else tree_leaves(loaders)
    if not found:
        raise ValueError(
            "sample: expected (inputs, targets), or a function that draws them, where the first "
            "batch for validation cannot be taken, got none: the trainer has no loader for it"
        )
    batch = trainer.strategy.batch_to_device(first_batch(found[0]), dataloader_idx=0)
    return tuple(batch) if isinstance(batch, list) else batch


def _log(record: Record | None, trainer: Any) -> None:
    """Hand the numbers to the loggers, and to whatever monitors some of them."""
    if record is None:
        return
    found = scalars(record)
    # Not by `log`: that reaches the loggers at every `log_every_n_steps`-th step alone.
    for logger in trainer.loggers:
        logger.log_metrics(found, step=record.step)
        logger.save()
    device = trainer.strategy.root_device
    trainer.callback_metrics.update(
        {
            tag: torch.tensor(value, dtype=torch.float32, device=device)
            for tag, value in found.items()
        }
    )


@cache
def _callback() -> type:
    return late_class(_Hooks, "lightning.pytorch", "Callback")


def __getattr__(name: str) -> Any:
    if name == "SpectrumCallback":
        return _callback()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
