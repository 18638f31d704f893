"""A two-layer network: one output or several, with or without biases."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .arguments import require_arguments
from .heads.activations import Activation
from .heads.losses import LossName
from .heads.two_layer_head import TwoLayerHead
from .initial_directions import initial_directions

__all__ = ["TwoLayerNetwork"]


class TwoLayerNetwork(nn.Module):
    """Output f = A act(W Y + b) + c;  rows of W are the hidden units' directions x_a.

    Args:
        dimension: d, the number of input features.
        second_layer: A, its initial weights: K numbers for one output, or a row of K numbers for
            each class if the loss is softmax. K is the width.
        activation: of the hidden units.
        scale: rows of W start as start + scale * N(0, I/d).
        generator: source of the initial weights; needed unless scale is 0.
        dtype: of the weights.
        device: of the weights.
        start: first coordinates of the mean of each row of W; none for mean 0.
        loss: what the network is trained with: it says what the output means.
        hidden_bias: b, its K initial values; empty for no such parameter.
        output_bias: c, one initial value for each output; empty for no such parameter.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    direction_name = "weight"

    def __init__(
        self,
        dimension: int,
        second_layer: Sequence[float] | Sequence[Sequence[float]],
        activation: Activation = "gelu",
        scale: float = 0.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        start: Sequence[Sequence[float]] = (),
        loss: LossName = "binary-cross-entropy",
        hidden_bias: Sequence[float] = (),
        output_bias: Sequence[float] = (),
    ) -> None:
        require_arguments(TwoLayerNetwork.__init__, locals())
        super().__init__()
        initial = {
            "second_layer": _second_layer(second_layer, loss, dtype, device),
            "hidden_bias": torch.tensor(hidden_bias, dtype=dtype, device=device),
            "output_bias": torch.tensor(output_bias, dtype=dtype, device=device),
        }
        width = initial["second_layer"].shape[-1]
        outputs = len(initial["second_layer"]) if loss == "softmax" else 1
        for name, size in (("hidden_bias", width), ("output_bias", outputs)):
            if initial[name].shape not in ((0,), (size,)):
                raise ValueError(
                    f"{name}: expected none or {size} numbers, got {len(initial[name])}"
                )
        self.head = TwoLayerHead(
            width, activation, loss, outputs, bool(hidden_bias), bool(output_bias)
        )
        self.weight = nn.Parameter(
            initial_directions(width, dimension, scale, generator, dtype, device, start)
        )
        # In the order of v.
        self.head_parameter_names = tuple(name for name, value in initial.items() if len(value))
        for name in self.head_parameter_names:
            self.register_parameter(name, nn.Parameter(initial[name]))

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (n, d) -> outputs (n,), or logits (n, classes) if the loss is softmax."""
        # Not get_parameter, which refuses the tensors that functional_call puts in their place.
        v = torch.cat([getattr(self, name).flatten() for name in self.head_parameter_names])
        outputs: Tensor = self.head.output(inputs @ self.weight.T, v)
        return outputs


def _second_layer(
    rows: Sequence[float] | Sequence[Sequence[float]],
    loss: LossName,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Tensor:
    """A, (K,) or (classes, K) for softmax."""
    axes = 2 if loss == "softmax" else 1
    expected = "a row of equal length for each class" if axes == 2 else "one number for each unit"
    try:
        weights = torch.tensor(rows, dtype=dtype, device=device)
    except (TypeError, ValueError) as error:
        raise ValueError(f"second_layer: expected {expected}, got {rows}") from error
    if weights.ndim != axes and weights.numel():
        raise ValueError(f"second_layer: expected {expected}, got {rows}")
    return weights
