"""What more draws of the sample take in a thorough probing of one build; run as a program.

It uses what every build has.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .problems import Problem, four_layers, mixture_sample, softmax

__all__ = ["DRAWS", "JOBS", "measure"]

# Of the sample; those that theory's systems take by default.
DRAWS = 4

_Sample = Callable[[torch.Generator], tuple[Tensor, Tensor]]


def _conv_net() -> tuple[Problem, _Sample, Sequence[tuple[int, ...]]]:
    """All parameters, on half of the images."""
    problem = four_layers(400)

    def sample(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randperm(len(problem.inputs), generator=generator)[:200]
        return problem.inputs[chosen], problem.targets[chosen]

    return problem, sample, [()]


def _softmax_head() -> tuple[Problem, _Sample, Sequence[tuple[int, ...]]]:
    """The rows of three classes, on 4,000 samples of a mixture in 1,000 dimensions."""
    return softmax(), lambda generator: mixture_sample(1000, 4000, 3, generator), [(0,), (1,), (2,)]


JOBS = {"conv net": _conv_net, "softmax head": _softmax_head}


def measure(job: str, repeats: int) -> dict[str, Any]:
    """Processor seconds of all draws but the first, with both matrices of every block.

    Args:
        job: one of `JOBS`.
        repeats: thorough probings with one draw and with `DRAWS`, in turn, after one of each that
            is not counted: the least of each is taken.

    Returns:
        "seconds"; "one": of a thorough probing with one draw; "draws": the largest eigenvalue of
        the first block's Hessian on each draw.
    """
    from spectrain import Block, Measurement, SpectralProbe

    problem, sample, rows = JOBS[job]()
    name = next(name for name, _ in problem.model.named_parameters())
    blocks = [Block(f"rows {each}", (name,), each) if each else Block("all") for each in rows]
    probes = [
        SpectralProbe(
            problem.model, problem.loss, sample, blocks=blocks, measurement=Measurement(draws=draws)
        )
        for draws in (1, DRAWS)
    ]
    seconds: list[list[float]] = [[], []]
    for step in range(1 + repeats):
        for probe, own in zip(probes, seconds, strict=True):
            start = time.process_time()
            record = probe(step, thorough=True)
            own.append(time.process_time() - start)
    one, all_of_them = (min(own[1:]) for own in seconds)
    top = record.measured.spectrum("hessian", blocks[0].name).top[0]
    return {"seconds": all_of_them - one, "one": one, "draws": top.draws.tolist()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
