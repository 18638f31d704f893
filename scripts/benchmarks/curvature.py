"""The curvature engine beside other libraries, on the same models in the same process.

A library that is absent or fails is left out with a line that says why. Jobs that take longer than
a second or two are run once, others several times in turn with one another. ~: the library would
take too long, its time is continued from a part of the work, and nothing is compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from spectrain.probes.curvature.head_curvature import HeadCurvature
from spectrain.theory.spectrum import FloatArray

from . import ours
from .memory import peak_memory
from .peers import PEERS, Law, Run
from .problems import Problem, conv_net, softmax, transformer, two_layer
from .timing import duration, machine, once, side_by_side

__all__ = ["add_arguments", "run"]

_COUNT, _TOLERANCE = 10, 1e-3
_STEPS, _STARTS = 100, 4
_SLOW = 2.0  # seconds; jobs that take longer are run once
_OURS = "spectrain"


@dataclass(frozen=True)
class _Result:
    """Seconds of a job, and how far off what it found is, if it was compared."""

    seconds: float
    error: float | None
    note: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the suite."""
    parser.add_argument("--repeats", type=int, default=7, help="of each fast job (default 7)")
    parser.add_argument("--no-peers", action="store_true", help="time the package alone")
    parser.add_argument(
        "--jobs", nargs="+", choices=_JOBS, default=list(_JOBS), metavar="JOB",
        help=f"some of {', '.join(_JOBS)} (default all)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    print(f"{machine()}; torch {torch.__version__} on {torch.get_num_threads()} threads")
    print(
        f"top-{_COUNT}: residual below {_TOLERANCE:g} of the largest eigenvalue; error: of an "
        f"eigenvalue, relative to the dense matrix's.\ndensity: {_STEPS} Lanczos steps from each "
        f"of {_STARTS} starts; error: largest difference to the dense matrix's counting "
        "function.\nratio: how many times faster the package is; target: against that library, or "
        "the best.\n"
    )
    for job in arguments.jobs:
        _JOBS[job](arguments)
    print(machine())


def _compare(
    title: str,
    mine: Run,
    offers: Sequence[tuple[str, Callable[[], Run]]],
    error: Callable[[object], float],
    targets: dict[str, float],
    arguments: argparse.Namespace,
) -> None:
    """One table: the package and each of its peers."""
    runs, absent = {_OURS: mine}, {}
    if not arguments.no_peers:
        for name, offer in offers:
            try:
                runs[name] = offer()
            except Exception as reason:  # a library may fail in any way
                absent[name] = reason
    results = _timed(runs, absent, error, arguments.repeats)
    base = results[_OURS].seconds
    print(f"{title}\n  {'':20} {'time':>9} {'ratio':>7} {'error':>8}")
    for name, result in results.items():
        cut = "~" if runs[name].scale > 1 else ""
        ratio = "" if name == _OURS else f"{cut}{result.seconds / base:.3g}"
        wrong = "" if result.error is None else f"{result.error:.1g}"
        target = f"target {targets[name]:g}; " if name in targets else ""
        print(
            f"  {name:20} {cut + duration(result.seconds):>9} {ratio:>7} {wrong:>8}  "
            f"{target}{result.note}"
        )
    for name, reason in absent.items():
        print(f"  {name:20} left out: {type(reason).__name__}: {str(reason).splitlines()[0][:90]}")
    whole = [r.seconds for name, r in results.items() if name != _OURS]
    if whole and "best" in targets:
        print(f"  {'best of them':20} {'':9} {min(whole) / base:7.3g}  target {targets['best']:g}")
    print(flush=True)


def _timed(
    runs: dict[str, Run],
    absent: dict[str, Exception],
    error: Callable[[object], float],
    repeats: int,
) -> dict[str, _Result]:
    """Every job once, for what it finds; then the fast ones in turn."""
    results, fast = {}, []
    for name, entry in runs.items():
        kept: list[object] = []
        try:
            if name == _OURS:
                entry.job()  # what only the first call does is not what is compared
            seconds = once(lambda entry=entry, kept=kept: kept.append(entry.job()))
            wrong = None if entry.result is None else error(entry.result(kept[0]))
        except Exception as reason:
            if name == _OURS:
                raise
            absent[name] = reason
            continue
        results[name] = _Result(seconds * entry.scale, wrong, entry.note)
        if seconds < _SLOW:
            fast.append(name)
    timings = side_by_side([runs[name].job for name in fast], repeats) if fast else []
    for name, timing in zip(fast, timings, strict=True):
        found = results[name]
        results[name] = _Result(timing.median * runs[name].scale, found.error, found.note)
    return results


def _top_error(problem: Problem) -> Callable[[FloatArray], float]:
    """Largest relative error; against eigenvalues by size, or by magnitude if that fits better."""
    ascending = problem.eigenvalues
    by_magnitude = ascending[np.argsort(-np.abs(ascending))]

    def error(values: FloatArray) -> float:
        return min(
            float(np.abs(values / exact[: len(values)] - 1).max())
            for exact in (ascending[::-1], by_magnitude)
        )

    return error


def _law_error(problem: Problem) -> Callable[[Law], float]:
    """Largest difference of the counting functions at the eigenvalues outside the atom at zero."""
    values = problem.eigenvalues
    outside = np.abs(values) > 1e-4 * np.abs(values).max()
    expected = (np.arange(len(values)) + 0.5) / len(values)

    def error(law: Law) -> float:
        return float(np.abs(law(values[outside]) - expected[outside]).max())

    return error


def _problem(
    build: Callable[[], Problem], top: dict[str, float], density: dict[str, float]
) -> Callable[[argparse.Namespace], None]:
    """The two jobs on one model."""

    def tables(arguments: argparse.Namespace) -> None:
        problem = build()
        title = f"{problem.name}, {problem.size} parameters, {len(problem.inputs)} samples"
        _compare(
            f"{title}: top-{_COUNT}",
            Run(
                lambda: ours.top(lambda: ours.hessian(problem), _COUNT, _TOLERANCE),
                lambda values: values,
            ),
            [
                (peer.name, lambda peer=peer: peer.top(problem, _COUNT, _TOLERANCE))
                for peer in PEERS
            ],
            _top_error(problem),
            top,
            arguments,
        )
        _compare(
            f"{title}: density",
            Run(lambda: ours.density(lambda: ours.hessian(problem), _STEPS, _STARTS), ours.law),
            [
                (peer.name, lambda peer=peer: peer.density(problem, _STEPS, _STARTS))
                for peer in PEERS
            ],
            _law_error(problem),
            density,
            arguments,
        )

    return tables


def _widths(arguments: argparse.Namespace) -> None:
    """The same number of products in wider panels."""
    problem = softmax()
    error = _law_error(problem)
    shapes = [(100, 4), (50, 8), (25, 16), (50, 16), (25, 32)]

    def found(steps: int, starts: int, seed: int) -> Law:
        return ours.law(ours.density(lambda: ours.hessian(problem), steps, starts, seed))

    seconds = side_by_side(
        [lambda shape=shape: found(*shape, 0) for shape in shapes], arguments.repeats
    )
    print(f"{problem.name}: density in wider panels\n  steps x starts      time  error (5 seeds)")
    for shape, timing in zip(shapes, seconds, strict=True):
        wrong = np.mean([error(found(*shape, seed)) for seed in range(5)])
        print(f"  {shape[0]:5} x {shape[1]:<6} {duration(timing.median):>9}  {wrong:.2g}")
    print(flush=True)


def _product(arguments: argparse.Namespace) -> None:
    """Panels of a head model's products, as a share of the best rate of any matrix product."""
    generator = torch.Generator().manual_seed(0)
    samples, dimension = 4000, 1000
    print(
        f"products of a head model, {samples} samples of {dimension} features, share of the best "
        "rate; target .7\n  blocks rows width    rate      best   share"
    )
    for dtype, side in ((torch.float32, 2048), (torch.float64, 1448)):
        inputs = torch.randn(samples, dimension, dtype=dtype, generator=generator)
        square = torch.randn(side, side, dtype=dtype, generator=generator)
        for blocks, rows, width in ((1, 3, 16), (1, 3, 32), (6, 1, 8), (6, 1, 16), (1, 1, 16)):
            columns = blocks * rows * width
            factors = torch.randn(blocks, samples, rows, rows, dtype=dtype, generator=generator)
            operator = HeadCurvature(inputs, factors)
            shape = (blocks, rows * dimension, width)
            panel = torch.randn(shape, dtype=dtype, generator=generator)
            skinny = torch.randn(dimension, columns, dtype=dtype, generator=generator)
            jobs: list[Callable[[], object]] = [
                lambda operator=operator, panel=panel: operator @ panel,
                lambda square=square: square @ square,
                lambda inputs=inputs, skinny=skinny: inputs @ skinny,
            ]
            once(jobs[0])
            timings = side_by_side(jobs, 2 * arguments.repeats)
            one = 2.0 * samples * dimension * columns
            work = (2 * one, 2.0 * side**3, one)
            rate, *others = (
                flops / timing.minimum for flops, timing in zip(work, timings, strict=True)
            )
            print(
                f"  {blocks:6} {rows:4} {width:5} {rate / 1e9:6.0f} G {max(others) / 1e9:7.0f} G "
                f"{rate / max(others):7.2f}  {dtype}"
            )
    print("from the fastest of the repeats\n", flush=True)


def _covariance(arguments: argparse.Namespace) -> None:
    """The largest eigenvalues of the gradient covariance, and what they cost in memory."""
    problem = two_layer()
    exact = torch.linalg.eigvalsh(problem.gradient_covariance).numpy()[::-1]
    mine = Run(
        lambda: ours.top(lambda: ours.covariance(problem), _COUNT, _TOLERANCE),
        (lambda values: values) if ours.COVARIANCE == "centred covariance" else None,
        note=ours.COVARIANCE,
    )
    _compare(
        f"{problem.name}: gradient covariance, top-{_COUNT}",
        mine,
        [
            (peer.name, lambda peer=peer: peer.covariance(problem, _COUNT, _TOLERANCE))
            for peer in PEERS
        ],
        lambda values: float(np.abs(values / exact[: len(values)] - 1).max()),
        {"hessian-eigenthings": 5.0},
        arguments,
    )
    samples, size = len(problem.inputs), problem.size
    try:
        grown = peak_memory(mine.job)
    except OSError as reason:
        print(f"  memory: not measured: {reason}\n")
        return
    print(
        f"  memory: {grown / 1e6:.0f} MB at the peak; samples x parameters would be "
        f"{4e-6 * samples * size:.0f} MB\n",
        flush=True,
    )


def _blocks(arguments: argparse.Namespace) -> None:
    """One probing of the demo's six blocks beside six dense eigendecompositions."""
    problem = softmax()
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(1000, 6, generator=generator)).Q
    operator = ours.six_blocks(problem)
    identity = torch.eye(operator.size).expand(6, -1, -1)
    dense = operator @ identity

    def decompositions() -> None:
        for matrix in dense:
            torch.linalg.eigh(matrix)

    ours.probing(problem, directions)
    mine, theirs = side_by_side(
        [lambda: ours.probing(problem, directions), decompositions], arguments.repeats
    )
    values, _, densities = ours.probing(problem, directions)
    exact = torch.linalg.eigvalsh(dense.double())
    wrong = (values[:, 0] / exact[:, -1] - 1).abs().max()
    law = max(
        float(np.abs(ours.law(found)(e) - (np.arange(len(e)) + 0.5) / len(e)).max())
        for found, e in zip(densities, exact.numpy(), strict=True)
    )
    print(
        "six softmax blocks, d = 1000, n = 4000: both ends, densities, overlaps\n"
        f"  one probing {duration(mine.median)} (target 1.5 s); six dense eigendecompositions, "
        f"matrices given, {duration(theirs.median)}; share {mine.median / theirs.median:.2f} "
        f"(target .5)\n  largest eigenvalue off by {wrong:.1g}, counting functions by {law:.1g}\n",
        flush=True,
    )


_JOBS: dict[str, Callable[[argparse.Namespace], None]] = {
    "product": _product,
    "blocks": _blocks,
    "softmax": _problem(softmax, {"PyHessian": 150.0, "best": 20.0}, {"best": 20.0}),
    "widths": _widths,
    "two-layer": _problem(two_layer, {"best": 5.0}, {"best": 5.0}),
    "conv": _problem(conv_net, {"best": 2.0}, {"best": 2.0}),
    "transformer": _problem(transformer, {"best": 2.0}, {"best": 2.0}),
    "covariance": _covariance,
}
