"""Logging one record with everything on: milliseconds and bytes for each sink.

What TensorBoard takes stands beside an earlier build on the same records: those of the full demo's
trainings of a few epochs, made by that build.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from spectrain import ConsoleSink, Measurement, Record, RecordFile, Sink, TensorBoardSink, WandbSink

from .earlier import TODAY, build_of, run_with
from .probing import SYSTEMS
from .timing import Timing, machine, side_by_side

__all__ = ["add_arguments", "print_beside", "run"]

DIMENSION = 1000
ALLOWED = 20.0  # ms a record, beside the probing and the pictures
REPEATS = 50
TITLES = {
    "records.jsonl": "record file, on the disk",
    "board": "TensorBoard without pictures",
    "console": "console",
    "all three": "all three",
    "pictures": "TensorBoard with pictures, drawn on a schedule",
    "wandb": "Weights & Biases, offline",
}


# The build beside which TensorBoard's cost stands, and the share of it that is allowed.
EARLIER = "656595e"
SHARE = 1 / 3
COMPARED = ("softmax-mixture", "two-layer-mixture")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The length of the runs whose records both builds write."""
    parser.add_argument("--epochs", type=int, default=6, help="of each training (default 6)")


def run(arguments: argparse.Namespace) -> None:
    """Print the table.

    Files are made in the current folder, since what it takes to have a record on the disk depends
    on the disk.
    """
    print(machine())
    record = _record()
    spectra = len(record.measured.spectra)
    print(
        f"\na record of {spectra} spectra with densities, predictions and tracks, d = {DIMENSION}"
    )
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        _compare(Path(folder), record)
        print_beside(EARLIER, Path(folder), arguments.epochs)
    print(machine())


def print_beside(commit: str, folder: Path, epochs: int) -> None:
    """TensorBoard beside an earlier build, in turn on the same records."""
    print(f"\n| TensorBoard, processor ms | {commit} | today | ratio | allowed |")
    print("|---|---|---|---|---|")
    with build_of(commit) as earlier:
        for system in COMPARED:
            run = folder / system
            run_with(earlier, "benchmarks.one_build", "train", str(run), system, str(epochs))
            found: dict[Path, list[dict[str, float]]] = {earlier: [], TODAY: []}
            for _ in range(3):
                for build, measured in found.items():
                    printed = run_with(build, "benchmarks.one_board", str(run))
                    measured.append(json.loads(printed.splitlines()[-1]))
            for name, title in (("record", "a record"), ("pictures", "its pictures")):
                before, now = (min(each[name] for each in found[b]) for b in (earlier, TODAY))
                print(
                    f"| {system}, {title} | {1000 * before:.1f} | {1000 * now:.1f} "
                    f"| {now / before:.2f} | {SHARE:.2f} |",
                    flush=True,
                )


def _record() -> Record:
    """The second of two probings, so that nothing is missing in it."""
    probe = SYSTEMS["softmax with theory"](Measurement())
    probe(0, 0.0)
    return probe(4 * DIMENSION, 1.0)


def _compare(folder: Path, record: Record) -> None:
    with (folder / "console").open("w") as console:
        board = TensorBoardSink(folder / "board", figures_every=0, dimension=DIMENSION)
        sinks: dict[str, Sink] = {
            "records.jsonl": RecordFile(folder / "records.jsonl"),
            "board": board,
            "console": ConsoleSink(console),
        }
        jobs = {name: _writing([sink], record) for name, sink in sinks.items()}
        jobs["all three"] = _writing(list(sinks.values()), record)
        for job in jobs.values():
            job()
        before = {name: _size(folder / name) for name in sinks}
        timings = dict(zip(jobs, side_by_side(list(jobs.values()), REPEATS), strict=True))
        print(f"\n| sink | median ms of {REPEATS} | fastest | spread | processor ms | kB |")
        print("|---|---|---|---|---|---|")
        for name, timing in timings.items():
            written = (_size(folder / name) - before[name]) / 2 / REPEATS if name in sinks else None
            print(_row(TITLES[name], timing, _processor(jobs[name]), written))
        for sink in sinks.values():
            sink.close()
    _print_others(folder, record)
    total = 1000 * timings["all three"].median
    verdict = "within" if total <= ALLOWED else "beyond"
    print(f"\n{total:.1f} ms a record in all, {verdict} the {ALLOWED:g} ms allowed")


def _print_others(folder: Path, record: Record) -> None:
    """What is not written with every record, or not by everyone."""
    others: dict[str, Sink] = {
        "pictures": TensorBoardSink(folder / "pictures", figures_every=1, dimension=DIMENSION)
    }
    if importlib.util.find_spec("wandb"):
        os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=str(folder))
        others["wandb"] = WandbSink(dimension=DIMENSION)
    for name, sink in others.items():
        job = _writing([sink], record)
        (timing,) = side_by_side([job], 5)
        print(_row(TITLES[name], timing, _processor(job), None))
        sink.close()


def _writing(sinks: Sequence[Sink], record: Record) -> Callable[[], None]:
    def job() -> None:
        for sink in sinks:
            sink.write(record)

    return job


def _processor(job: Callable[[], None]) -> float:
    """Seconds of this process's processor time that a call takes, the least of five."""
    seconds = []
    for _ in range(5):
        start = time.process_time()
        job()
        seconds.append(time.process_time() - start)
    return min(seconds)


def _row(title: str, timing: Timing, processor: float, size: float | None) -> str:
    seconds = (timing.median, timing.minimum, timing.spread, processor)
    numbers = " | ".join(f"{1000 * number:.1f}" for number in seconds)
    return f"| {title} | {numbers} | {'' if size is None else f'{size / 1000:.1f}'} |"


def _size(place: Path) -> int:
    """Bytes of a file, or of the files of a folder."""
    files = place.rglob("*") if place.is_dir() else (place,)
    return sum(file.stat().st_size for file in files)
