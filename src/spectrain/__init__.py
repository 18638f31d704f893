"""spectrain: watch the spectrum while you train, beside what theory predicts."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .moved import MovedModules
from .probes.records.folder import SINKS_OF_A_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from .models.logistic_regression import LogisticRegression
    from .models.mixture import GaussianMixture
    from .models.softmax_regression import SoftmaxRegression
    from .models.two_layer import TwoLayerNetwork
    from .probes.batch_sharpness import BatchSharpness
    from .probes.budget import Budget
    from .probes.curvature.block import Block
    from .probes.curvature.weighted_mean import WeightedMean
    from .probes.layer_table import LayerTable
    from .probes.measurement import Measurement
    from .probes.probe import SpectralProbe
    from .probes.records.record import Record
    from .probes.records.record_file import RecordFile, Run, load
    from .probes.records.sink import Sink
    from .probes.schedules import AtSteps, EveryEpochs, EverySteps, Logarithmic
    from .probes.triggers import LossSpike, SharpnessCrossing, TransitionNear
    from .probes.within_share import WithinShare
    from .theory.mixture.dynamics import SGD
    from .theory.mixture.mixture_theory import MixtureTheory
    from .training.integrations.attach import attach
    from .training.loop import fit
    from .training.run import run
    from .training.systems import LogisticMixtureConfig, SoftmaxMixtureConfig, TwoLayerMixtureConfig
    from .views.sinks.console import ConsoleSink
    from .views.sinks.tensorboard import TensorBoardSink
    from .views.sinks.wandb import WandbSink

# Where each name lives: it is imported at its first use, since torch takes seconds to import.
_HOMES = {
    "SGD": "theory.mixture.dynamics",
    "AtSteps": "probes.schedules",
    "BatchSharpness": "probes.batch_sharpness",
    "Block": "probes.curvature.block",
    "Budget": "probes.budget",
    "ConsoleSink": "views.sinks.console",
    "EveryEpochs": "probes.schedules",
    "EverySteps": "probes.schedules",
    "GaussianMixture": "models.mixture",
    "LayerTable": "probes.layer_table",
    "Logarithmic": "probes.schedules",
    "LogisticMixtureConfig": "training.systems",
    "LogisticRegression": "models.logistic_regression",
    "LossSpike": "probes.triggers",
    "Measurement": "probes.measurement",
    "MixtureTheory": "theory.mixture.mixture_theory",
    "Record": "probes.records.record",
    "RecordFile": "probes.records.record_file",
    "Run": "probes.records.record_file",
    "SharpnessCrossing": "probes.triggers",
    "Sink": "probes.records.sink",
    "SoftmaxMixtureConfig": "training.systems",
    "SoftmaxRegression": "models.softmax_regression",
    "SpectralProbe": "probes.probe",
    "TensorBoardSink": "views.sinks.tensorboard",
    "TransitionNear": "probes.triggers",
    "TwoLayerMixtureConfig": "training.systems",
    "TwoLayerNetwork": "models.two_layer",
    "WandbSink": "views.sinks.wandb",
    "WeightedMean": "probes.curvature.weighted_mean",
    "WithinShare": "probes.within_share",
    "attach": "training.integrations.attach",
    "fit": "training.loop",
    "load": "probes.records.record_file",
    "run": "training.run",
}

__all__ = [
    "SGD",
    "AtSteps",
    "BatchSharpness",
    "Block",
    "Budget",
    "ConsoleSink",
    "EveryEpochs",
    "EverySteps",
    "GaussianMixture",
    "LayerTable",
    "Logarithmic",
    "LogisticMixtureConfig",
    "LogisticRegression",
    "LossSpike",
    "Measurement",
    "MixtureTheory",
    "Record",
    "RecordFile",
    "Run",
    "SharpnessCrossing",
    "Sink",
    "SoftmaxMixtureConfig",
    "SoftmaxRegression",
    "SpectralProbe",
    "TensorBoardSink",
    "TransitionNear",
    "TwoLayerMixtureConfig",
    "TwoLayerNetwork",
    "WandbSink",
    "WeightedMean",
    "WithinShare",
    "__version__",
    "attach",
    "fit",
    "load",
    "run",
]


def _tensorboard(folder: Path, first_step: int | None) -> Sink:
    from .views.sinks.tensorboard import TensorBoardSink

    return TensorBoardSink(folder, first_step)


SINKS_OF_A_FOLDER.append(_tensorboard)
sys.meta_path.append(MovedModules())  # behind all others: it is asked for unknown names alone


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("spectrain")
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
