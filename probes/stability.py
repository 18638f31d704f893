"""The sharpness at which gradient descent with a learning rate begins to oscillate and grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

__all__ = ["LearningRate", "critical_sharpness", "require_learning_rate"]

# Where the learning rate comes from: SGD, or a function of the number of steps taken.
LearningRate = torch.optim.Optimizer | Callable[[int], float]


def critical_sharpness(rate: LearningRate, step: int, parameters: Iterable[Tensor]) -> float:
    """2 (1 + beta) / eta - w:  curvature beyond which SGD's steps along an eigenvector grow.

    eta is the learning rate (times 1 - dampening), beta the momentum, w the weight decay; with
    Nesterov's momentum 2 (1 + beta) / ((1 + 2 beta) eta) - w; arXiv 2103.00065, section 2 and
    appendix B. Exact on a quadratic and for steps on the whole training set.

    Args:
        rate: an SGD optimiser, read at this moment, or a function of the step: the learning rate
            of plain gradient descent.
        step: number of steps taken.
        parameters: the block whose curvature is meant.

    Returns:
        NaN if the optimiser treats these parameters unequally or not at all.
    """
    if not isinstance(rate, torch.optim.Optimizer):
        return _threshold(float(rate(step)), 0.0, False)
    wanted = {id(parameter) for parameter in parameters}
    found: set[float] = set()
    for group in rate.param_groups:
        mine = {id(parameter) for parameter in group["params"]} & wanted
        if mine:
            wanted -= mine
            eta = float(group["lr"]) * (1 - group["dampening"])
            threshold = _threshold(eta, group["momentum"], group["nesterov"])
            found.add(math.nan if group["maximize"] else threshold - group["weight_decay"])
    return found.pop() if len(found) == 1 and not wanted else math.nan


def require_learning_rate(rate: LearningRate | None) -> None:
    """Refuse optimisers whose steps are no multiple of the gradient's.

    Raises:
        ValueError: if it is neither None, `torch.optim.SGD` nor a function.
    """
    known = rate is None or isinstance(rate, torch.optim.SGD)
    if not known and (isinstance(rate, torch.optim.Optimizer) or not callable(rate)):
        raise ValueError(
            "learning_rate: expected torch.optim.SGD or a function of the step, "
            f"got {type(rate).__name__}"
        )


def _threshold(eta: float, beta: float, nesterov: bool) -> float:
    if not eta > 0:
        return math.inf
    return 2 * (1 + beta) / (eta * (1 + 2 * beta if nesterov else 1))
