"""spectrain: watch the spectrum while you train, beside what theory predicts."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models.logistic_regression import LogisticRegression
    from .models.mixture import GaussianMixture
    from .models.softmax_regression import SoftmaxRegression
    from .models.two_layer import TwoLayerNetwork
    from .probes.block import Block
    from .probes.measurement import Measurement
    from .probes.probe import SpectralProbe
    from .probes.record import Record
    from .probes.record_file import RecordFile, Run, load
    from .probes.sink import Sink
    from .theory.dynamics import SGD
    from .theory.mixture_theory import MixtureTheory
    from .training.loop import fit
    from .training.run import run
    from .training.systems import (
        LogisticMixtureConfig,
        SoftmaxMixtureConfig,
        TwoLayerMixtureConfig,
    )
    from .views.console import ConsoleSink
    from .views.tensorboard import TensorBoardSink
    from .views.wandb import WandbSink

# Where each name lives: it is imported at its first use, since torch takes seconds to import.
_HOMES = {
    "SGD": "theory.dynamics",
    "Block": "probes.block",
    "ConsoleSink": "views.console",
    "GaussianMixture": "models.mixture",
    "LogisticMixtureConfig": "training.systems",
    "LogisticRegression": "models.logistic_regression",
    "Measurement": "probes.measurement",
    "MixtureTheory": "theory.mixture_theory",
    "Record": "probes.record",
    "RecordFile": "probes.record_file",
    "Run": "probes.record_file",
    "Sink": "probes.sink",
    "SoftmaxMixtureConfig": "training.systems",
    "SoftmaxRegression": "models.softmax_regression",
    "SpectralProbe": "probes.probe",
    "TensorBoardSink": "views.tensorboard",
    "TwoLayerMixtureConfig": "training.systems",
    "TwoLayerNetwork": "models.two_layer",
    "WandbSink": "views.wandb",
    "fit": "training.loop",
    "load": "probes.record_file",
    "run": "training.run",
}

__all__ = [
    "SGD",
    "Block",
    "ConsoleSink",
    "GaussianMixture",
    "LogisticMixtureConfig",
    "LogisticRegression",
    "Measurement",
    "MixtureTheory",
    "Record",
    "RecordFile",
    "Run",
    "Sink",
    "SoftmaxMixtureConfig",
    "SoftmaxRegression",
    "SpectralProbe",
    "TensorBoardSink",
    "TwoLayerMixtureConfig",
    "TwoLayerNetwork",
    "WandbSink",
    "__version__",
    "fit",
    "load",
    "run",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("spectrain")
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
