"""Probings beside those of an earlier build, the Hessian's beside PyHessian, layers' traces.

Processor time on one thread, each build in processes of its own, in turn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import layer_traces
from .earlier import TODAY, build_of, run_with
from .timing import duration, machine

__all__ = ["add_arguments", "run"]

EARLIER = "656595e"
DRAWS = ("conv net", "softmax head")
JOBS = ("conv net", "conv net and its four layers", "transformer", "perceptron")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The jobs, and how often each is done."""
    parser.add_argument("--repeats", type=int, default=3, help="probings of each (default 3)")
    parser.add_argument(
        "--estimates", type=int, default=24, help="of each layer's trace (default 24)"
    )
    parser.add_argument(
        "--jobs", nargs="+", choices=JOBS, default=list(JOBS), metavar="JOB",
        help=f"some of {', '.join(JOBS)} (default all)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    print(machine())
    with build_of(EARLIER) as earlier:
        _default_probings(earlier, arguments)
        _draws(earlier, arguments)
    _beside_pyhessian(arguments)
    _layers(arguments)
    print(machine())


def _default_probings(earlier: Path, arguments: argparse.Namespace) -> None:
    print(
        f"\n| default probing | {EARLIER} | today | ratio | largest eigenvalue | trace, errors | "
        "numbers above .3, .1, .03, .01 of the largest |\n|---|---|---|---|---|---|---|"
    )
    for job in arguments.jobs:
        before, now = (_run(build, job, arguments, "default") for build in (earlier, TODAY))
        print(_row(job, before, now), flush=True)


def _draws(earlier: Path, arguments: argparse.Namespace) -> None:
    """Of the sample, at a thorough probing."""
    print(
        f"\n| three more draws | {EARLIER} | today | ratio | largest eigenvalues, at most |"
        "\n|---|---|---|---|---|"
    )
    for job in DRAWS:
        before, now = (_drawn(build, job, arguments) for build in (earlier, TODAY))
        off = max(
            abs(value / other - 1)
            for value, other in zip(now["draws"], before["draws"], strict=True)
        )
        print(
            f"| {job} | {duration(before['seconds'])} | {duration(now['seconds'])} | "
            f"{before['seconds'] / now['seconds']:.1f} | {off:.1e} |",
            flush=True,
        )


def _drawn(build: Path, job: str, arguments: argparse.Namespace) -> dict[str, Any]:
    printed = run_with(build, "benchmarks.one_draws", job, str(arguments.repeats))
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def _beside_pyhessian(arguments: argparse.Namespace) -> None:
    print(
        "\n| Hessian | with its density | PyHessian, six eigenvalues | ratio | "
        "worst error of the six, relative | of PyHessian's |\n|---|---|---|---|---|---|"
    )
    for job in arguments.jobs:
        if job != "conv net and its four layers":
            exact, ours, theirs = (
                _run(TODAY, job, arguments, what)
                for what in ("eigenvalues", "hessian", "PyHessian")
            )
            print(
                f"| {job} | {duration(ours['seconds'])} | {duration(theirs['seconds'])} | "
                f"{theirs['seconds'] / ours['seconds']:.2f} | "
                f"{_worst(ours, exact):.1e} | {_worst(theirs, exact):.1e} |",
                flush=True,
            )


def _layers(arguments: argparse.Namespace) -> None:
    """Errors from half the products, beside those of every layer's own."""
    print(
        "\n| layers' traces | products, each layer's own | with the whole | "
        "error, over the own, layer by layer | of all together | "
        "squares of the other blocks in a layer's rows, over its own |\n|---|---|---|---|---|---|"
    )
    for job in layer_traces.JOBS:
        found = layer_traces.layer_errors(job, arguments.estimates)
        ratios = found.whole / found.own
        together = ((found.whole**2).sum() / (found.own**2).sum()) ** 0.5
        print(
            f"| {job} | {found.own_products} | {found.whole_products} | "
            f"{', '.join(f'{ratio:.2f}' for ratio in ratios)} | {together:.2f} | "
            f"{', '.join(f'{each:.2g}' for each in found.coupling)} |",
            flush=True,
        )


def _run(build: Path, job: str, arguments: argparse.Namespace, what: str) -> dict[str, Any]:
    printed = run_with(build, "benchmarks.one_probing", job, str(arguments.repeats), what)
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def _worst(found: Mapping[str, Any], exact: Mapping[str, Any]) -> float:
    """Largest relative error of an eigenvalue."""
    pairs = zip(found["top"], exact["top"], strict=True)
    return max(abs(value / true - 1) for value, true in pairs)


def _row(job: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    off = (now["trace"] - before["trace"]) / (before["error"] ** 2 + now["error"] ** 2) ** 0.5
    numbers = ", ".join(
        f"{one:.0f} ({other:.0f})"
        for one, other in zip(now["beyond"], before["beyond"], strict=True)
    )
    return (
        f"| {job} | {duration(before['seconds'])} | {duration(now['seconds'])} | "
        f"{before['seconds'] / now['seconds']:.1f} | {now['top'][0] / before['top'][0] - 1:+.1e} | "
        f"{off:+.1f} | {numbers} |"
    )
