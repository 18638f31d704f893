"""A Gaussian mixture but for its means: how its components are drawn, labelled and blurred."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .arguments import require_fields

__all__ = ["MixtureLaw"]

_WEIGHT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class MixtureLaw:
    """b ~ weights,  y = labels[b],  noise N(0, I_d / snr) about the mean mu_b.

    What the theory needs of a mixture beside its Gram matrix.

    Attributes:
        weights: (k,) float64 probabilities of the components.
        labels: (k,) 0-based integer label of each component; several components may share one.
        snr: inverse variance of the noise (lambda in arXiv 2502.15655).

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    weights: NDArray[np.float64]
    labels: np.ndarray
    snr: float

    def __post_init__(self) -> None:
        require_fields(self)
        k = len(self.weights)
        wrong = [float(weight) for weight in self.weights if not 0 < weight < 2]
        total = math.nan if wrong else math.fsum(self.weights)
        if not abs(total - 1) <= _WEIGHT_TOLERANCE:
            got = wrong[0] if wrong else f"sum {total:.10g}"
            raise ValueError(f"weights: expected positive numbers that sum to 1, got {got}")
        if len(self.labels) != k:
            raise ValueError(f"labels: expected {k} labels (one a weight), got {len(self.labels)}")
        if self.labels.dtype.kind not in "iu" or self.labels.min() < 0:
            raise ValueError(f"labels: expected {k} labels >= 0, got {self.labels.tolist()}")
        if not (math.isfinite(self.snr) and self.snr > 0):
            raise ValueError(f"snr: expected a positive number, got {self.snr}")

    @classmethod
    def of_means(
        cls, count: int, weights: Sequence[float], labels: Sequence[int], snr: float
    ) -> MixtureLaw:
        """The law of as many components as there are means.

        Raises:
            ValueError: if there are not as many weights, or as for the law itself.
        """
        if len(weights) != count:
            raise ValueError(f"weights: expected {count} (one a mean), got {len(weights)}")
        return cls(np.array(weights, dtype=np.float64), np.array(labels), snr)

    def normalised(self) -> MixtureLaw:
        """The law with its weights divided by their sum, which is 1 within 1e-6."""
        return replace(self, weights=self.weights / math.fsum(self.weights))
