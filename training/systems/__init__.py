"""Systems: each joins a law of data, a model, its statistics and its theory; one file each."""

from __future__ import annotations

from ..config import TrainingConfig
from .logistic_mixture import LogisticMixtureConfig
from .softmax_mixture import SoftmaxMixtureConfig
from .two_layer_mixture import TwoLayerMixtureConfig

__all__ = ["SYSTEMS", "LogisticMixtureConfig", "SoftmaxMixtureConfig", "TwoLayerMixtureConfig"]

_CONFIGS: tuple[type[TrainingConfig], ...] = (
    SoftmaxMixtureConfig,
    LogisticMixtureConfig,
    TwoLayerMixtureConfig,
)

SYSTEMS = {config.system: config for config in _CONFIGS}
