"""Record files beside those of version 1: bytes, time to load, memory, and the tab Spectrum.

Both are of the full demo's trainings, version 1 written, read and shown by the last build that had
it. What the page takes is measured where there are Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

from . import one_tab
from .earlier import TODAY, build_of, run_with
from .one_build import COUNT, MANY, ONE, STEPS
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
    "tab": ("tab's server, until 1,000 are shown, processor s", 1.0, 1 / 3),
    "tab held": ("tab's server, until 1,000 are shown, MB", MEGA, 1 / 3),
    "page": ("page, the same, beyond what one record takes, processor s", 1.0, 1 / 3),
    "page held": ("page, the same, MB", MEGA, 1 / 3),
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
                found.append(json.loads(printed.splitlines()[-1]) | _page(build, place))
            print_table(system, *found)
    print(machine())


def _page(build: Path, place: Path) -> dict[str, float]:
    """What the page takes of many records more than of one; nothing without a browser."""
    if not one_tab.can_show():
        return {}
    one, many = (
        json.loads(run_with(build, "benchmarks.one_tab", str(place / name), str(last)))
        for name, last in ((ONE, 0), (MANY, STEPS * (COUNT - 1)))
    )
    return {name: many[name] - one[name] for name in one}


def print_table(system: str, before: Mapping[str, float], now: Mapping[str, float]) -> None:
    """Both builds side by side, with their ratios."""
    print(f"\n{system}, {now['records']:g} records\n")
    print("| | version 1 | today | ratio | allowed |")
    print("|---|---|---|---|---|")
    for name, (title, unit, allowed) in ROWS.items():
        if name not in now:
            continue
        ratio = now[name] / before[name] if before[name] else math.nan
        limit = f"{allowed:.2f}" if allowed < 1 else ""
        print(
            f"| {title} | {before[name] / unit:.3g} | {now[name] / unit:.3g} | {ratio:.3f} "
            f"| {limit} |"
        )
    verdict = "within" if now["many"] <= ALLOWED else "beyond"
    print(f"\n1,000 records are {verdict} the {ALLOWED / MEGA:g} MB allowed")
