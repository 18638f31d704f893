"""The probe as a callback of the Trainer of Hugging Face's transformers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ...probes.curvature.losses import Loss
from ...probes.records.record import Record
from ...probes.records.sink import Sink
from ...probes.schedules import Schedule
from ...probes.setup import Sample
from ...views.sinks.scalars import scalars
from .first_batch import first_batch
from .language_losses import known_loss, model_loss
from .late_class import late_class
from .session import Session, world

__all__ = ["SpectrumCallback"]  # noqa: F822 -- made at its first use

STATE = "spectrum.pt"


class _Hooks:
    """Probe a model while the Trainer trains it.

    Give it to `attach`, which adds it to a trainer, rather than to the trainer's ``callbacks``: it
    then can read the loader for evaluation, and its numbers are logged at the step they are of.
    Otherwise pass ``sample``; its numbers then are merged into the next logs, which the callbacks
    before it, such as those of ``report_to``, have had by then.

    Probes before the first step, at steps and at ends of epochs. The step of a record is the
    trainer's ``global_step``. The state is saved as ``spectrum.pt`` in each checkpoint, and found
    there when the training is resumed. All processes call the probe together, each with its share
    of the sample; the first writes. Under mixed precision the model is measured without autocast.

    Args:
        loss: of (outputs, labels); default: the cross entropy of logits and labels that has the
            gradient of the model's own loss, see `known_loss`. "out.loss": the mean that the model
            takes itself, as any other loss needs, for which there is no information matrix.
        sample: (inputs, labels), or a function that draws them; default: the first batch of the
            evaluation.
        every: steps between probings; default: not by steps.
        every_epochs: epochs between probings; default: 1, or not by epochs where ``every`` is
            given.
        logdir: folder of a record file and of TensorBoard's events, for the tab Spectrum.
        sinks: receive every record too, and are closed at the end.
        resume_from: the checkpoint's folder, where it is not in the trainer's ``output_dir``.
        arguments: of `SpectralProbe`. ``sample_kind`` of the default sample is "held-out".

    Raises:
        ImportError: if transformers is not installed.
        ValueError: naming the argument, when the training starts.
    """

    def __init__(
        self,
        loss: Loss | Literal["out.loss"] | None = None,
        sample: Sample | None = None,
        *,
        every: int | Schedule | None = None,
        every_epochs: int | None = None,
        logdir: str | Path | None = None,
        sinks: Sequence[Sink] = (),
        resume_from: str | Path | None = None,
        **arguments: Any,
    ) -> None:
        if isinstance(loss, str) and loss != "out.loss":
            raise ValueError(f"loss: expected a function, 'out.loss' or None, got {loss!r}")
        if every is None and every_epochs is None:
            every_epochs = 1
        self._loss, self._sample, self._resume_from = loss, sample, resume_from
        self._session = Session(
            every=every, every_epochs=every_epochs, logdir=logdir, sinks=sinks, **arguments
        )
        self._trainer: Any = None
        self._unlogged: dict[str, float] = {}

    def attach(self, trainer: Any) -> None:
        """Add it to the callbacks of a trainer."""
        self._trainer = trainer
        trainer.add_callback(self)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make the probe, and probe before the first step."""
        model = kwargs["model"]
        arguments: dict[str, Any] = {"process_group": world()}
        sample = self._sample
        if sample is not None:
            loss = self._loss_of(model, sample)
        else:
            inputs, labels = self._evaluation_batch(model)
            loss = self._loss_of(model, (inputs, labels))
            if loss is model_loss:
                inputs = {**inputs, "labels": labels}
            sample, arguments["sample_kind"] = (inputs, labels), "held-out"
        if state.global_step:
            self._restore(args, state.global_step)
        record = self._session.start(
            *(model, loss, sample, state.global_step, state.epoch or 0.0), **arguments
        )
        self._log(record, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Probe if that is due after so many steps."""
        self._log(self._session.after_step(state.global_step, state.epoch), control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Probe if that is due after so many epochs."""
        self._log(self._session.after_epoch(state.global_step, round(state.epoch)), control)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save the state in the checkpoint that was written."""
        if state.is_world_process_zero:
            folder = _checkpoint(args, state.global_step)
            if folder.is_dir():
                torch.save(self._session.state_dict(), folder / STATE)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Merge the numbers of the last probing into the logs, if they were not logged yet."""
        found, self._unlogged = self._unlogged, {}
        if logs is not None:
            logs.update(found)
            if state.log_history:
                state.log_history[-1].update(found)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the sinks."""
        self._session.close()

    def _log(self, record: Record | None, control: Any) -> None:
        if record is None:
            return
        found = scalars(record)
        if self._trainer is None:
            self._unlogged = found
            return
        wanted = control.should_log
        self._trainer.log(dict(found))
        control.should_log = wanted  # logging takes it back, and the training's own is still due

    def _restore(self, args: Any, step: int) -> None:
        """Load the state of the checkpoint that the trainer resumes from."""
        folder = _checkpoint(args, step) if self._resume_from is None else Path(self._resume_from)
        path = folder / STATE
        if path.is_file():
            self._session.load_state_dict(torch.load(path, "cpu", weights_only=True))
            return
        warnings.warn(
            f"the training is resumed at step {step} without the probe's state: expected "
            f"{str(path)!r}, which is not there; resume_from says which checkpoint it is",
            RuntimeWarning,
            stacklevel=2,
        )

    def _loss_of(self, model: nn.Module, sample: Any) -> Loss:
        if callable(self._loss):
            return self._loss
        if self._loss is None and not callable(sample) and isinstance(sample[0], Mapping):
            return known_loss(model, sample[0], sample[1])
        return model_loss

    def _evaluation_batch(self, model: nn.Module) -> tuple[dict[str, Any], Any]:
        trainer = self._trainer
        dataset = getattr(trainer, "eval_dataset", None)
        if dataset is None:
            raise ValueError(
                "sample: expected (inputs, labels), or a function that draws them, got none and no "
                "data for evaluation: callback.attach(trainer) tells of those of a trainer"
            )
        name = next(iter(dataset)) if isinstance(dataset, dict) else None
        batch = first_batch(trainer.get_eval_dataloader(name))
        device = next(model.parameters()).device
        batch = tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, batch)
        if not isinstance(batch, Mapping) or "labels" not in batch:
            found = list(batch) if isinstance(batch, Mapping) else type(batch).__name__
            raise ValueError(f"sample: expected batches for evaluation with 'labels', got {found}")
        inputs, labels = dict(batch), batch["labels"]
        del inputs["labels"]  # with them the model takes a loss that nobody may ask for
        if getattr(getattr(model, "config", None), "use_cache", False):
            inputs["use_cache"] = False
        return inputs, labels


def _checkpoint(args: Any, step: int) -> Path:
    return Path(args.output_dir) / f"checkpoint-{step}"


@cache
def _callback() -> type:
    return late_class(_Hooks, "transformers", "TrainerCallback")


def __getattr__(name: str) -> Any:
    if name == "SpectrumCallback":
        return _callback()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
