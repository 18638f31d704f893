"""Classifiers of two Gaussian clusters, and how flat the minima are (arXiv 2006.07897)."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from ...models.arguments import require_least, require_positive
from ..config import ProbeConfig
from .sampled_training import SampledTrainingConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ..system import System

__all__ = ["FlatMinimaConfig"]

_PROBE = ProbeConfig(eigenvalues=3, smallest=0)


@dataclass(frozen=True, kw_only=True)
class FlatMinimaConfig(SampledTrainingConfig):
    """A linear classifier with ridge on all of n samples of two Gaussian clusters.

    Attributes:
        dimension: N.
        samples_per_dimension: a; there are n = a N samples to train on.
        noise: Delta, variance of each coordinate about its cluster's mean, which has length 1.
        ridge: lambda; the squared loss is minimised with N lambda |w|^2 / n.
        fraction: of the first cluster, with a bias that is trained; null for clusters alike and
            none.
        loss: of the margin t: "squared", (1 - t)^2 / 2, "hinge", log(1 + e^(4 (1 - t))) / 4, or
            "cross-entropy", log(1 + e^-t).
        optimiser: "gd", "entropy-sgd" or "replicated-sgd".
        learning_rate: of gd and of each replica, and of the inner steps of entropy-sgd.
        stiffness: gamma of entropy-sgd and replicated-sgd.
        copies: inner steps of entropy-sgd, replicas of replicated-sgd.
        perturbations: s of the flatness profiles.
        draws: random directions of a profile.
        test_samples: of the test error.
        steps: of an epoch.
    """

    system: ClassVar[str] = "flat-minima"
    answers: ClassVar[str] = "spectrain.answers.flat_minima"
    figures: ClassVar[str] = "spectrain.figures.flat_minima"

    noise: float = 1.0
    ridge: float = 0.5
    fraction: float | None = None
    loss: Literal["squared", "hinge", "cross-entropy"] = "squared"
    optimiser: Literal["gd", "entropy-sgd", "replicated-sgd"] = "gd"
    learning_rate: float = 0.2
    stiffness: float = 1.0
    copies: int = 3
    perturbations: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0)
    draws: int = 16
    test_samples: int = 4000
    steps: int = 5
    epochs: int = 12
    probe: ProbeConfig = _PROBE

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("noise", "learning_rate", "stiffness", "test_samples"):
            require_positive(name, getattr(self, name))
        require_least("ridge", self.ridge, 0)
        if self.fraction is not None and not 0 < self.fraction < 1:
            raise ValueError(
                f"fraction: expected a number between 0 and 1, or null, got {self.fraction}"
            )
        require_least("copies", self.copies, 2)
        require_least("draws", self.draws, 2)
        for s in self.perturbations:
            if not (math.isfinite(s) and s >= 0):
                raise ValueError(f"perturbations: expected numbers of at least 0, got {s}")

    @property
    def title(self) -> str:
        """The system, N, n and what trains it."""
        return f"{self.system}, N = {self.dimension}, n = {self.samples}, {self.optimiser}"

    @classmethod
    def small(cls) -> Self:
        """N = 30."""
        return cls(dimension=30, dtype="float64", test_samples=50)

    def build(self, generator: "torch.Generator") -> "System":
        """The system, its training and test samples drawn from the generator too."""
        from .flat_minima_system import flat_minima_system

        return flat_minima_system(self, generator)
