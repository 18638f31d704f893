"""The configuration of what is trained on all of a fixed number of samples for each dimension."""

from dataclasses import dataclass

from ...models.arguments import require_least, require_positive
from ..config import TrainingConfig

__all__ = ["SampledTrainingConfig"]


@dataclass(frozen=True, kw_only=True)
class SampledTrainingConfig(TrainingConfig):
    """A model in N dimensions that every step trains on the same n samples, n in proportion to N.

    Attributes:
        dimension: N.
        samples_per_dimension: n / N; n is rounded to a whole number.
        steps: of an epoch.
    """

    dimension: int = 400
    samples_per_dimension: float = 2.0
    steps: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least("dimension", self.dimension, 2)
        require_positive("samples_per_dimension", self.samples_per_dimension)
        require_positive("steps", self.steps)
        if self.samples < 1:
            raise ValueError(
                "samples_per_dimension: expected at least one sample in all, "
                f"got {self.samples_per_dimension}"
            )

    @property
    def samples(self) -> int:
        """The nearest integer to n."""
        return round(self.samples_per_dimension * self.dimension)

    @property
    def steps_per_epoch(self) -> int:
        """``steps``."""
        return self.steps
