"""Softmax regression on a Gaussian mixture (arXiv 2502.15655)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from ...models.arguments import require_least
from ..config import ProbeConfig
from .mixture_config import MixtureConfig, MixtureTrainingConfig, OptimiserConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ..system import System

__all__ = ["ORTHONORMAL", "SoftmaxMixtureConfig"]

ORTHONORMAL = MixtureConfig(
    means=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    weights=(0.4, 0.35, 0.25),
    labels=(0, 1, 2),
    snr=3.0,
)
_OPTIMISER = OptimiserConfig(scaled_learning_rate=0.5, ridge=0.05)
_PROBE = ProbeConfig(draws=4)


@dataclass(frozen=True, kw_only=True)
class SoftmaxMixtureConfig(MixtureTrainingConfig):
    """Softmax regression on a Gaussian mixture, one class a label.

    The default shows transitions: the Hessian's block of class 0 has three outliers, then two,
    then one; the information matrix's has one, then none.

    Attributes:
        mixture: the law of the data.
        scale: the initial class directions are start + scale * N(0, I/d).
        start: first coordinates of each direction's mean; empty for mean 0.
    """

    system: ClassVar[str] = "softmax-mixture"

    mixture: MixtureConfig = ORTHONORMAL
    scale: float = 0.3
    start: tuple[tuple[float, ...], ...] = ()
    optimiser: OptimiserConfig = _OPTIMISER
    probe: ProbeConfig = _PROBE

    @classmethod
    def shown(cls, quick: bool) -> Self:
        """The default run, or its beginning in fewer dimensions."""
        return cls(dimension=200, epochs=3) if quick else cls()

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least("scale", self.scale, 0)

    def build(self, generator: "torch.Generator") -> "System":
        """The system, with one block for each class."""
        import torch
        from torch.nn import functional

        from ...models.softmax_regression import SoftmaxRegression
        from ...probes.curvature.block import Block
        from ...theory.mixture.mixture_theory import MixtureTheory
        from .mixture_training import mixture_system

        dtype = getattr(torch, self.dtype)
        law = self.mixture.build(self.dimension, dtype, self.device)
        model = SoftmaxRegression(
            self.dimension, law.classes, self.scale, generator, dtype, self.device, self.start
        )
        return mixture_system(
            self,
            model,
            # The head's criterion in one kernel, which nearly halves the time of a step.
            loss=functional.cross_entropy,
            theory=MixtureTheory(
                law, model.head, self.aspect_ratio, sgd=self.optimiser.algorithm()
            ),
            blocks=tuple(
                Block(f"class {row}", (model.direction_name,), (row,)) for row in range(law.classes)
            ),
        )
