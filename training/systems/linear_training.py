"""The configuration of what is linear in its weights: how it is trained on the mean square."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ...models.arguments import require_positive
from ..config import ProbeConfig, TrainingConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    from ...theory.linear.algorithm import Algorithm
    from ...theory.linear.problem import LinearProblem

__all__ = ["LinearTrainingConfig"]

_PROBE = ProbeConfig(eigenvalues=6, smallest=0)


@dataclass(frozen=True, kw_only=True)
class LinearTrainingConfig(TrainingConfig):
    """A model that is linear in its weights, with nn.MSELoss and torch's plain SGD, from v = 0.

    Attributes:
        samples: P, the size of the training set; not for one-pass.
        algorithm: "flow" (descent in small steps), "gd", "sgd" (batches with replacement),
            "one-pass" (fresh batches) or "shuffled" (passes in a new order each).
        lr: torch's learning rate, half of the theory's; None for half of the critical one, for the
            flow for a fiftieth.
        batch_size: B; for sgd, one-pass and shuffled.
        weight_decay: torch's.
        schedule: pairs (step, factor): from that step on lr is the factor times the above.
        steps: of the optimiser in an epoch.
    """

    answers: ClassVar[str] = "spectrain.answers.linear"
    figures: ClassVar[str] = "spectrain.figures.linear"

    samples: int | None = 300
    algorithm: Literal["flow", "gd", "sgd", "one-pass", "shuffled"] = "sgd"
    lr: float | None = None
    batch_size: int = 4
    weight_decay: float = 0.0
    schedule: tuple[tuple[int, float], ...] = ()
    steps: int = 50
    epochs: int = 20
    probe: ProbeConfig = _PROBE

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "steps"):
            require_positive(name, getattr(self, name))
        if (self.samples is None) != (self.algorithm == "one-pass"):
            expected = "none" if self.algorithm == "one-pass" else "a number"
            raise ValueError(
                f"samples: expected {expected} for {self.algorithm}, got {self.samples}"
            )
        if self.samples is not None:
            require_positive("samples", self.samples)
        if self.algorithm == "shuffled" and self.samples and self.samples % self.batch_size:
            raise ValueError(
                f"batch_size: expected a divisor of the {self.samples} samples for shuffled, "
                f"got {self.batch_size}"
            )
        if self.lr is not None:
            require_positive("lr", self.lr)
        # What remains to be checked, and at once rather than when the run begins.
        self._algorithm(1.0 if self.lr is None else self.lr)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the optimiser in an epoch."""
        return self.steps

    @abstractmethod
    def problem(self) -> "LinearProblem":
        """The regression, as the theory has it."""

    def learning_rate(self) -> float:
        """torch's lr."""
        if self.lr is not None:
            return self.lr
        from ...theory.linear.stability import critical_learning_rate

        critical = critical_learning_rate(self.problem(), self._algorithm(1.0))
        assert critical is not None
        return critical / 2 * (0.02 if self.algorithm == "flow" else 0.5)

    def trained(self) -> "Algorithm":
        """The algorithm, as the theory has it; the flow as descent in its small steps."""
        return self._algorithm(self.learning_rate())

    def _algorithm(self, lr: float) -> "Algorithm":
        from ...theory.linear.algorithm import Algorithm

        name = "gd" if self.algorithm == "flow" else self.algorithm
        batch_size = None if name == "gd" else self.batch_size
        return Algorithm.of_torch(
            name, lr, batch_size, self.weight_decay, schedule=tuple(self.schedule)
        )

    def rate_factor(self, step: int) -> float:
        """What the schedule makes of lr at a step."""
        passed = [factor for start, factor in self.schedule if start <= step]
        return passed[-1] if passed else 1.0
