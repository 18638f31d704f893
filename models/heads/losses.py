"""Losses of a model's output on a label, with their first two derivatives in the output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from .arrays import Array, diagonal, functions

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

    def values(self, outputs: Array, targets: Array) -> Array:
        """loss(f_l, y_l), (n,)."""

    def gradients(self, outputs: Array, targets: Array) -> Array:
        """d loss/df, (n, O)."""

    def curvatures(self, outputs: Array, targets: Array) -> Array:
        """d^2 loss/df^2, (n, O, O)."""

    def correct(self, outputs: Array, targets: Array) -> Array:
        """Whether each output predicts its target, (n,) bool."""


@dataclass(frozen=True)
class SoftmaxCrossEntropy:
    """-f_y + log sum_a exp f_a, of logits f.

    Attributes:
        classes: O, the number of logits.
    """

    classes: int

    def values(self, outputs: Array, targets: Array) -> Array:
        """logsumexp(f) - f_y, (n,)."""
        picked = (outputs * self._is_target(targets)).sum(-1)
        return functions(outputs).logsumexp(outputs) - picked

    def gradients(self, outputs: Array, targets: Array) -> Array:
        """p - 1[own class], (n, O), p = softmax(f)."""
        f = functions(outputs)
        return f.softmax(outputs) - f.cast(self._is_target(targets), outputs)

    def curvatures(self, outputs: Array, targets: Array) -> Array:
        """diag(p) - p p^T, (n, O, O)."""
        p = functions(outputs).softmax(outputs)
        curvature = -p[:, :, None] * p[:, None, :]
        own = diagonal(curvature, 0, 0, self.classes)
        own += p
        return curvature

    def correct(self, outputs: Array, targets: Array) -> Array:
        """Whether the largest logit is the target's, (n,) bool."""
        return outputs.argmax(-1) == targets

    def _is_target(self, targets: Array) -> Array:
        # A comparison, not one_hot: that reads its argument's values, which vmap cannot.
        return targets[..., None] == functions(targets).whole_numbers(self.classes, targets)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """log(1 + e^f) - y f, of one logit f and labels y in {0, 1}."""

    classes: ClassVar[int] = 2

    def values(self, outputs: Array, targets: Array) -> Array:
        """softplus(f) - y f, (n,)."""
        f, logits = functions(outputs), outputs.squeeze(-1)
        return f.softplus(logits) - f.cast(targets, logits) * logits

    def gradients(self, outputs: Array, targets: Array) -> Array:
        """p - y, (n, 1), p = sigmoid(f)."""
        return functions(outputs).sigmoid(outputs) - targets[..., None]

    def curvatures(self, outputs: Array, targets: Array) -> Array:
        """p (1 - p), (n, 1, 1)."""
        f = functions(outputs)
        return (f.sigmoid(outputs) * f.sigmoid(-outputs))[..., None]

    def correct(self, outputs: Array, targets: Array) -> Array:
        """Whether the sign of the logit is the label's, (n,) bool."""
        return (outputs.squeeze(-1) > 0) == (targets > 0)


@dataclass(frozen=True)
class Squared:
    """(f - y)^2 / 2, of one output f and any number y."""

    classes: ClassVar[int | None] = None

    def values(self, outputs: Array, targets: Array) -> Array:
        """(f - y)^2 / 2, (n,)."""
        f = functions(outputs)
        return f.square(outputs.squeeze(-1) - f.cast(targets, outputs)) / 2

    def gradients(self, outputs: Array, targets: Array) -> Array:
        """f - y, (n, 1)."""
        return outputs - targets[..., None]

    def curvatures(self, outputs: Array, targets: Array) -> Array:
        """1, (n, 1, 1)."""
        return functions(outputs).ones_like(outputs)[..., None]

    def correct(self, outputs: Array, targets: Array) -> Array:
        """Whether the output rounds to the label, |f - y| < 1/2, (n,) bool."""
        errors = outputs.squeeze(-1) - functions(outputs).cast(targets, outputs)
        return abs(errors) < 0.5


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
