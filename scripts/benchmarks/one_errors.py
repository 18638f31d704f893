"""What the sampling errors of a Hessian's eigenvalues take; run as a program."""

from __future__ import annotations

import json
import sys

import torch
from torch.nn import functional

from spectrain import Block
from spectrain.probes.curvature.module_curvature import HessianOperator

from .one_information import JOBS, least

__all__ = ["measure"]

# As many eigenvalues as a probing takes by default.
_EIGENVALUES = 9


def measure(name: str, repeats: int) -> dict[str, float]:
    """Processor seconds of the forms u^T H_l u of all samples l.

    Args:
        name: of the job.
        repeats: the fastest of so many counts.

    Returns:
        "gradient": of the batch's loss; "errors": the forms for each u, all that is checked
        besides included; "reverse": those for one u by three backward passes.
    """
    torch.manual_seed(0)
    model, x, y = JOBS[name]()
    model.eval()
    parameters = list(model.parameters())

    def gradient() -> object:
        return torch.autograd.grad(functional.cross_entropy(model(x), y), parameters)

    operator = HessianOperator(model, functional.cross_entropy, (x, y), Block("all"))
    panel = torch.linalg.qr(torch.randn(operator.size, _EIGENVALUES)).Q
    found = {
        "gradient": least(gradient, 3 * repeats),
        "errors": least(lambda: operator.forms(panel), repeats) / _EIGENVALUES,
    }
    operator._is_curved = lambda vectors: False  # type: ignore[method-assign]
    return found | {"reverse": least(lambda: operator.forms(panel[:, :1]), 1)}


if __name__ == "__main__":
    job, repeats = sys.argv[1:]
    print(json.dumps(measure(job, int(repeats))))
