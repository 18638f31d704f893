"""Operators, a probing and an ensemble on an accelerator, beside the same on the CPU: one table.

    python scripts/device_check.py                  # on the first CUDA device, minutes
    python scripts/device_check.py --device cpu --quick

Numbers must agree to the precision of their dtype: the last column is their largest relative
difference, and the exit status is 1 where one is beyond what is allowed for it.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from benchmarks.problems import Problem, conv_net, softmax, transformer
from torch import Tensor, nn

from spectrain import Block, Measurement, Record, SoftmaxMixtureConfig, SpectralProbe
from spectrain.probes.curvature.matrix import (
    Covariance,
    CurvatureMatrix,
    GaussNewton,
    Hessian,
    Information,
)
from spectrain.training.ensemble.ensemble import ensemble

# The same work made ready on a device.
_Body = Callable[[str], Callable[[], Tensor]]
_WIDTH = 8
# In float32, of what is a sum over samples; eigenvalues of a probing have its tolerance beside.
_PRODUCTS, _EIGENVALUES, _RUNS = 1e-4, 1e-2, 1e-2


@dataclass(frozen=True)
class _Row:
    """One line of the table."""

    name: str
    on_cpu: float
    on_device: float
    difference: float
    allowed: float


def _problems(quick: bool) -> list[Problem]:
    return [softmax(30, 60, 3)] if quick else [softmax(), conv_net(200), transformer()]


def _timed(device: str, body: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What the second of two calls returns, on the CPU in float64, and the seconds it took."""
    body()
    _wait(device)
    start = time.perf_counter()
    found = body()
    _wait(device)
    return found.detach().double().cpu(), time.perf_counter() - start


def _wait(device: str) -> None:
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize()


def _apart(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def _compared(name: str, device: str, allowed: float, body: _Body) -> _Row:
    (expected, slow), (found, fast) = (_timed(place, body(place)) for place in ("cpu", device))
    return _Row(name, slow, fast, _apart(found, expected), allowed)


def _operators(device: str, quick: bool) -> list[_Row]:
    return [
        _compared(
            f"{problem.name}: {_WIDTH} products with the {matrix.kind.name} matrix",
            *(device, _PRODUCTS, _products(problem, matrix)),
        )
        for problem in _problems(quick)
        for matrix in (Hessian(), GaussNewton(), Information(), Covariance())
    ]


def _products(problem: Problem, matrix: CurvatureMatrix) -> _Body:
    panel = torch.randn(problem.size, _WIDTH, generator=torch.Generator().manual_seed(0))

    def body(place: str) -> Callable[[], Tensor]:
        operator = matrix.operator(*_moved(problem, place), Block("all"))
        own = panel.to(place)
        return lambda: operator @ own

    return body


def _probings(device: str, quick: bool) -> list[_Row]:
    return [
        _compared(f"{problem.name}: a default probing", device, _EIGENVALUES, _probing(problem))
        for problem in _problems(quick)
    ]


def _probing(problem: Problem) -> _Body:
    def body(place: str) -> Callable[[], Tensor]:
        measurement = Measurement.moderate()
        probe = SpectralProbe(*_moved(problem, place), measurement=measurement, on_failure="raise")
        return lambda: _largest(probe(0))

    return body


def _moved(
    problem: Problem, place: str
) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor], tuple[Tensor, Tensor]]:
    batch = problem.inputs.to(place), problem.targets.to(place)
    return copy.deepcopy(problem.model).to(place), problem.loss, batch


def _largest(record: Record) -> Tensor:
    return torch.tensor([spectrum.top[0].value for spectrum in record.measured.spectra])


def _ensembles(device: str, quick: bool) -> list[_Row]:
    """Two runs where quick: seeds are streams of each device's own, so means are compared."""
    config = SoftmaxMixtureConfig(dimension=30 if quick else 200, epochs=1, time=0.5)
    seeds = 2 if quick else 64

    def body(place: str) -> Callable[[], Tensor]:
        def trained() -> Tensor:
            with tempfile.TemporaryDirectory() as folder:
                home = Path(folder) / "runs"
                (run,) = ensemble(replace(config, device=place), home, seeds=seeds)
            loss = run.records[-1].measured.quantity("loss")
            assert loss is not None
            return torch.tensor([float(loss.values)])

        return trained

    allowed = 1e-4 if torch.device(device).type == "cpu" else _RUNS * (1 if seeds > 9 else 9)
    return [_compared(f"ensemble of {seeds} runs, an epoch: mean loss", device, allowed, body)]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="where to compare with the CPU")
    parser.add_argument("--quick", action="store_true", help="small problems")
    chosen = parser.parse_args(arguments)
    try:
        torch.empty(0, device=chosen.device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f"--device: expected one that is there, got {chosen.device!r} ({error})")
    rows = [
        row
        for part in (_operators, _probings, _ensembles)
        for row in part(chosen.device, chosen.quick)
    ]
    print(f"torch {torch.__version__}, {chosen.device}, {torch.get_num_threads()} threads\n")
    print(f"| what | CPU (s) | {chosen.device} (s) | ratio | difference | allowed |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.name} | {row.on_cpu:.3g} | {row.on_device:.3g} | "
            f"{row.on_cpu / row.on_device:.3g} | {row.difference:.1e} | {row.allowed:g} |"
        )
    return int(any(not row.difference <= row.allowed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
