"""Descent on the landscape of a spiked matrix and tensor (arXiv 1902.00139, 1907.08226)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from ...models.arguments import require_least, require_positive
from ...theory.spiked.covariance import Covariance
from ..config import ProbeConfig, TrainingConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ..system import System

__all__ = ["SpikedMatrixTensorConfig"]

_PROBE = ProbeConfig(eigenvalues=3, smallest=3)


@dataclass(frozen=True, kw_only=True)
class SpikedMatrixTensorConfig(TrainingConfig):
    """Projected gradient descent or Langevin dynamics on a spiked matrix-tensor landscape.

    In the default the outlier of the Hessian enters the bulk as the signal is found, later than
    the formula for a position independent of the noise says.

    Attributes:
        dimension: N; the tensor has N^p entries.
        matrix_noise: Delta_2; null for no matrix.
        tensor_noise: Delta_p; null for no tensor.
        order: p, of the tensor.
        initial_overlap: m of the start.
        learning_rate: eta.
        temperature: T; above 0 the descent is Langevin dynamics.
        steps: of an epoch.
    """

    system: ClassVar[str] = "spiked-matrix-tensor"
    answers: ClassVar[str] = "spectrain.answers.spiked"
    figures: ClassVar[str] = "spectrain.figures.spiked"

    dimension: int = 200
    matrix_noise: float | None = 0.3
    tensor_noise: float | None = 0.5
    order: int = 3
    initial_overlap: float = 0.2
    learning_rate: float = 0.05
    temperature: float = 0.0
    steps: int = 1
    probe: ProbeConfig = _PROBE

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least("dimension", self.dimension, 2)
        Covariance(self.matrix_noise, self.tensor_noise, self.order)
        if not -1 <= self.initial_overlap <= 1:
            raise ValueError(
                f"initial_overlap: expected a number from -1 to 1, got {self.initial_overlap}"
            )
        require_positive("learning_rate", self.learning_rate)
        require_least("temperature", self.temperature, 0)
        require_positive("steps", self.steps)

    @property
    def steps_per_epoch(self) -> int:
        """``steps``."""
        return self.steps

    @property
    def title(self) -> str:
        """The system, and N."""
        return f"{self.system}, N = {self.dimension}"

    @classmethod
    def small(cls) -> Self:
        """N = 30."""
        return cls(dimension=30, dtype="float64")

    def build(self, generator: "torch.Generator") -> "System":
        """The system, its landscape drawn from the generator too."""
        from .spiked_system import spiked_system

        return spiked_system(self, generator)
