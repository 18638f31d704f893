"""Time the package, one suite a command.

Usage: python scripts/benchmark.py SUITE [--help]
"""

from __future__ import annotations

import argparse
import os

CORES = 2


def main() -> None:
    # Before NumPy and torch are imported, which count the cores then. Several threads of OpenBLAS
    # on matrices this small wait for one another most of the time (a factor of ten was seen).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    from benchmarks import (
        commands,
        cost,
        curvature,
        ensemble,
        information,
        logging,
        low_rank,
        overhead,
        probing,
        records,
        spiked,
        theory,
    )

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    chosen = parser.add_subparsers(dest="suite", required=True)
    suites = (
        *(commands, cost, curvature, ensemble, information, logging),
        *(low_rank, overhead, probing, records, spiked, theory),
    )
    for suite in suites:
        name, summary = suite.__name__.rpartition(".")[2], suite.__doc__.splitlines()[0]
        command = chosen.add_parser(name, help=summary, description=summary)
        suite.add_arguments(command)
        command.set_defaults(run=suite.run)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
