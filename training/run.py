"""A run: one configured training with its probe, records and checkpoints in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

import torch

from ..models.arguments import require_arguments
from ..probes.measurement import Measurement
from ..probes.probe import SpectralProbe
from ..probes.records.record_file import RecordFile, Run, load
from ..probes.records.sink import Sink
from .callbacks import Callback, ScheduleStep
from .checkpoint import Checkpoint, Checkpointer, Stateful
from .config import TrainingConfig
from .head_sgd import head_sgd
from .loop import fit
from .run_folder import open_run_folder
from .seeds import Seeds
from .system import System

__all__ = ["run"]


def run(
    config: TrainingConfig,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    sinks: Sequence[Callable[[Path, int], Sink]] = (),
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train a system, probe it after every epoch, and keep everything in a folder.

    Args:
        config: of the system and its training.
        folder: is created; must not hold a run unless ``resume``.
        resume: go on where the last checkpoint of the folder stands, or from the beginning if
            the run was killed before its first; weights and records become those of an
            uninterrupted run.
        sinks: where records go besides the record file. Each is called with the folder and the
            first step whose record it will be given: what it kept from there on is void.
        callbacks: are told of the training, after the probe and the checkpoint.

    Returns:
        What the folder holds in the end.

    Raises:
        ValueError: naming the argument, what was expected and what came.
        FloatingPointError: if the loss is not finite; what was measured before is kept.
    """
    require_arguments(run, locals())
    _require_device(config.device)
    seeds = Seeds.of(config.seed)
    system = config.build(_generator(seeds.weights, config.device))
    batches = system.batches(_generator(seeds.data, config.device))
    with ExitStack() as stack:
        files = stack.enter_context(open_run_folder(folder, config.to_dict(), resume=resume))
        checkpoint = Checkpoint.read(files.checkpoint)
        if checkpoint is None:
            files.begin_anew(config.steps_per_epoch)
        else:
            files.begun()
            files.require_records(checkpoint.offset)
        finished = checkpoint.epoch if checkpoint else 0
        first_step = finished * config.steps_per_epoch + 1 if checkpoint else 0
        records = stack.enter_context(closing(RecordFile(files.records, config.to_dict())))
        if checkpoint:
            # Before any sink makes void what it kept.
            records.truncate(checkpoint.offset)
        others = [stack.enter_context(closing(sink(files.path, first_step))) for sink in sinks]
        probe = _probe(config, system, [records, *others], seeds.probe)
        parts: dict[str, Stateful] = {
            "model": system.model,
            "optimiser": system.optimiser,
            "data": batches,
            "probe": probe,
        }
        steps: list[Callback] = []
        if system.schedule is not None:
            parts["schedule"] = system.schedule
            steps.append(ScheduleStep(system.schedule))
        if checkpoint:
            checkpoint.restore(parts)
        fit(
            system.model,
            system.loss,
            batches,
            system.optimiser,
            epochs=config.epochs,
            steps_per_epoch=config.steps_per_epoch,
            callbacks=[*steps, probe, Checkpointer(files.checkpoint, parts, records), *callbacks],
            finished_epochs=finished,
            # A schedule counts the optimiser's own steps.
            by_hand=head_sgd(system.model, system.loss, system.optimiser)
            if system.schedule is None
            else None,
        )
        files.begun()
    return load(folder)


def _require_device(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: expected one that torch can use here, got {name!r}") from error


def _generator(seed: int, device: str) -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def _probe(
    config: TrainingConfig,
    system: System,
    sinks: Sequence[Sink],
    seed: int,
) -> SpectralProbe:
    settings = asdict(config.probe)
    return SpectralProbe(
        system.model,
        system.loss,
        system.sample,
        sinks=sinks,
        sample_kind=system.sample_kind,
        theory=system.theory,
        blocks=system.blocks,
        rare_blocks=system.rare_blocks,
        matrices=system.matrices,
        measures=system.measures,
        learning_rate=system.learning_rate,
        every=settings.pop("every"),
        measurement=Measurement(**settings),
        seed=seed,
        thorough_epochs={0, config.epochs // 2, config.epochs},
    )
