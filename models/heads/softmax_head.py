"""The head of softmax regression."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..arguments import require_fields
from .head import OutputHead
from .losses import SoftmaxCrossEntropy

__all__ = ["SoftmaxHead"]


@dataclass(frozen=True)
class SoftmaxHead(OutputHead):
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

    def output(self, h: Tensor, v: Tensor) -> Tensor:
        """Logits: h itself, (..., C)."""
        return h

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy () of logits (n, C) against classes (n,)."""
        return self.losses(outputs, targets).mean()

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each sample: logits (..., C) against classes (...)."""
        return self._loss.values(outputs, targets)

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether the largest logit is the label's, (n,) bool."""
        return self._loss.correct(outputs, targets)

    def gradient(self, h: Tensor, v: Tensor, y: Tensor, joint: bool = True) -> Tensor:
        """p - 1[own class], (..., n, C); there is no v to join."""
        return self._loss.gradients(h, y)

    def curvature(self, h: Tensor, v: Tensor, y: Tensor, joint: bool) -> Tensor:
        """diag(p) - p p^T, (n, C, C); there is no v to join."""
        return self._loss.curvatures(h, y)
