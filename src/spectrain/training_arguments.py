"""From the arguments of `spectrain train` to a configuration, without torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from .argument_errors import Arguments
from .argument_words import meant
from .probes.records.record_file import CONFIG
from .training.config import TrainingConfig
from .training.systems import SYSTEMS, SoftmaxMixtureConfig

__all__ = ["TrainingArguments", "parse_training_arguments"]

_SWITCHES = {"--print_config", "-h", "--help"}


@dataclass(frozen=True)
class TrainingArguments:
    """What `spectrain train` was asked for.

    Attributes:
        config: of the training.
        folder: of the run.
        resume: whether to go on with the run in the folder.
    """

    config: TrainingConfig
    folder: Path
    resume: bool


def parse_training_arguments(arguments: Sequence[str]) -> TrainingArguments:
    """Parse [CONFIG] [options]; the system, chosen first, decides which options there are.

    Raises:
        ValueError: if a value is out of range, or the file names no known system.
        argparse.ArgumentError: if a key is unknown or a value of the wrong type.
    """
    early, rest = _early_parser().parse_known_args(arguments)
    if early.folder == "":
        raise ValueError("folder: expected a path, got ''")
    file = early.config or _positional(rest)
    rest = [argument for argument in rest if argument != file]
    stored = Path(early.folder or ".") / CONFIG
    if file is None and early.resume and early.folder and stored.is_file():
        file = str(stored)
    content = _content(file) if file is not None else {}
    system = _system(early.system or content.get("system", SoftmaxMixtureConfig.system))
    _check(content, system)

    # The file comes first, so that flags go over it.
    known = ["--config", file] if file else []
    known += ["--folder", early.folder] if early.folder else []
    parser = _parser(system)
    values = parser.instantiate(parser.parse_args([*known, *rest, "--system", system.system]))
    config = system(**{field.name: values[field.name] for field in fields(system)})
    return TrainingArguments(config, Path(values.folder), early.resume)


def _early_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config")
    parser.add_argument("--system")
    parser.add_argument("--folder")
    parser.add_argument("--resume", action="store_true")
    return parser


def _parser(system: type[TrainingConfig]) -> Arguments:
    parser = Arguments(
        prog="spectrain train",
        usage="spectrain train [CONFIG] [options]",
        description=f"Options of {system.system}; --system NAME --help shows those of another.",
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", help="the same as CONFIG")
    parser.add_argument(
        "--system", choices=list(SYSTEMS), default=system.system, help="what is trained"
    )
    parser.add_argument(
        "--folder", type=str, default=f"runs/{system.system}", help="where the run is kept"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        default=argparse.SUPPRESS,
        help="go on with the run in the folder; its configuration is taken if none is given",
    )
    parser.add_class_arguments(system)
    return parser


def _positional(arguments: Sequence[str]) -> str | None:
    """The first argument that is neither a flag nor the value of one."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        has_value = before.startswith("--") and "=" not in before and before not in _SWITCHES
        if not argument.startswith("-") and not has_value:
            return argument
    return None


def _content(file: str) -> dict[str, Any]:
    try:
        content = yaml.load(Path(file).read_text("utf-8"), _KeysOnce)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"CONFIG: expected a YAML file, got {file!r} ({reason})") from error
    if not isinstance(content, dict):
        raise ValueError(f"CONFIG: expected keys and values, got {file!r}")
    return content


class _KeysOnce(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key, place in zip(keys, node.value, strict=True):
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key} is given twice", problem_mark=place[0].start_mark
                )
        content: dict[Any, Any] = super().construct_mapping(node, deep)
        return content


def _check(content: dict[str, Any], system: type[TrainingConfig]) -> None:
    """Refuse what the parser would pass over."""
    if "resume" in content:
        raise ValueError(
            f"resume: expected as a flag, got {content['resume']!r} in the configuration"
        )
    known = [field.name for field in fields(system)]
    for key in content:
        if key not in (*known, "system", "folder"):
            raise ValueError(f"{key}: no such key{meant(str(key), known)}")
    for field in fields(system):
        given = content.get(field.name, {})
        if is_dataclass(field.type) and not isinstance(given, dict):
            raise ValueError(f"{field.name}: expected keys and values, got {given!r}")
        if is_dataclass(field.type):
            inner = [f"{field.name}.{each.name}" for each in fields(field.type)]
            for key in (f"{field.name}.{key}" for key in given):
                if key not in inner:
                    raise ValueError(f"{key}: no such key{meant(key, inner)}")


def _system(name: object) -> type[TrainingConfig]:
    if not isinstance(name, str) or name not in SYSTEMS:
        raise ValueError(f"system: expected one of {sorted(SYSTEMS)}, got {name!r}")
    return SYSTEMS[name]
