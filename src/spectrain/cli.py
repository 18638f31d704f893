"""The command line: spectrain COMMAND ...

Each command is a function of its arguments. Torch is imported only once they are known to be good.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser

from .training.systems import SYSTEMS
from .training_arguments import parse_training_arguments

if TYPE_CHECKING:
    from .probes.crosscheck import CrossCheck

__all__ = ["main"]


def train(arguments: Sequence[str]) -> int:
    """Train a system with the probe attached, or go on with a run."""
    asked = parse_training_arguments(arguments)

    from .training.callbacks import ProgressBar
    from .training.run import run
    from .views.console import ConsoleSink
    from .views.tensorboard import TensorBoardSink

    config = asked.config
    settings = config.to_dict()
    result = run(
        config,
        asked.folder,
        resume=asked.resume,
        sinks=[
            lambda path, step: TensorBoardSink(
                path, step, dimension=config.dimension, config=settings
            ),
            lambda path, step: ConsoleSink(),
        ],
        callbacks=[ProgressBar(config.epochs * config.steps_per_epoch, config.system)],
    )
    print(f"{len(result.records)} records in {asked.folder}")
    print(f"to look at them: spectrain board {asked.folder}")
    return 0


def board(arguments: Sequence[str]) -> int:
    """Show runs in TensorBoard, every step of them."""
    parser = _parser(board)
    parser.add_argument("logdir", type=str, help="a run folder, or a folder of them")
    parser.add_argument("--host", type=str, default="localhost", help="to listen on")
    parser.add_argument("--port", type=int, default=6006, help="to listen on")
    asked = parser.parse_args(list(arguments))
    if not Path(asked.logdir).is_dir():
        raise ValueError(f"logdir: expected a folder, got {asked.logdir!r}")

    from tensorboard.program import TensorBoard

    from .views.board import board_arguments

    server = TensorBoard()
    server.configure(["spectrain board", *board_arguments(asked.logdir, asked.host, asked.port)])
    return int(server.main())


def figures(arguments: Sequence[str]) -> int:
    """Draw the figures of a run, or, without one, those that need none."""
    parser = _parser(figures)
    parser.add_argument("run", type=str, nargs="?", help="a run folder")
    parser.add_argument("--only", type=str, nargs="+", default=[], help="names of figures")
    parser.add_argument("--output", type=str, help="folder; by default RUN/figures, or figures")
    asked = parser.parse_args(list(arguments))
    if asked.run is not None and not Path(asked.run).is_dir():
        raise ValueError(f"run: expected a run folder, got {asked.run!r}")

    from .figures import draw_figures
    from .probes.record_file import load

    loaded = load(asked.run) if asked.run else None
    output = Path(asked.output or Path(asked.run or ".") / "figures")
    for path in draw_figures(output, loaded, asked.only):
        print(path)
    return 0


def demo(arguments: Sequence[str]) -> int:
    """Train two systems with the probe attached; draw figures and compare with theory."""
    parser = _parser(demo)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter")
    parser.add_argument("--folder", type=str, help="for the runs; by default a new one in runs")
    parser.add_argument("--figures", type=str, default="figures", help="folder for the figures")
    asked = parser.parse_args(list(arguments))

    from .demo import FULL, QUICK
    from .demo import demo as run_demo

    folder = Path(asked.folder) if asked.folder else _new_folder(Path("runs"), "demo")
    run_demo(folder, Path(asked.figures), QUICK if asked.quick else FULL)
    return 0


def _parser(command: Callable[..., int]) -> ArgumentParser:
    return ArgumentParser(
        prog=f"spectrain {command.__name__}",
        description=command.__doc__,
        allow_abbrev=False,
        exit_on_error=False,
    )


def _new_folder(parent: Path, name: str) -> Path:
    """A folder that does not exist yet: name, name-2, name-3, ..."""
    names = (name if count == 1 else f"{name}-{count}" for count in itertools.count(1))
    return next(parent / candidate for candidate in names if not (parent / candidate).exists())


def predict(arguments: Sequence[str]) -> int:
    """Predict bulk, outliers and eigenvalues of one block from summary statistics."""
    path, as_json = _specification_arguments(predict, arguments)

    from .specification import read_prediction, read_table

    specification = read_prediction(read_table(path))

    from .document_text import prediction_text
    from .documents import json_text
    from .predictions import prediction_document

    document = prediction_document(specification)
    print(json_text(document) if as_json else prediction_text(document))
    return 0


def dynamics(arguments: Sequence[str]) -> int:
    """Predict how summary statistics, loss and accuracy change while SGD trains."""
    path, as_json = _specification_arguments(dynamics, arguments)

    from .specification import read_dynamics, read_table

    specification = read_dynamics(read_table(path))

    from .document_text import path_text
    from .documents import json_text
    from .predictions import path_document

    document = path_document(specification)
    print(json_text(document) if as_json else path_text(document))
    return 0


def _specification_arguments(
    command: Callable[..., int], arguments: Sequence[str]
) -> tuple[str, bool]:
    """The path of a specification, and whether JSON is wanted."""
    parser = _parser(command)
    parser.add_argument("spec", type=str, help="JSON or TOML file, see docs/reference.md")
    parser.add_argument("--json", action="store_true", help="print one JSON document, not a table")
    asked = parser.parse_args(list(arguments))
    return asked.spec, asked.json


def check(arguments: Sequence[str]) -> int:
    """Compare largest eigenvalue and trace with PyHessian's on small models."""
    parser = _parser(check)
    parser.add_argument("--seed", type=int, default=0, help="of weights, data and probing")
    seed = parser.parse_args(list(arguments)).seed

    import torch

    from .probes.crosscheck import crosscheck

    agree = True
    for name, system_config in SYSTEMS.items():
        generator = torch.Generator().manual_seed(seed)
        config = system_config(dimension=50, dtype="float64")
        system = config.build(generator)
        inputs, targets = system.law.sample(config.probe_samples, generator)
        result = crosscheck(system.model, system.loss, inputs, targets, generator)
        agree &= _is_in_agreement(result)
        print(f"{name}: {result.text()}")
    print("the libraries agree" if agree else "the libraries DISAGREE")
    return 0 if agree else 1


def _is_in_agreement(result: CrossCheck) -> bool:
    """Whether the eigenvalues agree to 1 %, and the traces to 5 standard errors."""
    errors = math.hypot(result.trace_error, result.reference_trace_error)
    return (
        abs(result.eigenvalue_difference) < 0.01
        and abs(result.reference_trace - result.trace) < 5 * errors
    )


# To add a command: a function above, a line here.
_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": train,
    "figures": figures,
    "demo": demo,
    "board": board,
    "predict": predict,
    "dynamics": dynamics,
    "check": check,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; those of the process if None.

    Returns:
        The exit status: 0, 1 if the command failed, 2 for bad input.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="spectrain", usage="spectrain COMMAND ...")
    commands = parser.add_subparsers(dest="command", title="commands", required=True)
    for name, command in _COMMANDS.items():
        commands.add_parser(name, help=command.__doc__, add_help=False)
    command = parser.parse_args(arguments[:1]).command
    try:
        return _COMMANDS[command](arguments[1:])
    except (argparse.ArgumentError, ValueError) as error:
        return _fail(error, 2)
    except ArithmeticError as error:
        return _fail(error, 1)


def _fail(error: Exception, status: int) -> int:
    print("spectrain: error:", " ".join(str(error).split()), file=sys.stderr)
    return status
