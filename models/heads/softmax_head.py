"""The head of softmax regression."""

from __future__ import annotations

from dataclasses import dataclass

from ..arguments import require_fields
from .arrays import Array
from .head import LossHead
from .losses import SoftmaxCrossEntropy

__all__ = ["SoftmaxHead"]


@dataclass(frozen=True)
class SoftmaxHead(LossHead):
    """ell = -h_y + log sum_a exp h_a, with no extra parameters.

    Attributes:
        directions: C, the number of classes.
    """

    directions: int

    def __post_init__(self) -> None:
        require_fields(self)
        if self.directions < 2:
            raise ValueError(f"directions: expected at least 2 classes, got {self.directions}")

    @property
    def classes(self) -> int:
        """C."""
        return self.directions

    @property
    def shift_invariant(self) -> bool:
        """Yes: only differences of logits matter."""
        return True

    @property
    def _loss(self) -> SoftmaxCrossEntropy:
        return SoftmaxCrossEntropy(self.directions)

    def output(self, h: Array, v: Array) -> Array:
        """Logits: h itself, (..., C)."""
        return h

    def losses(self, outputs: Array, targets: Array) -> Array:
        """Cross-entropy of each sample: logits (..., C) against classes (...)."""
        return self._loss.values(outputs, targets)

    def correct(self, outputs: Array, targets: Array) -> Array:
        """Whether the largest logit is the label's, (n,) bool."""
        return self._loss.correct(outputs, targets)

    def gradient(self, h: Array, v: Array, y: Array, joint: bool = True) -> Array:
        """p - 1[own class], (..., n, C); there is no v to join."""
        return self._loss.gradients(h, y)

    def curvature(self, h: Array, v: Array, y: Array, joint: bool) -> Array:
        """diag(p) - p p^T, (n, C, C); there is no v to join."""
        return self._loss.curvatures(h, y)
