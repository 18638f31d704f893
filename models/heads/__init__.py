"""Heads by name: what they are, those that come with the package, and their derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .activations import ACTIVATIONS, Activation
from .derivatives import (
    curvature_factors,
    gradient_factors,
    joint_curvature_factors,
    sample_classified,
    sample_losses,
)
from .head import (
    ArrayHead,
    DifferentiatedHead,
    Head,
    HeadModel,
    ModelHead,
    OutputHead,
    require_labels,
)
from .logistic_head import LogisticHead
from .losses import LOSSES, LossName
from .multi_index_head import MultiIndexHead
from .softmax_head import SoftmaxHead
from .two_layer_head import TwoLayerHead

if TYPE_CHECKING:
    from .function_head import FunctionHead

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Activation",
    "ArrayHead",
    "DifferentiatedHead",
    "FunctionHead",
    "Head",
    "HeadModel",
    "LogisticHead",
    "LossName",
    "ModelHead",
    "MultiIndexHead",
    "OutputHead",
    "SoftmaxHead",
    "TwoLayerHead",
    "curvature_factors",
    "gradient_factors",
    "joint_curvature_factors",
    "require_labels",
    "sample_classified",
    "sample_losses",
]


def __getattr__(name: str) -> Any:
    if name == "FunctionHead":  # the one that needs torch, which takes seconds to import
        from .function_head import FunctionHead

        return FunctionHead
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
