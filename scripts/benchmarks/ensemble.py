"""Runs per second of processor time, and steps of SGD, beside the last build without ensembles.

Times are those of one process and one thread of torch each, without its start.
"""

from __future__ import annotations

import argparse
import json

from .earlier import TODAY, build_of, run_with
from .timing import machine

__all__ = ["add_arguments", "run"]

BEFORE = "656595e"
# Those that both builds have.
SYSTEMS = ("softmax-mixture", "logistic-mixture", "two-layer-mixture")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which systems, how many runs, and how large."""
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--seeds", type=int, default=64, help="runs of an ensemble")
    parser.add_argument("--dimension", type=int, default=200, help="of each")


def run(arguments: argparse.Namespace) -> None:
    """Print both tables."""
    print(machine())
    with build_of(BEFORE) as before:
        print(f"\n| system | a single run, {BEFORE} | of {arguments.seeds} together | ratio |")
        print("|---|---|---|---|")
        for system in arguments.systems:
            told = system, "dimension", str(arguments.dimension)
            alone = _seconds(run_with(before, "benchmarks.ensemble_build", "run", *told))
            many = _seconds(
                run_with(
                    TODAY, "benchmarks.ensemble_build", "ensemble", *told, str(arguments.seeds)
                )
            )
            each = many / arguments.seeds
            print(f"| {system} | {alone:.2f} s | {each:.2f} s | {alone / each:.1f} |")
    print("\n| system | a step by autograd | by hand | ratio |")
    print("|---|---|---|---|")
    for system in arguments.systems:
        told = "steps", system, "dimension", str(arguments.dimension)
        printed = run_with(TODAY, "benchmarks.ensemble_build", *told)
        old, new = json.loads(printed.splitlines()[-1])
        print(f"| {system} | {1e6 * old:.0f} us | {1e6 * new:.0f} us | {old / new:.1f} |")
    print(machine())


def _seconds(printed: str) -> float:
    return float(json.loads(printed.splitlines()[-1]))
