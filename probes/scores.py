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
from .curvature.batches import Batched, Inputs, batches_of, ordinary, sample_number
from .curvature.graph_ends import graph_ends
from .curvature.losses import Loss, sample_losses
from .curvature.observe import Observed, undisturbed
from .curvature.processes import Processes
from .curvature.stand_ins import alias

__all__ = ["Scores", "pooled", "scores_of", "scores_over"]

# Relative difference of two ways to compute the same number beyond which they are two numbers.
_SAME = 1e-4


@dataclass(frozen=True)
class Scores:
    """Of one process: its mean loss, each sample's, whether that is right, what operator fits.

    Attributes:
        weight: what the process counts by among all.
        loss: weighted mean.
        losses: of samples or terms, (n,); None if they are not known.
        weights: theirs, (n,).
        correct: of every sample, (n,) floating; None without labels.
        operator: whose products are those of the loss.
    """

    weight: float
    loss: float
    losses: Tensor | None
    weights: Tensor | None
    correct: Tensor | None
    operator: Literal["head", "autograd"]


def scores_over(module: nn.Module, loss: Loss, data: Batched) -> Scores:
    """`scores_of` of all batches together."""
    each = [scores_of(module, loss, *batch) for batch in batches_of(data)]
    if len(each) == 1:
        return each[0]
    weight = sum(scores.weight for scores in each)

    def joined(values: list[Tensor | None]) -> Tensor | None:
        known = [value for value in values if value is not None]
        return torch.cat(known) if len(known) == len(values) else None

    return Scores(
        weight=weight,
        loss=sum(scores.weight * scores.loss for scores in each) / weight,
        losses=joined([scores.losses for scores in each]),
        weights=joined([scores.weights for scores in each]),
        correct=joined([scores.correct for scores in each]),
        operator="head" if all(scores.operator == "head" for scores in each) else "autograd",
    )


def scores_of(module: nn.Module, loss: Loss, inputs: Inputs, targets: Any) -> Scores:
    """Scores on the samples of this process.

    Raises:
        ValueError: if the loss is not one finite number.
    """
    with undisturbed(module, loss) as observed:

        def body() -> Scores:
            return _scores(module, observed, observed.outputs(inputs), inputs, targets)

        if not isinstance(module, HeadModel):
            return observed.detached(body)
        # On a graph, as it has to be seen whether the loss reads parameters itself.
        named = observed.module.named_parameters()
        leaves = {name: alias(p, observed.dtype) for name, p in named if p.requires_grad}
        return observed.evaluated(body, leaves)


def _scores(
    module: nn.Module, observed: Observed, outputs: Any, inputs: Inputs, targets: Any
) -> Scores:
    loss, weights = observed.loss, None
    terms = None if observed.weighted_mean is None else observed.terms(outputs, targets)
    if terms is None:
        total, weight = observed.total(outputs, targets, sample_number((inputs, targets)))
    else:
        total, weight = (terms[0] * terms[1]).sum(), float(terms[1].sum())
    if not weight > 0:
        raise ValueError("loss: expected terms with a weight, got a sum of weights of 0")
    mean = float(total.detach()) / weight
    losses: Tensor | None = None
    operator: Literal["head", "autograd"] = "autograd"
    if isinstance(module, HeadModel) and isinstance(inputs, Tensor) and observed.dtype is None:
        with torch.no_grad():
            losses = _losses_by_head(module, inputs, ordinary(targets))
        if (
            losses is not None
            and abs(float(losses.mean()) - mean) <= _SAME * abs(mean)
            and _is_criterion(loss, module.head, outputs, ordinary(targets))
        ):
            operator = "head"
    if operator == "head":
        weight = float(sample_number((inputs, targets)))
    elif terms is not None:
        losses, weights = terms
    else:
        try:
            losses = sample_losses(loss, outputs, targets)
        except ValueError:  # no mean over samples: its error is unknown
            losses = None
    correct = _correct(module, outputs, targets)
    return Scores(weight, mean, losses, weights, correct, operator)


def pooled(own: Scores, processes: Processes) -> tuple[tuple[Quantity, ...], str]:
    """Loss and accuracy of all samples, where they are known, and an operator that fits all."""
    rows = processes.gather(
        [
            own.weight,
            own.loss,
            float(own.operator == "head"),
            *_moments(own.losses, own.weights),
            *_moments(own.correct, None),
        ]
    ).numpy()
    rows = rows[rows[:, 0] > 0]
    share = rows[:, 0] / rows[:, 0].sum()
    _, loss_error = _mean(rows[:, 3:9])
    accuracy, accuracy_error = _mean(rows[:, 9:15])
    scores = [Quantity.number("loss", float(share @ rows[:, 1]), "loss", loss_error)]
    if not math.isnan(accuracy):
        scores.append(Quantity.number("accuracy", accuracy, "share", accuracy_error))
    operator = "head" if rows[:, 2].all() else "autograd"
    return tuple(scores), operator


def _moments(values: Tensor | None, weights: Tensor | None) -> tuple[float, ...]:
    """Of values x with weights w: how many have one, sum w, mean m of x, and sums of w^2 (x - m)^k.

    k = 0, 1, 2.
    """
    if values is None:
        return 0.0, math.nan, math.nan, math.nan, math.nan, math.nan
    x = values.detach().double()
    w = torch.ones_like(x) if weights is None else weights.double()
    mean = (w * x).sum() / w.sum()
    powers = [float((w.square() * (x - mean) ** k).sum()) for k in range(3)]
    return float((w > 0).sum()), float(w.sum()), float(mean), *powers


def _mean(moments: FloatArray) -> tuple[float, float]:
    """Weighted mean m and its standard error from rows of moments; NaN where values are too few.

    n / (n - 1) sum w^2 (x - m)^2 / (sum w)^2, the variance of a ratio of sums over n samples.
    """
    counts, weights, means, zeroth, first, second = moments.T
    total = counts.sum()
    if not counts.all():
        return math.nan, math.nan
    mean = float(weights @ means / weights.sum())
    shift = means - mean
    deviation = float((second + 2 * shift * first + shift**2 * zeroth).sum())
    if total <= 1:
        return mean, math.nan
    return mean, math.sqrt(max(deviation, 0.0) * total / (total - 1)) / float(weights.sum())


def _losses_by_head(module: HeadModel, inputs: Tensor, targets: Any) -> Tensor | None:
    """ell of every sample if inputs and targets are what the head takes."""
    assert isinstance(module, nn.Module)
    x = module.get_parameter(module.direction_name)
    fits = isinstance(targets, Tensor) and targets.dtype == torch.int64
    if not fits or inputs.ndim != 2 or inputs.shape[1] != x.shape[1]:
        return None
    v = [module.get_parameter(name).flatten() for name in module.head_parameter_names]
    parameters = torch.cat(v) if v else x.new_zeros(0)
    losses: Tensor = head_losses(module.head, inputs @ x.T, parameters, targets)
    return losses


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
        if not value.requires_grad or any(end is not leaf for end in graph_ends(value)):
            return False  # with a penalty on parameters it is the loss of more than the outputs
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
