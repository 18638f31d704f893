"""Low-rank reconstruction from a small start (arXiv 2106.15013)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from ...models.arguments import require_least, require_positive
from ..config import ProbeConfig, TrainingConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ..system import System

__all__ = ["LowRankConfig"]

_PROBE = ProbeConfig(eigenvalues=3, smallest=16)


@dataclass(frozen=True, kw_only=True)
class LowRankConfig(TrainingConfig):
    """Factors of a low-rank matrix by gradient descent on its measurements, from a small start.

    In the default three directions are learned one after another: fifteen negative eigenvalues of
    the Hessian leave in three steps, and the largest eigenvalue of A*A(R) falls in a staircase.

    Attributes:
        size: n, of the matrix; for block, rows and columns of it.
        eigenvalues: of the matrix, positive; for block, singular values.
        factors: q, columns of U, at least as many as eigenvalues.
        measurements: m.
        operator: "gaussian", "structured" (random signs and cosine transforms, subsampled),
            "entries" (matrix completion) or "block" (asymmetric factorisation); theory is there
            for the first two.
        scale: alpha, of the start.
        learning_rate: mu.
        steps: of an epoch.
    """

    system: ClassVar[str] = "low-rank"
    answers: ClassVar[str] = "spectrain.answers.low_rank"
    figures: ClassVar[str] = "spectrain.figures.low_rank"

    size: int = 40
    eigenvalues: tuple[float, ...] = (1.0, 0.6, 0.35)
    factors: int = 5
    measurements: int = 960
    operator: Literal["gaussian", "structured", "entries", "block"] = "gaussian"
    scale: float = 1e-5
    learning_rate: float = 0.1
    steps: int = 6
    epochs: int = 60
    probe: ProbeConfig = _PROBE

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("measurements", "scale", "learning_rate", "steps"):
            require_positive(name, getattr(self, name))
        require_least("size", self.size, 2)
        if not 1 <= len(self.eigenvalues) < self.size:
            raise ValueError(
                f"eigenvalues: expected 1 to {self.size - 1} of them, got {len(self.eigenvalues)}"
            )
        for value in self.eigenvalues:
            require_positive("eigenvalues", value)
        if not len(self.eigenvalues) <= self.factors <= self.rows:
            raise ValueError(
                f"factors: expected {len(self.eigenvalues)} (the number of eigenvalues) to "
                f"{self.rows} (the rows of U), got {self.factors}"
            )

    @property
    def rows(self) -> int:
        """Of U."""
        return 2 * self.size if self.operator == "block" else self.size

    @property
    def steps_per_epoch(self) -> int:
        """``steps``."""
        return self.steps

    @property
    def title(self) -> str:
        """The system and its sizes."""
        rank = len(self.eigenvalues)
        return f"{self.system}, n = {self.size}, r = {rank}, q = {self.factors}, {self.operator}"

    @classmethod
    def small(cls) -> Self:
        """n = 12, two directions."""
        return cls(size=12, eigenvalues=(1.0, 0.5), factors=3, measurements=60, dtype="float64")

    def build(self, generator: "torch.Generator") -> "System":
        """The system; matrix, operator and start are drawn from the generator."""
        from .low_rank_system import low_rank_system

        return low_rank_system(self, generator)
