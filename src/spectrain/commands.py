"""What the command line can be told to do: each command is a function of its arguments.

Torch is imported only once they are known to be good, and not at all by predictions.
"""

from __future__ import annotations

import itertools
import math
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .argument_words import FewArguments
from .os_errors import os_error

if TYPE_CHECKING:
    from .argument_errors import Arguments
    from .probes.crosscheck import CrossCheck

__all__ = ["COMMANDS"]


def train(arguments: Sequence[str]) -> int:
    """Train a system with the probe attached, or go on with a run."""
    from .training_arguments import parse_training_arguments

    asked = parse_training_arguments(arguments)

    from .probes.records.record_file import CONFIG
    from .training.callbacks import ProgressBar
    from .training.run import run
    from .views.sinks.console import ConsoleSink
    from .views.sinks.tensorboard import TensorBoardSink

    config = asked.config
    settings = config.to_dict()
    dimension = settings.get("dimension")
    kept = f"what was written to {asked.folder} before is kept, --resume goes on from there"
    try:
        result = run(
            config,
            asked.folder,
            resume=asked.resume,
            sinks=[
                lambda path, step: TensorBoardSink(
                    path, step, dimension=dimension, config=settings
                ),
                lambda path, step: ConsoleSink(),
            ],
            callbacks=[ProgressBar(config.epochs * config.steps_per_epoch, config.system)],
        )
    except OSError as error:
        begun = (asked.folder / CONFIG).is_file()
        raise OSError(f"{os_error(error)}; {kept}" if begun else os_error(error)) from error
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(kept) from interrupt
    print(f"{len(result.records)} records in {asked.folder}")
    print(f"to look at them: spectrain board {shlex.quote(str(asked.folder))}")
    return 0


def ensemble(arguments: Sequence[str]) -> int:
    """Train a system under many seeds at once, and keep their mean and spread."""
    from .ensemble_arguments import parse_ensemble_arguments

    asked = parse_ensemble_arguments(arguments)

    from tqdm import tqdm

    from .training.ensemble import ensemble as train_together

    count = len(asked.configs) * asked.seeds
    with tqdm(total=count, desc=asked.configs[0].system, unit="run", disable=None) as bar:
        found = train_together(
            asked.configs, asked.folder, seeds=asked.seeds, resume=asked.resume, tick=bar.update
        )
    print(f"{len(found)} x {asked.seeds} runs in {asked.folder}")
    print(f"to look at their means: spectrain board {shlex.quote(str(asked.folder))}")
    return 0


def board(arguments: Sequence[str]) -> int:
    """Show runs in TensorBoard, every step of them."""
    parser = _parser(board)
    parser.add_argument("logdir", type=str, nargs="?", help="a run folder, or a folder of them")
    parser.add_argument(
        "--compare", type=str, nargs="+", metavar="RUN", help="run folders from anywhere, overlaid"
    )
    parser.add_argument("--host", type=str, default="localhost", help="to listen on")
    parser.add_argument("--port", type=int, default=6006, help="to listen on")
    parser.add_argument(
        "--known_hosts", type=str, nargs="+", help="further names under which the tab may be asked"
    )
    parser.add_argument("--no_browser", action="store_true", help="only print the address")
    asked = parser.parse_args(list(arguments))

    from .views.board import board_arguments, compared_runs

    if (asked.logdir is None) == (asked.compare is None):
        raise ValueError("logdir: expected a folder, or --compare RUN RUN, and not both")
    if asked.compare is not None:
        source = compared_runs(asked.compare)
    elif Path(asked.logdir).is_dir():
        source = asked.logdir
    else:
        raise ValueError(f"logdir: expected a folder, got {asked.logdir!r}")

    from .views.plugin.hosts import HOSTS
    from .views.serving import serve

    if asked.known_hosts:
        os.environ[HOSTS] = ",".join(asked.known_hosts)
    chosen = asked.compare and list(source)
    return serve(
        board_arguments(source, asked.host, asked.port), chosen or [], not asked.no_browser
    )


def figures(arguments: Sequence[str]) -> int:
    """Draw the figures of a run, or, without one, those that need none."""
    parser = _parser(figures)
    parser.add_argument("run", type=str, nargs="?", help="a run folder, or its data file")
    parser.add_argument(
        "--only", type=str, nargs="+", default=[], metavar="FIGURE", help="their names, see below"
    )
    parser.add_argument("--output", type=str, help="folder; by default RUN/figures, or figures")
    parser.add_argument(
        "--columns", type=Literal[1, 2], default=2, help="of a page that a figure spans"
    )
    parser.add_argument(
        "--animate", action="store_true", help="write the density over training as a GIF as well"
    )
    if {"-h", "--help"} & set(arguments):
        from .figures.catalogue import figure_names

        of_runs, others = map(", ".join, figure_names())
        parser.epilog = f"figures of a run: {of_runs}. Those that need none: {others}."
    asked = parser.parse_args(list(arguments))
    _require_run(asked.run)
    if asked.animate and asked.run is None:
        raise ValueError("animate: expected a run, got none")

    from .figures.catalogue import drawings_of_run, drawings_without_run
    from .figures.drawing import draw_figures
    from .probes.records.record_file import load

    loaded = load(asked.run) if asked.run else None
    output = Path(asked.output or _run_folder(asked.run or ".") / "figures")
    drawings = drawings_of_run(loaded, asked.only) if loaded else drawings_without_run(asked.only)
    if not drawings:
        print("spectrain: the run holds nothing that a figure shows", file=sys.stderr)
    for path in draw_figures(output, drawings, columns=asked.columns):
        print(path)
    if loaded is not None and asked.animate:
        from .views.figures.animation import write_animation

        write_animation(loaded.records, output / "spectra.gif")
        print(output / "spectra.gif")
    return 0


