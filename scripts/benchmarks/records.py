"""Record files beside those of version 1: bytes, time to load, and memory.

Both are of the full demo's trainings, version 1 written and read by the last build that had it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .earlier import TODAY, build_of, run_with
from .timing import machine

__all__ = ["add_arguments", "run"]

VERSION_1 = "656595e"
SYSTEMS = ("softmax-mixture", "two-layer-mixture")
EPOCHS = 30
MEGA = 1e6

# What is measured: its title, in which unit, and how much of version 1's is allowed.
ROWS: dict[str, tuple[str, float, float]] = {
    "bytes": ("file, MB", MEGA, 1 / 5),
    "load": ("to load, processor ms", 1e-3, 1 / 2),
    "table": ("table, at most, MB", MEGA, 1 / 5),
    "table held": ("table, in the end, MB", MEGA, 1.0),
    "many": ("1,000 records, MB", MEGA, 1.0),
}
# Of 1,000 records in memory.
ALLOWED = 300 * MEGA


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The number of epochs: fewer than the demo's have a larger share of thorough probings."""
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each training")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)


def run(arguments: argparse.Namespace) -> None:
    """Train with both builds and print the tables."""
    print(machine())
    with build_of(VERSION_1) as earlier, tempfile.TemporaryDirectory() as folder:
        for system in arguments.systems:
            found = []
            for name, build in (("version 1", earlier), ("today", TODAY)):
                place = Path(folder) / name / system
                run_with(
                    build, "benchmarks.one_build", "train", str(place), system,
                    str(arguments.epochs),
                )  # fmt: skip
                printed = run_with(build, "benchmarks.one_build", "measure", str(place))
                found.append(json.loads(printed.splitlines()[-1]))
            print_table(system, *found)
    print(machine())


def print_table(system: str, before: Mapping[str, float], now: Mapping[str, float]) -> None:
    """Both builds side by side, with their ratios."""
    print(f"\n{system}, {now['records']:g} records\n")
    print("| | version 1 | today | ratio | allowed |")
    print("|---|---|---|---|---|")
    for name, (title, unit, allowed) in ROWS.items():
        ratio = now[name] / before[name]
        limit = f"{allowed:.2f}" if allowed < 1 else ""
        print(
            f"| {title} | {before[name] / unit:.3g} | {now[name] / unit:.3g} | {ratio:.3f} "
            f"| {limit} |"
        )
    verdict = "within" if now["many"] <= ALLOWED else "beyond"
    print(f"\n1,000 records are {verdict} the {ALLOWED / MEGA:g} MB allowed")
