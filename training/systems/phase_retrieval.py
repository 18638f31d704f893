"""Descent on the squares of projections (arXiv 2006.06997)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from ...models.arguments import require_positive
from ..config import ProbeConfig
from .sampled_training import SampledTrainingConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ..system import System

__all__ = ["PhaseRetrievalConfig"]

_PROBE = ProbeConfig(eigenvalues=2, smallest=3)


@dataclass(frozen=True, kw_only=True)
class PhaseRetrievalConfig(SampledTrainingConfig):
    """Projected gradient descent on the sphere, for a direction known by y = (a.w*)^2.

    In the default the Hessian of the start has an outlier at the signal, which is gone late.

    Attributes:
        dimension: N.
        samples_per_dimension: alpha; there are n = alpha N measurements.
        loss: "normalised", (z^2 - y)^2 / (4 (offset + y)), or "quartic", (z^2 - y)^2 / 4.
        offset: a of the normalised loss.
        initial_overlap: m of the start; null for a uniform start, |m| ~ N^-1/2.
        learning_rate: eta.
        steps: of an epoch.
    """

    system: ClassVar[str] = "phase-retrieval"
    answers: ClassVar[str] = "spectrain.answers.phase_retrieval"
    figures: ClassVar[str] = "spectrain.figures.phase_retrieval"

    samples_per_dimension: float = 2.5
    loss: Literal["normalised", "quartic"] = "normalised"
    offset: float = 1.0
    initial_overlap: float | None = None
    learning_rate: float = 0.1
    probe: ProbeConfig = _PROBE

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("offset", "learning_rate"):
            require_positive(name, getattr(self, name))
        if self.loss not in ("normalised", "quartic"):
            raise ValueError(f'loss: expected "normalised" or "quartic", got {self.loss!r}')
        if self.initial_overlap is not None and not -1 <= self.initial_overlap <= 1:
            raise ValueError(
                f"initial_overlap: expected a number from -1 to 1 or null, "
                f"got {self.initial_overlap}"
            )

    @property
    def title(self) -> str:
        """The system, N and n."""
        return f"{self.system}, N = {self.dimension}, n = {self.samples}"

    @classmethod
    def small(cls) -> Self:
        """N = 30."""
        return cls(dimension=30, dtype="float64")

    def build(self, generator: "torch.Generator") -> "System":
        """The system, its measurements drawn from the generator too."""
        from .phase_retrieval_system import phase_retrieval_system

        return phase_retrieval_system(self, generator)
