"""A two-layer network on a Gaussian mixture, such as that of XOR (arXiv 2502.15655)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from ...models.arguments import require_least
from ..config import ProbeConfig
from .mixture_config import MixtureConfig, MixtureTrainingConfig, OptimiserConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ..system import System

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

ActivationName = Literal[
    "gelu", "tanh", "relu", "softplus", "sigmoid", "silu", "erf", "identity", "square"
]


@dataclass(frozen=True, kw_only=True)
class TwoLayerMixtureConfig(MixtureTrainingConfig):
    """A two-layer network on a Gaussian mixture: f = A act(W Y + b) + c and a loss of it.

    The default is XOR: two pairs of opposite means, one pair for each label. The training leaves
    a saddle; an outlier below the bulk of a hidden unit joins it, one above splits in two.

    Attributes:
        mixture: the law of the data.
        activation: of the hidden units.
        loss: of the output: binary cross-entropy of a logit, squared error of a number, or
            softmax cross-entropy of a logit for each label.
        second_layer: A, its initial weights, one for each hidden unit; rows of them, one for each
            label, if the loss is softmax.
        hidden_bias: b, its initial values, one for each hidden unit; empty for none.
        output_bias: c, one initial value for each output; empty for none.
        second_layer_rate: learning rate of second layer and biases relative to the first layer's;
            0 keeps them.
        scale: the initial directions of the hidden units are start + scale * N(0, I/d).
        start: first coordinates of each direction's mean; empty for mean 0.
    """

    system: ClassVar[str] = "two-layer-mixture"

    mixture: MixtureConfig = XOR
    activation: ActivationName = "gelu"
    loss: Literal["binary-cross-entropy", "squared", "softmax"] = "binary-cross-entropy"
    second_layer: tuple[float, ...] | tuple[tuple[float, ...], ...] = (1.5, -1.5, 1.5, -1.5)
    hidden_bias: tuple[float, ...] = ()
    output_bias: tuple[float, ...] = ()
    second_layer_rate: float = 0.0
    scale: float = 0.3
    start: tuple[tuple[float, ...], ...] = _START
    time: float = 10.0
    optimiser: OptimiserConfig = _OPTIMISER
    probe: ProbeConfig = _PROBE

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least("scale", self.scale, 0)
        for name in ("second_layer", "hidden_bias", "output_bias"):
            rows = getattr(self, name)
            numbers = [x for row in rows for x in (row if isinstance(row, Sequence) else [row])]
            if not all(map(math.isfinite, numbers)):
                raise ValueError(f"{name}: expected finite numbers, got {getattr(self, name)}")
        self.optimiser.algorithm(self.second_layer_rate)
        classes = len(self.second_layer) if self.loss == "softmax" else 2
        if self.loss != "squared" and not set(self.mixture.labels) <= set(range(classes)):
            expected = "0 and 1" if classes == 2 else f"0 to {classes - 1}"
            raise ValueError(f"mixture.labels: expected {expected}, got {self.mixture.labels}")

    @classmethod
    def shown(cls, quick: bool) -> Self:
        """The default run with more of the smallest eigenvalues, or that in fewer dimensions."""
        probe = ProbeConfig(draws=8, smallest=5)
        return cls(dimension=200, epochs=3, probe=probe) if quick else cls(probe=probe)

    def build(self, generator: "torch.Generator") -> "System":
        """The system, with one block for each hidden unit and, rarely, the whole first layer."""
        import torch

        from ...models.two_layer import TwoLayerNetwork
        from ...probes.curvature.block import Block
        from ...theory.mixture.mixture_theory import MixtureTheory
        from .mixture_training import mixture_system

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
            self.loss,
            self.hidden_bias,
            self.output_bias,
        )
        first_layer = (model.direction_name,)
        return mixture_system(
            self,
            model,
            loss=model.head.criterion,
            theory=MixtureTheory(
                law,
                model.head,
                self.aspect_ratio,
                sgd=self.optimiser.algorithm(self.second_layer_rate),
            ),
            blocks=tuple(
                Block(f"unit {row}", first_layer, (row,)) for row in range(model.head.directions)
            ),
            rare_blocks=(Block("first layer", first_layer),),
            relative_rates=dict.fromkeys(model.head_parameter_names, self.second_layer_rate),
        )
