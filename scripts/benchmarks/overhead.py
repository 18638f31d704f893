"""What probing adds to a training: time in steps of it, and memory, for each preset.

Processor time on one thread; memory is what the process grows by at its peak (Linux only).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from spectrain import Measurement, SpectralProbe

from .memory import peak_memory
from .one_information import JOBS
from .problems import Problem, encoder, four_layers
from .timing import duration, machine

__all__ = ["add_arguments", "run"]

_BATCH = 32  # samples of a training step
_SHARE = 0.05  # of the training's time that probing may take
_PRESETS = ("cheap", "moderate", "expensive")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How often each is done."""
    parser.add_argument("--repeats", type=int, default=3, help="probings of each (default 3)")


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(machine())
    print(
        "\n| model | parameters | sample | preset | a probing | in gradients of the sample | "
        f"in steps of {_BATCH} samples | steps between probings for {_SHARE:.0%} | "
        "memory of a step, of a probing |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name, (make, presets) in _PROBLEMS.items():
        model, inputs, targets = make()
        for preset in presets:
            cells = _cells(model, inputs, targets, preset, arguments.repeats)
            size = sum(parameter.numel() for parameter in model.parameters())
            print(f"| {name} | {size:,} | {len(inputs)} | `{preset}()` | {cells} |", flush=True)
    print(machine())


def _cells(model: nn.Module, inputs: Tensor, targets: Tensor, preset: str, repeats: int) -> str:
    loss = nn.CrossEntropyLoss()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)

    def step(count: int) -> None:
        optimiser.zero_grad()
        loss(model(inputs[:count]), targets[:count]).backward()
        optimiser.step()

    measurement: Measurement = getattr(Measurement, preset)()
    probe = SpectralProbe(
        model, loss, (inputs, targets), measurement=measurement, on_failure="raise"
    )
    one, whole = (_least(lambda n=n: step(n), 5 * repeats) for n in (_BATCH, len(inputs)))
    of_step = peak_memory(lambda: step(_BATCH))
    steps = iter(range(1 + repeats))
    of_probing = peak_memory(lambda: probe(next(steps)))
    seconds = _least(lambda: probe(next(steps)), repeats)
    between = seconds / one * (1 - _SHARE) / _SHARE
    return (
        f"{duration(seconds)} | {seconds / whole:.0f} | {seconds / one:.0f} | {between:,.0f} | "
        f"{of_step / 1e6:.0f}, {of_probing / 1e6:.0f} MB"
    )


def _least(job: Callable[[], object], repeats: int) -> float:
    """Processor seconds of the fastest."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        job()
        seconds.append(time.process_time() - start)
    return min(seconds)


def _digits(problem: Callable[[], Problem]) -> Callable[[], tuple[nn.Module, Tensor, Tensor]]:
    def make() -> tuple[nn.Module, Tensor, Tensor]:
        found = problem()
        return found.model.eval(), found.inputs, found.targets

    return make


_PROBLEMS: dict[str, tuple[Callable[[], tuple[nn.Module, Tensor, Tensor]], Sequence[str]]] = {
    "conv net, digits": (_digits(four_layers), _PRESETS),
    "transformer, digits": (_digits(encoder), _PRESETS),
    "transformer, 128 words": (JOBS["words"], _PRESETS[:1]),
}
