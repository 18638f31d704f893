"""Loss and accuracy on a probe sample, with standard errors, and which products fit the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..models.heads import HeadModel, ModelHead
from ..models.heads import sample_losses as head_losses
from ..theory.quantity import Quantity
from ..theory.spectrum import FloatArray
from .curvature.batches import Inputs, ordinary, sample_number
from .curvature.distributed import Processes
from .curvature.losses import Loss, sample_losses, scalar_loss
from .curvature.observe import undisturbed

__all__ = ["Scores", "pooled", "scores_of"]

# Relative difference of two ways to compute the same number beyond which they are two numbers.
_SAME = 1e-4


@dataclass(frozen=True)
class Scores:
    """Of one process: its mean loss, each sample's, whether that is right, what operator fits."""

    samples: int
    loss: float
    losses: Tensor | None
    correct: Tensor | None
    operator: Literal["head", "autograd"]


def scores_of(module: nn.Module, loss: Loss, inputs: Inputs, targets: Any) -> Scores:
    """Scores on the samples of this process.

    Raises:
        ValueError: if the loss is not one finite number.
    """
    with undisturbed(module, loss) as observed, torch.no_grad():
        return observed.evaluated(
            lambda: _scores(module, observed.loss, observed.outputs(inputs), inputs, targets)
        )


def _scores(module: nn.Module, loss: Loss, outputs: Any, inputs: Inputs, targets: Any) -> Scores:
    total = float(scalar_loss(loss(outputs, targets)))
    losses: Tensor | None = None
    operator: Literal["head", "autograd"] = "autograd"
    if isinstance(module, HeadModel) and isinstance(inputs, Tensor):
        losses = _losses_by_head(module, inputs, ordinary(targets))
        if (
            losses is not None
            and abs(float(losses.mean()) - total) <= _SAME * abs(total)
            and _is_criterion(loss, module.head, outputs, ordinary(targets))
        ):
            operator = "head"
    if operator == "autograd":
        try:
            losses = sample_losses(loss, outputs, targets)
        except ValueError:  # no mean over samples: its error is unknown
            losses = None
    correct = _correct(module, outputs, targets)
    return Scores(sample_number((inputs, targets)), total, losses, correct, operator)


def pooled(own: Scores, processes: Processes) -> tuple[tuple[Quantity, ...], str]:
    """Loss and accuracy of all samples, where they are known, and an operator that fits all."""
    rows = processes.gather(
        [
            own.samples,
            own.loss,
            float(own.operator == "head"),
            *_moments(own.losses),
            *_moments(own.correct),
        ]
    ).numpy()
    share = rows[:, 0] / rows[:, 0].sum()
    _, loss_error = _mean(rows[:, 3:6])
    accuracy, accuracy_error = _mean(rows[:, 6:9])
    scores = [Quantity.number("loss", float(share @ rows[:, 1]), "loss", loss_error)]
    if not math.isnan(accuracy):
        scores.append(Quantity.number("accuracy", accuracy, "share", accuracy_error))
    operator = "head" if rows[:, 2].all() else "autograd"
    return tuple(scores), operator


def _moments(values: Tensor | None) -> tuple[float, float, float]:
    """Number of values, mean, and sum of squared deviations from it."""
    if values is None:
        return 0.0, math.nan, math.nan
    values = values.double()
    mean = values.mean()
    return float(len(values)), float(mean), float((values - mean).square().sum())


def _mean(moments: FloatArray) -> tuple[float, float]:
    """Mean and standard error from rows of moments; NaN where there are too few values."""
    counts, means, squares = moments.T
    total = counts.sum()
    if not counts.all():
        return math.nan, math.nan
    mean = float(counts @ means / total)
    deviation = float(squares.sum() + counts @ (means - mean) ** 2)
    error = math.sqrt(deviation / (total - 1) / total) if total > 1 else math.nan
    return mean, error


def _losses_by_head(module: HeadModel, inputs: Tensor, targets: Any) -> Tensor | None:
    """ell of every sample if inputs and targets are what the head takes."""
    assert isinstance(module, nn.Module)
    x = module.get_parameter(module.direction_name)
    fits = isinstance(targets, Tensor) and targets.dtype == torch.int64
    if not fits or inputs.ndim != 2 or inputs.shape[1] != x.shape[1]:
        return None
    v = [module.get_parameter(name).flatten() for name in module.head_parameter_names]
    parameters = torch.cat(v) if v else x.new_zeros(0)
    return head_losses(module.head, inputs @ x.T, parameters, targets)


def _is_criterion(loss: Loss, head: ModelHead, outputs: Tensor, targets: Tensor) -> bool:
    """Whether loss and criterion have the same gradient in the outputs at random outputs.

    Equal values would not do: at zero logits label smoothing or class weights do not show.
    """
    generator = torch.Generator(outputs.device).manual_seed(0)
    noise = torch.empty_like(outputs).normal_(generator=generator)
    with torch.enable_grad():
        leaf = (outputs.detach() + noise).requires_grad_()
        (expected,) = torch.autograd.grad(head.criterion(leaf, targets), leaf)
        value = loss(leaf, targets)
        if not value.requires_grad:
            return False
        (found,) = torch.autograd.grad(value, leaf)
    return bool((found - expected).norm() <= _SAME * expected.norm())


def _correct(module: nn.Module, outputs: Any, targets: Any) -> Tensor | None:
    """Whether each sample's label is right, (n,) floating; None if there are no labels."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return None
    if isinstance(module, HeadModel):
        return module.head.correct(outputs, targets).double()
    if outputs.ndim == 2 and targets.ndim == 1 and not targets.is_floating_point():
        return (outputs.argmax(-1) == targets).double()
    return None
