"""The losses of the models of transformers as weighted means over tokens or samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...probes.curvature.losses import Loss
from ...probes.curvature.observe import undisturbed
from ...probes.curvature.weighted_mean import Per, WeightedMean

__all__ = ["known_loss", "label_loss", "model_loss", "token_loss"]

_IGNORED = -100
# Relative difference of two gradients of one loss.
_SAME = 1e-3


def token_loss(per: Per = "sample") -> WeightedMean:
    """-sum_t log softmax(z_t)_{y_{t+1}} / T  over the tokens t whose next one counts.

    Of (outputs with ``logits`` (n, length, classes), labels (n, length)); labels of -100 do not
    count. ``per`` says what a unit of the information matrix is: a sequence, or a token.
    """

    def terms(outputs: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        return _terms(_logits(outputs)[:, :-1], labels[:, 1:])

    return WeightedMean(terms, per)


def label_loss(per: Per = "sample") -> WeightedMean:
    """-sum_i log softmax(z_i)_{y_i} / N  over the places i whose label is not -100.

    Of (outputs with ``logits`` (n, ..., classes), labels (n, ...)): the classification of sequences
    or tokens, and masked language models.
    """
    return WeightedMean(lambda outputs, labels: _terms(_logits(outputs), labels), per)


def model_loss(outputs: Any, labels: Any) -> Tensor:
    """The mean that the model has taken itself; it says nothing of single samples."""
    loss: Tensor = outputs["loss"] if isinstance(outputs, dict) else outputs.loss
    return loss


def known_loss(model: nn.Module, inputs: Mapping[str, Any], labels: Any) -> Loss:
    """The one of these that a model takes of its logits, else the mean that it has taken itself.

    Known by the gradient in the logits: at the start, where logits are near 0, the values of all
    losses are near each other.

    Args:
        model: whose outputs have ``loss`` if ``labels`` are among its inputs.
        inputs: a batch without labels.
        labels: its labels.
    """

    def found() -> Loss:
        outputs = observed.outputs({**inputs, "labels": labels})
        try:
            logits = _logits(outputs)
            expected = torch.autograd.grad(model_loss(outputs, labels), logits, retain_graph=True)
        except (AttributeError, KeyError, RuntimeError):
            return model_loss
        for loss in (token_loss(), label_loss()):
            try:
                mine = torch.autograd.grad(loss(outputs, labels), logits, retain_graph=True)
            except (IndexError, RuntimeError, ValueError):
                continue  # of other shapes than this loss takes
            if (mine[0] - expected[0]).norm() <= _SAME * expected[0].norm():
                return loss
        return model_loss

    with undisturbed(model) as observed:
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        return observed.evaluated(found, {name: p.detach().requires_grad_() for name, p in trained})


def _logits(outputs: Any) -> Tensor:
    logits: Tensor = outputs["logits"] if isinstance(outputs, dict) else outputs.logits
    return logits


def _terms(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    losses = functional.cross_entropy(
        logits.movedim(-1, 1), labels, ignore_index=_IGNORED, reduction="none"
    )
    return losses, (labels != _IGNORED).to(losses.dtype)
