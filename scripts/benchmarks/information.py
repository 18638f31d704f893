"""Information matrices of few samples: how many gradients they take, and beside an earlier build.

Both are given the matrices alone, with all that is measured of them; today's build a whole probing
of them besides. The earlier one multiplies. It has the small job only: the others would take it
hours. ~: there, what one of its panels of products takes, times the fewest panels that it ever
took; nothing is compared. A second table has what the
sampling errors of the Hessian's eigenvalues take.
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
# Panels of 16 vectors that the earlier build multiplies of each block: it never took fewer.
PANELS = 24
# With one block; and how many gradients all blocks may take.
FASTER, GRADIENTS = {"digits": 40, "words": 100, "residual": 100}, 15
# And the sampling error of one eigenvalue of the Hessian.
FOR_AN_ERROR = 3


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
                if not arguments.no_earlier:
                    before = _before(earlier, name, layers, now)
                gradients, whole = (now[key] / now["gradient"] for key in ("matrices", "probing"))
                print(
                    f"| {name} | {1 + layers} | {now['matrices']:.3g} | {gradients:.1f} | "
                    f"{GRADIENTS} | {whole:.1f} | {before or ' | | |'} |",
                    flush=True,
                )
    _print_errors(arguments)
    print(machine())


def _before(earlier: Path, name: str, layers: int, now: dict[str, float]) -> str:
    """The earlier build's columns."""
    if name == COMPARED:
        then = _measured(earlier, name, layers, 1)
        apart = f"{abs(then['value'] / now['value'] - 1):.1g} apart"
        seconds, mark = then["matrices"], ""
    else:
        printed = run_with(earlier, "benchmarks.one_information", name, str(layers), "panel")
        panel: dict[str, float] = json.loads(printed.splitlines()[-1])
        apart, mark, seconds = "", "~", panel["seconds"] * PANELS
    ratio = seconds / now["matrices"]
    return f"{mark}{seconds:.3g} | {mark}{ratio:.1f} | {FASTER[name]} | {apart}"


def _print_errors(arguments: argparse.Namespace) -> None:
    print(
        "\n| sampling errors | gradients an eigenvalue | allowed | in reverse |\n|---|---|---|---|"
    )
    for name in arguments.jobs:
        printed = run_with(TODAY, "benchmarks.one_errors", name, str(arguments.repeats))
        found: dict[str, float] = json.loads(printed.splitlines()[-1])
        errors, reverse = (found[key] / found["gradient"] for key in ("errors", "reverse"))
        print(f"| {name} | {errors:.2f} | {FOR_AN_ERROR} | {reverse:.1f} |", flush=True)


def _measured(build: Path, name: str, layers: int, repeats: int) -> dict[str, float]:
    printed = run_with(build, "benchmarks.one_information", name, str(layers), str(repeats))
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found
