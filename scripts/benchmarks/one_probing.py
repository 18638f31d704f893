"""What a default probing of one build takes; run as a program, in a process of its own.

It uses what every build has.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from .problems import Problem, encoder, four_layers, perceptron

__all__ = ["JOBS", "eigenvalues", "measure", "pyhessian_seconds"]

# A problem, and how many of its layers are blocks besides all parameters together.
JOBS: dict[str, tuple[Callable[[], Problem], int]] = {
    "conv net": (four_layers, 0),
    "conv net and its four layers": (four_layers, 4),
    "transformer": (encoder, 0),
    "perceptron": (perceptron, 0),
}


def measure(job: str, repeats: int, matrices: str) -> dict[str, Any]:
    """Processor seconds of a default probing, and what it finds of all parameters.

    Args:
        job: one of `JOBS`.
        repeats: probings, after one that is not counted: the least of them is taken.
        matrices: "hessian" for this one alone, or "default".

    Returns:
        "seconds"; "top": the largest eigenvalues of the Hessian, "trace" and "error"; "places" and
        "beyond": shares of the largest eigenvalue, and how many are above them.
    """
    from spectrain import Block, SpectralProbe

    make, layers = JOBS[job]
    problem = make()
    blocks = [Block("all")]
    batch = problem.inputs, problem.targets
    parameters = (name for name, _ in problem.model.named_parameters())
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in parameters))
    blocks += [Block(name, (f"{name}.weight", f"{name}.bias")) for name in names[:layers]]
    options: dict[str, Any] = {"blocks": blocks}
    if matrices == "hessian":
        from spectrain.probes.curvature.matrix import Hessian

        options["matrices"] = [Hessian()]
    probe = SpectralProbe(problem.model, problem.loss, batch, **options)
    probe(0)
    seconds = []
    for step in range(1, 1 + repeats):
        start = time.process_time()
        record = probe(step)
        seconds.append(time.process_time() - start)
    found = record.measured.spectrum("hessian", "all")
    density, size = found.density, found.size
    places = [0.3, 0.1, 0.03, 0.01]
    below = np.interp(
        [place * found.top[0].value for place in places], density.points, density.cumulative
    )
    return {
        "seconds": min(seconds),
        "top": [pair.value for pair in found.top],
        "trace": size * float(found.jacobi.diagonal[0]),
        "error": size * float(found.jacobi.diagonal_errors[0]),
        "places": places,
        "beyond": (size * (1 - below)).tolist(),
    }


def eigenvalues(job: str) -> dict[str, Any]:
    """The six largest eigenvalues of the Hessian, "top", to well below what the others reach."""
    from spectrain import Block
    from spectrain.probes.curvature.module_curvature import HessianOperator
    from spectrain.probes.krylov.eigenpairs import eigenpairs

    problem = JOBS[job][0]()
    problem.model.eval()
    batch = problem.inputs, problem.targets
    operator = HessianOperator(problem.model, problem.loss, batch, Block("all"))
    generator = torch.Generator().manual_seed(0)
    # The error of an eigenvalue is at most the square of its residual over the gap.
    found = eigenpairs(operator, largest=6, tolerance=1e-5, generator=generator)
    if not bool(found.converged.all()):
        raise RuntimeError(found.outcome)
    return {"top": found.values.tolist()}


def pyhessian_seconds(job: str, repeats: int) -> dict[str, Any]:
    """Processor seconds of PyHessian's six largest eigenvalues, at its own tolerance."""
    from pyhessian import hessian

    problem = JOBS[job][0]()
    batch = problem.inputs, problem.targets
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        # The default attention has no second derivative.
        with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
            warnings.simplefilter("ignore")
            computer = hessian(problem.model, problem.loss, data=batch, cuda=False)
            values, _ = computer.eigenvalues(top_n=6)
        seconds.append(time.process_time() - start)
    return {"seconds": min(seconds), "top": sorted(values, reverse=True)}


if __name__ == "__main__":
    name, number, what = sys.argv[1:]
    torch.set_num_threads(1)
    if what == "PyHessian":
        print(json.dumps(pyhessian_seconds(name, int(number))))
    elif what == "eigenvalues":
        print(json.dumps(eigenvalues(name)))
    else:
        print(json.dumps(measure(name, int(number), what)))
