"""A two-layer network on a Gaussian mixture with two labels, such as XOR (arXiv 2502.15655)."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ..config import MixtureConfig, OptimiserConfig, ProbeConfig, TrainingConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from .system import System

__all__ = ["XOR", "TwoLayerMixtureConfig"]

XOR = MixtureConfig(
    means=((1.5, 0.0), (-1.5, 0.0), (0.0, 1.5), (0.0, -1.5)),
    weights=(0.25, 0.25, 0.25, 0.25),
    labels=(0, 0, 1, 1),
    snr=6.0,
)
_OPTIMISER = OptimiserConfig(scaled_learning_rate=2.0, batch_size=2)
# Each unit leans towards a mean of the label that it votes for. From mean 0 the overlaps with the
# means would start at the order of SGD's own noise, 1/sqrt(d), and the time at which the saddle is
# left would be random whatever the dimension.
_START = ((0.0, 0.2), (0.2, 0.0), (0.0, -0.2), (-0.2, 0.0))
_PROBE = ProbeConfig(draws=8)


@dataclass(frozen=True, kw_only=True)
class TwoLayerMixtureConfig(TrainingConfig):
    """A two-layer network with one logit on a Gaussian mixture with labels 0 and 1.

    The default is XOR: two pairs of opposite means, one pair for each label. The training leaves
    a saddle; an outlier below the bulk of a hidden unit joins it, one above splits in two.

    Attributes:
        mixture: the law of the data.
        activation: of the hidden units.
        second_layer: initial weights, one for each hidden unit.
        second_layer_rate: learning rate of the second layer relative to the first's; 0 keeps it.
        scale: the initial directions of the hidden units are start + scale * N(0, I/d).
        start: first coordinates of each direction's mean; empty for mean 0.
    """

    system: ClassVar[str] = "two-layer-mixture"

    mixture: MixtureConfig = XOR
    activation: Literal["gelu", "tanh", "relu", "softplus"] = "gelu"
    second_layer: tuple[float, ...] = (1.5, -1.5, 1.5, -1.5)
    second_layer_rate: float = 0.0
    scale: float = 0.3
    start: tuple[tuple[float, ...], ...] = _START
    time: float = 10.0
    optimiser: OptimiserConfig = _OPTIMISER
    probe: ProbeConfig = _PROBE

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.second_layer_rate) and self.second_layer_rate >= 0):
            raise ValueError(
                f"second_layer_rate: expected at least 0, got {self.second_layer_rate}"
            )
        if not set(self.mixture.labels) <= {0, 1}:
            raise ValueError(f"mixture.labels: expected 0 and 1, got {self.mixture.labels}")

    def build(self, generator: "torch.Generator") -> "System":
        """The system, with one block for each hidden unit and, rarely, the whole first layer."""
        import torch

        from ...models.two_layer import TwoLayerNetwork
        from ...probes.block import Block
        from ...theory.mixture_theory import MixtureTheory
        from .system import System

        dtype = getattr(torch, self.dtype)
        law = self.mixture.build(self.dimension, dtype, self.device)
        model = TwoLayerNetwork(
            self.dimension,
            self.second_layer,
            self.activation,
            self.scale,
            generator,
            dtype,
            self.device,
            self.start,
        )
        first_layer = (model.direction_name,)
        return System(
            law=law,
            model=model,
            loss=model.head.criterion,
            theory=MixtureTheory(
                law,
                model.head,
                self.aspect_ratio,
                sgd=self.optimiser.algorithm(self.second_layer_rate),
            ),
            blocks=tuple(
                Block(f"unit {row}", first_layer, (row,)) for row in range(len(self.second_layer))
            ),
            rare_blocks=(Block("first layer", first_layer),),
            relative_rates={"second_layer": self.second_layer_rate},
        )
