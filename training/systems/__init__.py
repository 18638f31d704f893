"""Systems: each joins a law of data, a model, its statistics and its theory; one file each."""

from __future__ import annotations

from importlib import import_module

from ..config import TrainingConfig
from .kernel import KernelConfig
from .linear import LinearConfig
from .logistic_mixture import LogisticMixtureConfig
from .softmax_mixture import SoftmaxMixtureConfig
from .two_layer_mixture import TwoLayerMixtureConfig

__all__ = [
    "SYSTEMS",
    "KernelConfig",
    "LinearConfig",
    "LogisticMixtureConfig",
    "SoftmaxMixtureConfig",
    "TwoLayerMixtureConfig",
]

# To add a system: a line here, the file of its configuration and the name of it there.
_CONFIGS = (
    "softmax_mixture.SoftmaxMixtureConfig",
    "logistic_mixture.LogisticMixtureConfig",
    "two_layer_mixture.TwoLayerMixtureConfig",
    "linear.LinearConfig",
    "kernel.KernelConfig",
    "spiked_matrix_tensor.SpikedMatrixTensorConfig",
    "low_rank.LowRankConfig",
    "phase_retrieval.PhaseRetrievalConfig",
    "flat_minima.FlatMinimaConfig",
)


def _config(home: str) -> type[TrainingConfig]:
    module, _, name = home.rpartition(".")
    config: type[TrainingConfig] = getattr(import_module(f".{module}", __name__), name)
    return config


SYSTEMS: dict[str, type[TrainingConfig]] = {
    config.system: config for config in map(_config, _CONFIGS)
}
