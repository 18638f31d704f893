"""The head of binary logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .head import OutputHead
from .losses import BinaryCrossEntropy

__all__ = ["LogisticHead"]

_LOSS = BinaryCrossEntropy()


@dataclass(frozen=True)
class LogisticHead(OutputHead):
    """ell = log(1 + e^h) - y h, one direction, labels y in {0, 1}, no extra parameters."""

    directions: ClassVar[int] = 1

    @property
    def classes(self) -> int:
        """Two."""
        return 2

    def output(self, h: Tensor, v: Tensor) -> Tensor:
        """Logit: the one entry of h (..., 1), (...)."""
        return h.squeeze(-1)

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean binary cross-entropy () of logits (n,) against labels 0 or 1, (n,)."""
        return self.losses(outputs, targets).mean()

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy of each sample: logits (...) against labels 0 or 1, (...)."""
        return _LOSS.values(outputs.unsqueeze(-1), targets)

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether the sign of the logit is the label's, (n,) bool."""
        return _LOSS.correct(outputs.unsqueeze(-1), targets)

    def gradient(self, h: Tensor, v: Tensor, y: Tensor, joint: bool = True) -> Tensor:
        """p - y, (..., n, 1), p = sigmoid(h); there is no v to join."""
        return _LOSS.gradients(h, y)

    def curvature(self, h: Tensor, v: Tensor, y: Tensor, joint: bool) -> Tensor:
        """p (1 - p), (n, 1, 1); there is no v to join."""
        return _LOSS.curvatures(h, y)
