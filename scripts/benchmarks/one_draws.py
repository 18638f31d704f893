"""What more draws of the sample take in a thorough probing of one build; run as a program.

It uses what every build has.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

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
        repeats: thorough probings, after one that is not counted: the least is taken.

    Returns:
        "seconds"; "draws": the largest eigenvalue of the first block's Hessian on each draw.
    """
    from spectrain import Block, Measurement, SpectralProbe

    problem, sample, rows = JOBS[job]()
    name = next(name for name, _ in problem.model.named_parameters())
    blocks = [Block(f"rows {each}", (name,), each) if each else Block("all") for each in rows]
    probe = SpectralProbe(
        problem.model, problem.loss, sample, blocks=blocks, measurement=Measurement(draws=DRAWS)
    )
    # A record has wall times.
    with patch("time.perf_counter", time.process_time):
        records = [probe(0, thorough=True) for _ in range(1 + repeats)]
    top = records[0].measured.spectrum("hessian", blocks[0].name).top[0]
    return {
        "seconds": min(record.seconds["draws"] for record in records[1:]),
        "draws": top.draws.tolist(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
