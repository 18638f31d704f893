"""Losses of a model's output on a label, with their first two derivatives in the output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "LOSSES",
    "BinaryCrossEntropy",
    "LossName",
    "OutputLoss",
    "SoftmaxCrossEntropy",
    "Squared",
    "output_loss",
]

LossName = Literal["binary-cross-entropy", "squared", "softmax"]
LOSSES: tuple[LossName, ...] = ("binary-cross-entropy", "squared", "softmax")


class OutputLoss(Protocol):
    """Loss of outputs f (n, O) on targets y (n,) int64, sample by sample.

    Attributes:
        classes: targets are 0 to classes - 1; None if every number will do.
    """

    @property
    def classes(self) -> int | None:
        """See above."""

    def values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """loss(f_l, y_l), (n,)."""

    def gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """d loss/df, (n, O)."""

    def curvatures(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """d^2 loss/df^2, (n, O, O)."""

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether each output predicts its target, (n,) bool."""


@dataclass(frozen=True)
class SoftmaxCrossEntropy:
    """-f_y + log sum_a exp f_a, of logits f.

    Attributes:
        classes: O, the number of logits.
    """

    classes: int

    def values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """logsumexp(f) - f_y, (n,)."""
        picked = (outputs * self._is_target(targets)).sum(-1)
        return torch.logsumexp(outputs, dim=-1) - picked

    def gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """p - 1[own class], (n, O), p = softmax(f)."""
        return torch.softmax(outputs, -1) - self._is_target(targets).to(outputs.dtype)

    def curvatures(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """diag(p) - p p^T, (n, O, O)."""
        p = torch.softmax(outputs, -1)
        curvature = -p[:, :, None] * p[:, None, :]
        curvature.diagonal(dim1=1, dim2=2).add_(p)
        return curvature

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether the largest logit is the target's, (n,) bool."""
        return outputs.argmax(dim=-1) == targets

    def _is_target(self, targets: Tensor) -> Tensor:
        # A comparison, not one_hot: that reads its argument's values, which vmap cannot.
        return targets.unsqueeze(-1) == torch.arange(self.classes, device=targets.device)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """log(1 + e^f) - y f, of one logit f and labels y in {0, 1}."""

    classes: ClassVar[int] = 2

    def values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """softplus(f) - y f, (n,)."""
        f = outputs.squeeze(-1)
        return functional.softplus(f) - targets.to(f.dtype) * f

    def gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """p - y, (n, 1), p = sigmoid(f)."""
        return torch.sigmoid(outputs) - targets.to(outputs.dtype).unsqueeze(-1)

    def curvatures(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """p (1 - p), (n, 1, 1)."""
        return (torch.sigmoid(outputs) * torch.sigmoid(-outputs)).unsqueeze(-1)

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether the sign of the logit is the label's, (n,) bool."""
        return (outputs.squeeze(-1) > 0) == (targets > 0)


@dataclass(frozen=True)
class Squared:
    """(f - y)^2 / 2, of one output f and any number y."""

    classes: ClassVar[int | None] = None

    def values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(f - y)^2 / 2, (n,)."""
        return (outputs.squeeze(-1) - targets.to(outputs.dtype)).square() / 2

    def gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """f - y, (n, 1)."""
        return outputs - targets.to(outputs.dtype).unsqueeze(-1)

    def curvatures(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """1, (n, 1, 1)."""
        return torch.ones_like(outputs).unsqueeze(-1)

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether the output rounds to the label, |f - y| < 1/2, (n,) bool."""
        return (outputs.squeeze(-1) - targets.to(outputs.dtype)).abs() < 0.5


def output_loss(name: LossName, outputs: int) -> OutputLoss:
    """The loss of that name for so many outputs.

    Raises:
        ValueError: if there is none, naming ``loss`` or ``outputs``.
    """
    if name not in LOSSES:
        raise ValueError(f"loss: expected one of {list(LOSSES)}, got {name!r}")
    if name == "softmax":
        if outputs < 2:
            raise ValueError(f"outputs: expected at least 2 classes for softmax, got {outputs}")
        return SoftmaxCrossEntropy(outputs)
    if outputs != 1:
        raise ValueError(f"outputs: expected 1 for the loss {name}, got {outputs}")
    return BinaryCrossEntropy() if name == "binary-cross-entropy" else Squared()