def export(arguments: Sequence[str]) -> int:
    """Write the records of a run as a table (csv, parquet) or as arrays (npz)."""
    parser = _parser(export)
    parser.add_argument("run", type=str, help="a run folder, or its data file")
    parser.add_argument(
        "--format", choices=("csv", "npz", "parquet"), default="csv", help="of the file"
    )
    parser.add_argument("--output", type=str, help="file; by default RUN/records.FORMAT")
    asked = parser.parse_args(list(arguments))
    _require_run(asked.run)

    from .probes.records.record_file import load
    from .views.export import export as write

    output = Path(asked.output or _run_folder(asked.run) / f"records.{asked.format}")
    write(load(asked.run), output, asked.format)
    print(output)
    return 0


def report(arguments: Sequence[str]) -> int:
    """Write one HTML page on a run: figures, errors, transitions, configuration, citations."""
    parser = _parser(report)
    parser.add_argument("run", type=str, help="a run folder, or its data file")
    parser.add_argument("--output", type=str, help="file; by default RUN/report.html")
    asked = parser.parse_args(list(arguments))
    _require_run(asked.run)

    import warnings

    from .figures.catalogue import report_texts, run_figures
    from .probes.records.atomic import write_atomically
    from .probes.records.record_file import load
    from .views.report import is_report
    from .views.report import report as page

    folder = _run_folder(asked.run)
    # What is wrong with the data file is said on the page, without the path to it.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = load(asked.run)
    notices = [str(each.message).replace(f"{folder}/", "") for each in caught]
    for notice in notices:
        print("spectrain: warning:", notice, file=sys.stderr)
    output = Path(asked.output or folder / "report.html")
    if output.exists() and not is_report(output):
        raise ValueError(f"output: expected a new file or a former report, got {str(output)!r}")
    output.parent.mkdir(parents=True, exist_ok=True)
    content = page(run, folder.resolve().name, notices, run_figures(run), report_texts(run)).encode(
        "utf-8", "replace"
    )
    write_atomically(output, lambda file: file.write(content))
    print(output)
    return 0


def _require_run(run: str | None) -> None:
    if run is not None and not Path(run).exists():
        raise ValueError(f"run: expected a run folder or a data file, got {run!r}")


def _run_folder(run: str) -> Path:
    """The folder, also if the data file in it was named."""
    return Path(run) if Path(run).is_dir() else Path(run).parent


def demo(arguments: Sequence[str]) -> int:
    """Train two systems with the probe attached; draw figures and compare with theory."""
    parser = _parser(demo)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter")
    parser.add_argument("--folder", type=str, help="for the runs; by default a new one in runs")
    parser.add_argument("--figures", type=str, default="figures", help="folder for the figures")
    asked = parser.parse_args(list(arguments))

    if asked.folder == "":
        raise ValueError("folder: expected a path, got ''")

    from .demo import FULL, QUICK
    from .demo import demo as run_demo

    folder = Path(asked.folder) if asked.folder else _new_folder(Path("runs"), "demo")
    run_demo(folder, Path(asked.figures), QUICK if asked.quick else FULL)
    return 0


def _parser(command: Callable[..., int]) -> Arguments:
    from .argument_errors import Arguments

    return Arguments(**_settings(command))


def _settings(command: Callable[..., int]) -> dict[str, Any]:
    return {
        "prog": f"spectrain {command.__name__}",
        "description": command.__doc__,
        "allow_abbrev": False,
        "exit_on_error": False,
    }


def _new_folder(parent: Path, name: str) -> Path:
    """A folder that does not exist yet: name, name-2, name-3, ..."""
    names = (name if count == 1 else f"{name}-{count}" for count in itertools.count(1))
    return next(parent / candidate for candidate in names if not (parent / candidate).exists())


def predict(arguments: Sequence[str]) -> int:
    """Predict without training what a specification asks for, such as a spectrum."""
    return _answer("predict", predict, arguments)


def dynamics(arguments: Sequence[str]) -> int:
    """Predict how the quantities of a specification change along a training."""
    return _answer("dynamics", dynamics, arguments)


def _answer(
    name: Literal["predict", "dynamics"],
    command: Callable[..., int],
    arguments: Sequence[str],
) -> int:
    parser = FewArguments(**_settings(command))
    parser.add_argument("spec", type=str, help="JSON or TOML file, see docs/reference.md")
    parser.add_argument("--json", action="store_true", help="print one JSON document, not a table")
    asked = parser.parse_args(list(arguments))

    from .answers.dispatch import answer
    from .answers.table_file import read_table

    found = answer(name, read_table(asked.spec))
    print(found.json if asked.json else found.text)
    return 0


def check(arguments: Sequence[str]) -> int:
    """Compare largest eigenvalue and trace with PyHessian's on small models."""
    parser = _parser(check)
    parser.add_argument("--seed", type=int, default=0, help="of weights, data and probing")
    seed = parser.parse_args(list(arguments)).seed

    import torch

    from .probes.crosscheck import crosscheck
    from .training.systems import SYSTEMS

    agree = True
    for name, system_config in SYSTEMS.items():
        generator = torch.Generator().manual_seed(seed)
        system = system_config.small().build(generator)
        inputs, targets = system.probe_sample(generator)
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
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": train,
    "ensemble": ensemble,
    "figures": figures,
    "export": export,
    "report": report,
    "demo": demo,
    "board": board,
    "predict": predict,
    "dynamics": dynamics,
    "check": check,
}
