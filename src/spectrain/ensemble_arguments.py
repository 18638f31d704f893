"""From the arguments of `spectrain ensemble` to configurations, without torch."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .training.config import TrainingConfig
from .training_arguments import parse_training_arguments

__all__ = ["EnsembleArguments", "parse_ensemble_arguments"]

_OWN = ("seed", "system", "folder", "config", "resume")


@dataclass(frozen=True)
class EnsembleArguments:
    """What `spectrain ensemble` was asked for.

    Attributes:
        configs: one for each combination of the varied values.
        seeds: runs of each.
        folder: of all of them.
        resume: whether to go on with what the folder holds.
    """

    configs: tuple[TrainingConfig, ...]
    seeds: int
    folder: Path
    resume: bool


def parse_ensemble_arguments(arguments: Sequence[str]) -> EnsembleArguments:
    """Parse [CONFIG] [options of the system] --seeds N [--vary KEY VALUE ...].

    Raises:
        ValueError: if a value is out of range, or the file names no known system.
        argparse.ArgumentError: if a key is unknown or a value of the wrong type.
    """
    own, rest = _parser().parse_known_args(arguments)
    if own.seeds is None or own.seeds < 1:
        raise ValueError(f"seeds: expected a number of runs, at least 1, got {own.seeds}")
    if own.folder == "":
        raise ValueError("folder: expected a path, got ''")
    varied: dict[str, list[str]] = {}
    for key, *values in own.vary or []:
        name = key.removeprefix("--")
        if name.partition(".")[0] in _OWN or not values:
            raise ValueError(
                "vary: expected a key of the configuration (seeds have a flag of their own) and "
                f"its values, got {' '.join([key, *values])!r}"
            )
        if name in varied:
            raise ValueError(f"vary: expected every key once, got {name!r} twice")
        varied[name] = values
    combinations = itertools.product(
        *([f"--{key}={value}" for value in values] for key, values in varied.items())
    )
    configs = [parse_training_arguments([*rest, *flags]) for flags in combinations]
    folder = Path(own.folder or f"runs/{configs[0].config.system}-ensemble")
    return EnsembleArguments(tuple(each.config for each in configs), own.seeds, folder, own.resume)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spectrain ensemble",
        usage="spectrain ensemble [CONFIG] [options] --seeds N [--vary KEY VALUE ...]",
        description="Train a system under many seeds at once, and keep their mean and spread.",
        epilog="Further options are the keys of the system, as of spectrain train; "
        "spectrain train --system NAME --help lists them.",
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="runs: the seed and those after it")
    parser.add_argument(
        "--vary", action="append", nargs="+", metavar=("KEY", "VALUE"),
        help="an ensemble for each of these values; several times for all combinations",
    )  # fmt: skip
    parser.add_argument("--folder", help="where it is kept; by default runs/SYSTEM-ensemble")
    parser.add_argument(
        "--resume", action="store_true", help="run only what the folder does not hold yet"
    )
    return parser
