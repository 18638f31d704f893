"""Whole commands as processes, beside an earlier build: predictions, and the demo if asked for.

Processor time of a process and its children, on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .earlier import TODAY, build_of
from .timing import duration, machine

__all__ = ["add_arguments", "run"]

EARLIER = "656595e"
# Shares of the earlier build's time.
PREDICTION, DEMO = 0.4, 0.52

_SOFTMAX = {
    "head": {"kind": "softmax"},
    "directions": 2,
    "gram": [[0.3, 0.0, 0.2, 0.0], [0.0, 0.3, 0.0, 0.2], [0.2, 0, 1.0, 0], [0, 0.2, 0, 1.0]],
    "weights": [0.5, 0.5],
    "labels": [1, 0],
    "snr": 4.0,
    "aspect_ratio": 3.0,
    "matrix": "hessian",
    "block": "directions",
    "scaled_learning_rate": 1.0,
    "times": [1.0, 3.0],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How often predictions are made, and whether the demo is run."""
    parser.add_argument("--repeats", type=int, default=5, help="of each prediction (default 5)")
    parser.add_argument("--demo", action="store_true", help="the full demo too: some 20 minutes")


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    print(machine())
    print(f"\n| command | {EARLIER} | today | ratio | at most |\n|---|---|---|---|---|")
    with build_of(EARLIER) as earlier, tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        spec = home / "spec.json"
        spec.write_text(json.dumps(_SOFTMAX))
        for command in ("predict", "dynamics"):
            told = [command, str(spec), "--json"]
            rounds = [
                [_seconds(build, told, home) for build in (earlier, TODAY)]
                for _ in range(arguments.repeats)
            ]
            before, now = map(min, zip(*rounds, strict=True))
            _row(f"spectrain {command}", before, now, PREDICTION)
        if arguments.demo:
            before, now = (
                _seconds(build, ["demo", "--folder", f"{name}/runs", "--figures", name], home)
                for name, build in (("before", earlier), ("now", TODAY))
            )
            _row("spectrain demo", before, now, DEMO)
    print(machine())


def _row(name: str, before: float, now: float, allowed: float) -> None:
    print(
        f"| {name} | {duration(before)} | {duration(now)} | {now / before:.2f} | {allowed} |",
        flush=True,
    )


def _seconds(build: Path, command: Sequence[str], home: Path) -> float:
    """Processor time of one run of the command line."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "spectrain", *command],
        env={**os.environ, **single, "PYTHONPATH": str(build / "src")},
        cwd=home,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
