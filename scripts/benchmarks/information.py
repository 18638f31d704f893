"""Information matrices of few samples: how many gradients they take, and beside an earlier build.

Both are given the matrices alone, with all that is measured of them; today's build a whole probing
of them besides. The earlier one multiplies. It has the small job only: the others would take it
hours.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .earlier import TODAY, build_of, run_with
from .one_information import JOBS
from .timing import machine

__all__ = ["add_arguments", "run"]

EARLIER = "656595e"
COMPARED = "digits"
# With one block; and how many gradients all blocks may take.
FASTER, GRADIENTS = 40, 15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which jobs, and how often each."""
    parser.add_argument("--jobs", nargs="+", choices=tuple(JOBS), default=(COMPARED,))
    parser.add_argument("--repeats", type=int, default=3, help="of each job; the fastest counts")
    parser.add_argument("--no-earlier", action="store_true", help="today's build alone")


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    print(machine())
    print(
        "\n| job | blocks | processor s | gradients | allowed | those of a probing | earlier, s | "
        "ratio | target | top |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    with build_of(EARLIER) as earlier:
        for name in arguments.jobs:
            for layers in (0, 4):
                now = _measured(TODAY, name, layers, arguments.repeats)
                before = ""
                if name == COMPARED and not arguments.no_earlier:
                    then = _measured(earlier, name, layers, 1)
                    apart = abs(then["value"] / now["value"] - 1)
                    ratio = then["matrices"] / now["matrices"]
                    before = f"{then['matrices']:.3g} | {ratio:.1f} | {FASTER} | {apart:.1g} apart"
                gradients, whole = (now[key] / now["gradient"] for key in ("matrices", "probing"))
                print(
                    f"| {name} | {1 + layers} | {now['matrices']:.3g} | {gradients:.1f} | "
                    f"{GRADIENTS} | {whole:.1f} | {before or ' | | |'} |",
                    flush=True,
                )
    print(machine())


def _measured(build: Path, name: str, layers: int, repeats: int) -> dict[str, float]:
    printed = run_with(build, "benchmarks.one_information", name, str(layers), str(repeats))
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found
