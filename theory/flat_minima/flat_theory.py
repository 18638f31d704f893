"""The theory of linear classifiers of two Gaussian clusters, as a probe uses it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, nn

from ...models.arguments import require_arguments
from ...models.flat_minima.clusters import ClusterClassifier
from ..direction import Direction
from ..field_statistics import FieldStatistics
from ..geometry import Geometry
from ..protocol import Reference, SampleKind, Selection, Theory
from ..quantity import Quantity
from ..source import Source
from ..spectrum import FloatArray
from .ridge import Clusters, RidgeSolution, Solution

__all__ = ["FlatMinimaTheory", "FlatStatistics"]

_SOURCES = (
    Source(
        "C. Baldassi, E. M. Malatesta, M. Negri, R. Zecchina",
        "Wide flat minima and optimal generalization in classifying high-dimensional Gaussian "
        "mixtures",
        "2006.07897",
        "flatness against test error",
    ),
    Source(
        "F. Mignacco, F. Krzakala, Y. M. Lu, L. Zdeborová",
        "The role of regularization in classification of high-dimensional noisy Gaussian mixture",
        "2006.06560",
        "the ridge classifier, and when it is Bayes optimal",
    ),
)


@dataclass(frozen=True)
class FlatStatistics(FieldStatistics):
    """What new samples see of a classifier.

    Attributes:
        overlap: m = w.mu, signed.
        norm: q = |w|^2.
        bias: b.
    """

    overlap: float = field(metadata={"unit": "squared parameter"})
    norm: float = field(metadata={"unit": "squared parameter"})
    bias: float = field(metadata={"unit": "parameter"})


class FlatMinimaTheory(Theory[FlatStatistics]):
    """Test error and its profile from (m, q, b) now; all of both samples at the minimiser of ridge.

    What is predicted holds for any weights, since new samples are Gaussian. What is forecast is
    where the training ends, whatever the start and the number of steps.

    Args:
        clusters: the law of the data.
        mean: mu, (N,).
        perturbations: s of the profiles.
        end: the minimiser; None where it is not derived (losses other than the squared one).
    """

    def __init__(
        self,
        clusters: Clusters,
        mean: Tensor,
        perturbations: Sequence[float],
        end: RidgeSolution | None = None,
    ) -> None:
        require_arguments(FlatMinimaTheory.__init__, locals())
        self.clusters, self.mean, self.end = clusters, mean, end
        self.perturbations = tuple(perturbations)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The clusters' mean."""
        return (Direction("mean", r"\mu", False),)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Of the ridge classifier and of flatness; the profile is derived in the documentation."""
        return _SOURCES

    @property
    def holds_for(self) -> frozenset[SampleKind]:
        """All kinds: no prediction is about the probe sample."""
        return frozenset({"training", "fresh", "held-out"})

    def attach(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Refuse a model that is no `ClusterClassifier` of the dimension of mu.

        Raises:
            ValueError: if it is not.
        """
        self._classifier(model)
        return nullcontext()

    def reference(self, model: nn.Module) -> Reference:
        """mu, (N, 1) float64."""
        return Reference(self.mean.double()[:, None])

    def statistics(self, model: nn.Module, batch: Any = None) -> FlatStatistics:
        """(m, q, b) of the present weights."""
        classifier = self._classifier(model)
        w = classifier.weight.detach().double()
        bias = 0.0 if classifier.bias is None else float(classifier.bias.detach())
        return FlatStatistics(float(w @ self.mean.double()), float(w @ w), bias)

    def restore(self, quantities: Sequence[Quantity]) -> FlatStatistics:
        """The statistics with these quantities."""
        return FlatStatistics.restored(quantities)

    def predict(
        self, statistics: FlatStatistics, selections: Sequence[Selection], density: bool = True
    ) -> Geometry:
        """The profile of the test error; none at w = 0, which decides nothing."""
        if statistics.norm == 0:
            return Geometry()
        now = Solution(self.clusters, statistics.overlap, statistics.norm, statistics.bias)
        return Geometry((self._profile("flatness_test_error", now.test_error),))

    def forecast(
        self, start: FlatStatistics, steps: int, selections: Sequence[Selection]
    ) -> Geometry | None:
        """m, q, b and both profiles at the minimiser; None where it is not known."""
        if self.end is None:
            return None
        end = self.end
        told = FlatStatistics(end.overlap, end.norm, end.bias)
        return Geometry(
            (
                *told.quantities(),
                self._profile("flatness_train_error", end.train_error),
                self._profile("flatness_test_error", end.test_error),
            )
        )

    def _profile(self, name: str, error: Any) -> Quantity:
        values: FloatArray = error(np.array(self.perturbations))
        axis = tuple(f"s={s:g}" for s in self.perturbations)
        return Quantity(name, values, "share", (axis,), errors=np.zeros(len(axis)))

    def _classifier(self, model: nn.Module) -> ClusterClassifier:
        size = len(self.mean)
        if not isinstance(model, ClusterClassifier) or len(model.weight) != size:
            raise ValueError(
                f"model: expected a ClusterClassifier of dimension {size}, "
                f"got {type(model).__name__}"
            )
        return model
