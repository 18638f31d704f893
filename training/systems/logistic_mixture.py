"""Binary logistic regression on a Gaussian mixture with two labels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ...models.arguments import require_least
from ..config import ProbeConfig
from .mixture_config import MixtureConfig, MixtureTrainingConfig, OptimiserConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ..system import System

__all__ = ["ORTHOGONAL_PAIR", "LogisticMixtureConfig"]

ORTHOGONAL_PAIR = MixtureConfig(
    means=((1.0, 0.0), (0.0, 1.0)),
    weights=(0.6, 0.4),
    labels=(0, 1),
    snr=3.0,
)
_OPTIMISER = OptimiserConfig(scaled_learning_rate=0.5, ridge=0.05)
_PROBE = ProbeConfig(draws=4)


@dataclass(frozen=True, kw_only=True)
class LogisticMixtureConfig(MixtureTrainingConfig):
    """Binary logistic regression on a Gaussian mixture with labels 0 and 1.

    The default shows transitions: Hessian and information matrix start alike, with two outliers,
    one for each mean; the Hessian goes on with one, the information matrix with one, then none.

    Attributes:
        mixture: the law of the data.
        scale: the initial direction is start + scale * N(0, I/d).
        start: first coordinates of the direction's mean, as a single row; empty for mean 0.
    """

    system: ClassVar[str] = "logistic-mixture"

    mixture: MixtureConfig = ORTHOGONAL_PAIR
    scale: float = 0.3
    start: tuple[tuple[float, ...], ...] = ()
    optimiser: OptimiserConfig = _OPTIMISER
    probe: ProbeConfig = _PROBE

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least("scale", self.scale, 0)
        if not set(self.mixture.labels) <= {0, 1}:
            raise ValueError(f"mixture.labels: expected 0 and 1, got {self.mixture.labels}")

    def build(self, generator: "torch.Generator") -> "System":
        """The system, with one block: the direction."""
        import torch

        from ...models.logistic_regression import LogisticRegression
        from ...probes.curvature.block import Block
        from ...theory.mixture.mixture_theory import MixtureTheory
        from .mixture_training import mixture_system

        dtype = getattr(torch, self.dtype)
        law = self.mixture.build(self.dimension, dtype, self.device)
        model = LogisticRegression(
            self.dimension, self.scale, generator, dtype, self.device, self.start
        )
        return mixture_system(
            self,
            model,
            loss=model.head.criterion,
            theory=MixtureTheory(
                law, model.head, self.aspect_ratio, sgd=self.optimiser.algorithm()
            ),
            blocks=(Block("direction", (model.direction_name,), (0,)),),
        )
