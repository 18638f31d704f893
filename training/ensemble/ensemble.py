"""Ensembles: many runs together, and a run folder with their mean and spread."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...models.arguments import require_whole
from ...probes.records.atomic import write_atomically
from ...probes.records.lines import header_line, record_line
from ...probes.records.record_file import Run, load
from ..config import TrainingConfig
from ..executors import outcomes
from ..run_folder import RunFolder, open_run_folder
from ..seeds import Seeds
from ..system import System
from .group import train_group
from .mean import mean_record
from .prediction import predicted

__all__ = ["MEMBERS", "ensemble"]

MEMBERS = "members"  # the folder of their record files
# Members of a group: here, and where other workers want groups of their own.
_TOGETHER, _BY_EXECUTOR = 32, 8


def ensemble(
    configs: TrainingConfig | Sequence[TrainingConfig],
    folder: str | os.PathLike[str],
    *,
    seeds: int,
    resume: bool = False,
    executor: Executor | None = None,
    tick: Callable[[int], object] = lambda count: None,
) -> tuple[Run, ...]:
    """Train, probe and predict each configuration under many seeds, many runs at once.

    A member is, up to rounding, the run that `run` makes of its configuration, measured on one draw
    of the probe sample; its record file is ``members/seed-S.jsonl`` in the run folder. The records
    of the folder itself are means over the members (see `mean_record`) with one prediction and one
    forecast, from the mean of the statistics.

    Args:
        configs: one, or several: each then has a run folder within ``folder``, named by the keys
            in which they differ.
        folder: is created; must not hold a run unless ``resume``.
        seeds: number of members of each configuration: its seed and those that follow it.
        resume: go on with what the folder holds: members whose files are there are not run again.
        executor: trains groups of members, in processes or on other machines; what it loses with
            its workers is done in this process. It stays open.
        tick: is told of every number of members that are finished, for a progress bar.

    Returns:
        what each run folder holds in the end.

    Raises:
        ValueError: naming the argument or key, before any work; if the system has no `Descent`.
        FloatingPointError: if a loss is not finite, naming the member; those that are finished are
            kept.
    """
    chosen = [configs] if isinstance(configs, TrainingConfig) else list(configs)
    if not chosen:
        raise ValueError("configs: expected at least one, got none")
    require_whole("seeds", seeds, 1)
    names = _names(chosen)
    systems = [_built(config) for config in chosen]
    with ExitStack() as stack:
        parts = [
            _Part(
                config,
                seeds,
                system,
                stack.enter_context(
                    open_run_folder(Path(folder) / name, _stored(config, seeds), resume=resume)
                ),
            )
            for config, name, system in zip(chosen, names, systems, strict=True)
        ]
        left: list[tuple[TrainingConfig, Path]] = []
        for part in parts:
            part.members.mkdir(exist_ok=True)
            left += part.left()
        tick(sum(len(part.files) for part in parts) - len(left))
        size = _TOGETHER if executor is None else _BY_EXECUTOR
        groups = _groups(left, systems[0], size)
        calls = [([config for config, _ in group],) for group in groups]
        for place, contents in outcomes(train_group, calls, executor):
            for (_, path), content in zip(groups[place], contents, strict=True):
                _write(path, content)
            tick(len(contents))
        return tuple(part.finish() for part in parts)


@dataclass(frozen=True)
class _Part:
    """One configuration under all seeds, and its run folder."""

    config: TrainingConfig
    seeds: int
    system: System
    folder: RunFolder

    @property
    def members(self) -> Path:
        """The folder of the members' files."""
        return self.folder.path / MEMBERS

    @property
    def files(self) -> list[tuple[TrainingConfig, Path]]:
        """Configuration and record file of each member."""
        first = self.config.seed
        return [
            (replace(self.config, seed=seed), self.members / f"seed-{seed}.jsonl")
            for seed in range(first, first + self.seeds)
        ]

    def left(self) -> list[tuple[TrainingConfig, Path]]:
        """Members that are not finished.

        Raises:
            ValueError: if there is another file in the place of a member's.
        """
        records = self.folder.records
        for unfinished in (
            *self.members.glob(".seed-*.new"),
            *records.parent.glob(f".{records.name}.*.new"),
        ):
            unfinished.unlink()
        missing = []
        for config, path in self.files:
            if not path.exists():
                missing.append((config, path))
            elif load(path).config != _plain(config.to_dict()):
                raise ValueError(
                    f"folder: expected the run of seed {config.seed} in {str(path)!r}, "
                    "got the records of another configuration"
                )
        return missing

    def finish(self) -> Run:
        """Write the mean of all members, with prediction and forecast."""
        runs = [load(path) for _, path in self.files]
        longest = max(len(run.records) for run in runs)
        for (_, path), run in zip(self.files, runs, strict=True):
            if len(run.records) < longest:
                raise ValueError(
                    f"folder: expected {longest} records of each member, got {len(run.records)} in "
                    f"{str(path)!r}; take the file away and resume to run that member again"
                )
        names = [f"seed {config.seed}" for config, _ in self.files]
        means = [
            mean_record(records, names)
            for records in zip(*(run.records for run in runs), strict=True)
        ]
        complete = predicted(means, self.config, self.system)
        header = header_line(_stored(self.config, self.seeds))
        _write(self.folder.records, b"".join([header, *map(record_line, complete)]))
        return load(self.folder.path)


def _built(config: TrainingConfig) -> System:
    """The system of the first run.

    Raises:
        ValueError: if it cannot be built, or trains no runs together.
    """
    generator = torch.Generator(config.device).manual_seed(Seeds.of(config.seed).weights)
    system = config.build(generator)
    if system.descent is None:
        raise ValueError(
            "system: expected one whose runs are trained together (with a descent), "
            f"got {config.system!r}"
        )
    return system


def _stored(config: TrainingConfig, seeds: int) -> dict[str, Any]:
    return {**config.to_dict(), "ensemble": {"seeds": seeds}}


def _names(configs: Sequence[TrainingConfig]) -> list[str]:
    """Of the run folders: "" for a single one, else what sets each apart, "optimiser.ridge=0.1".

    Raises:
        ValueError: if two configurations are the same.
    """
    if len(configs) == 1:
        return [""]
    flat = [dict(_flat(config.to_dict())) for config in configs]
    keys = [key for key in flat[0] if any(each.get(key) != flat[0][key] for each in flat)]
    names = [",".join(f"{key}={_word(each.get(key))}" for key in keys) for each in flat]
    if len(set(names)) < len(names):
        raise ValueError("configs: expected different ones, got one of them twice")
    return names


def _word(value: object) -> str:
    """A value as a part of a file name."""
    return json.dumps(value).replace('"', "").replace(" ", "").replace("/", "_")


def _flat(content: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for key, value in content.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{before}{key}.")
        else:
            pairs.append((before + key, value))
    return pairs


def _groups(
    members: Sequence[tuple[TrainingConfig, Path]], system: System, size: int
) -> list[list[tuple[TrainingConfig, Path]]]:
    """Members that are trained together: alike but for what the system's descent leaves free."""
    assert system.descent is not None
    alike: dict[str, list[tuple[TrainingConfig, Path]]] = {}
    for config, path in members:
        fixed = [each for each in _flat(config.to_dict()) if each[0] not in system.descent.free]
        alike.setdefault(json.dumps(fixed), []).append((config, path))
    return [
        group[first : first + size]
        for group in alike.values()
        for first in range(0, len(group), size)
    ]


def _plain(content: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(content))


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda file: file.write(content))
