"""The head of binary logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .arrays import Array
from .head import LossHead
from .losses import BinaryCrossEntropy

__all__ = ["LogisticHead"]

_LOSS = BinaryCrossEntropy()


@dataclass(frozen=True)
class LogisticHead(LossHead):
    """ell = log(1 + e^h) - y h, one direction, labels y in {0, 1}, no extra parameters."""

    directions: ClassVar[int] = 1

    @property
    def classes(self) -> int:
        """Two."""
        return 2

    def output(self, h: Array, v: Array) -> Array:
        """Logit: the one entry of h (..., 1), (...)."""
        return h.squeeze(-1)

    def losses(self, outputs: Array, targets: Array) -> Array:
        """Binary cross-entropy of each sample: logits (...) against labels 0 or 1, (...)."""
        return _LOSS.values(outputs[..., None], targets)

    def correct(self, outputs: Array, targets: Array) -> Array:
        """Whether the sign of the logit is the label's, (n,) bool."""
        return _LOSS.correct(outputs[..., None], targets)

    def gradient(self, h: Array, v: Array, y: Array, joint: bool = True) -> Array:
        """p - y, (..., n, 1), p = sigmoid(h); there is no v to join."""
        return _LOSS.gradients(h, y)

    def curvature(self, h: Array, v: Array, y: Array, joint: bool) -> Array:
        """p (1 - p), (n, 1, 1); there is no v to join."""
        return _LOSS.curvatures(h, y)
