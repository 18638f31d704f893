"""Heads by name: what they are, those that come with the package, and their derivatives."""

from __future__ import annotations

from .activations import ACTIVATIONS, Activation
from .derivatives import (
    curvature_factors,
    gradient_factors,
    joint_curvature_factors,
    sample_classified,
    sample_losses,
)
from .function_head import FunctionHead
from .head import DifferentiatedHead, Head, HeadModel, ModelHead, OutputHead, require_labels
from .logistic_head import LogisticHead
from .losses import LOSSES, LossName
from .multi_index_head import MultiIndexHead
from .softmax_head import SoftmaxHead
from .two_layer_head import TwoLayerHead

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Activation",
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
