"""Arguments of the wrong kind, made from the signatures: each is refused by name and in words."""

import inspect
import math
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

import spectrain
from spectrain.models.arguments import require, require_arguments, require_whole
from spectrain.models.flat_minima.clusters import ClusterClassifier, ClusterLaw
from spectrain.models.heads import FunctionHead, MultiIndexHead, SoftmaxHead, TwoLayerHead
from spectrain.models.linear.kernel import KernelRegression
from spectrain.models.linear.law import LinearLaw
from spectrain.models.linear.regression import LinearRegression, RandomFeatures
from spectrain.models.low_rank.gaussian import GaussianMeasurements
from spectrain.models.low_rank.truth import random_matrix
from spectrain.models.mixture_law import MixtureLaw
from spectrain.models.phase_retrieval.loss import PhaseLoss
from spectrain.models.phase_retrieval.model import PhaseRetrieval
from spectrain.models.spiked.landscape import SpikedLandscape
from spectrain.models.spiked.sphere_descent import SphereDescent
from spectrain.probes.compat import hessian
from spectrain.probes.crosscheck import crosscheck
from spectrain.probes.curvature.head_curvature import HeadCurvature
from spectrain.probes.curvature.module_curvature import (
    CovarianceOperator,
    GaussNewtonOperator,
    HessianOperator,
    InformationOperator,
)
from spectrain.probes.flatness import FlatnessProfile
from spectrain.probes.krylov.eigenpairs import eigenpairs
from spectrain.probes.krylov.lanczos_quadrature import lanczos_quadrature
from spectrain.probes.krylov.trace import trace
from spectrain.probes.local_entropy import LocalEntropy
from spectrain.probes.records.record_file import read_records
from spectrain.theory.flat_minima.flat_theory import FlatMinimaTheory
from spectrain.theory.flat_minima.ridge import Clusters, ridge_solution
from spectrain.theory.linear.algorithm import Algorithm
from spectrain.theory.linear.power_law import PowerLaw
from spectrain.theory.linear.problem import LinearProblem
from spectrain.theory.linear.static import ridge_losses
from spectrain.theory.low_rank.low_rank_theory import LowRankTheory
from spectrain.theory.low_rank.problem import LowRankProblem
from spectrain.theory.low_rank.stages import Start
from spectrain.theory.mixture.dynamics import EffectiveDynamics
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.phase_retrieval.phase_theory import PhaseTheory
from spectrain.theory.spiked.complexity import complexity
from spectrain.theory.spiked.covariance import Covariance
from spectrain.theory.spiked.descent import descent_trajectory
from spectrain.theory.spiked.flow import flow_trajectory
from spectrain.theory.spiked.lines import lines
from spectrain.theory.spiked.signal_minimum import state_evolution
from spectrain.theory.spiked.spiked_theory import SpikedTheory
from spectrain.training.callbacks import ProgressBar
from spectrain.training.config import ProbeConfig
from spectrain.training.data import FixedData, FreshSamples
from spectrain.training.entropy_sgd import EntropySGD
from spectrain.training.replicated_sgd import ReplicatedSGD
from spectrain.training.systems import SYSTEMS
from spectrain.training.systems.linear_covariance import CovarianceConfig
from spectrain.training.systems.mixture_config import MixtureConfig, OptimiserConfig
from spectrain.views import figures
from spectrain.views.export import export

SOURCE = torch.Generator()
MODEL = nn.Linear(2, 2)
BATCH = torch.ones(3, 2), torch.zeros(3, dtype=torch.int64)
LAW = spectrain.GaussianMixture(torch.eye(2), (0.5, 0.5), (0, 1), 2.0)
OPERATOR = HeadCurvature(torch.eye(2), torch.ones(1, 2, 1, 1))
CLUSTERS = Clusters(noise=1.0)
COVARIANCE = Covariance(0.5, None)
PROBLEM = LowRankProblem(4, (1.0,), 8)
LINEAR = LinearProblem(np.ones(2), np.ones(2))
THEORY = spectrain.MixtureTheory(LAW, SoftmaxHead(2), 2.0)
STATISTICS = THEORY.statistics(spectrain.SoftmaxRegression(2, 2))
OPERATORS = (HessianOperator, GaussNewtonOperator, InformationOperator, CovarianceOperator)

# Every public callable, with what it needs besides its defaults.
PUBLIC = {
    spectrain.Block: {"name": "all"},
    spectrain.ConsoleSink: {},
    spectrain.GaussianMixture: {
        "means": torch.eye(2),
        "weights": (0.5, 0.5),
        "labels": (0, 1),
        "snr": 2.0,
    },
    spectrain.LogisticRegression: {"dimension": 4},
    spectrain.Measurement: {},
    spectrain.MixtureTheory: {"mixture": LAW, "head": SoftmaxHead(2), "aspect_ratio": 2.0},
    spectrain.RecordFile: {"path": "records.jsonl"},
    spectrain.SGD: {"scaled_learning_rate": 1.0},
    spectrain.SoftmaxRegression: {"dimension": 4, "classes": 2},
    spectrain.SpectralProbe: {"model": MODEL, "loss": nn.CrossEntropyLoss(), "sample": BATCH},
    spectrain.TensorBoardSink: {"directory": "folder"},
    spectrain.TwoLayerNetwork: {"dimension": 4, "second_layer": (1.0, 1.0)},
    spectrain.WandbSink: {},
    spectrain.WeightedMean: {"function": nn.CrossEntropyLoss()},
    spectrain.fit: {
        "model": MODEL,
        "loss": nn.CrossEntropyLoss(),
        "data": [BATCH],
        "optimiser": torch.optim.SGD(MODEL.parameters()),
        "epochs": 1,
        "steps_per_epoch": 1,
    },
    spectrain.load: {"run": "folder"},
    spectrain.run: {"config": spectrain.SoftmaxMixtureConfig(), "folder": "folder"},
    **{config: {} for config in SYSTEMS.values()},
    **{
        kind: {"model": MODEL, "loss": nn.MSELoss(), "data": BATCH, "block": spectrain.Block("all")}
        for kind in OPERATORS
    },
    Algorithm: {},
    ClusterClassifier: {"dimension": 2},
    ClusterLaw: {"mean": torch.ones(2), "noise": 1.0},
    Clusters: {"noise": 1.0},
    Covariance: {"matrix_noise": 0.5, "tensor_noise": None},
    CovarianceConfig: {},
    EffectiveDynamics: {
        "head": SoftmaxHead(2),
        "law": THEORY.law,
        "sgd": spectrain.SGD(1.0),
        "initial": STATISTICS,
    },
    EffectiveSpectrum: {
        "head": SoftmaxHead(2),
        "statistics": STATISTICS,
        "law": THEORY.law,
        "aspect_ratio": 2.0,
    },
    EntropySGD: {"params": [torch.ones(1, requires_grad=True)]},
    FixedData: {
        "inputs": torch.ones(4, 1),
        "targets": torch.ones(4),
        "batch_size": 2,
        "generator": SOURCE,
    },
    FlatMinimaTheory: {"clusters": CLUSTERS, "mean": torch.ones(2), "perturbations": (0.5,)},
    FlatnessProfile: {},
    FreshSamples: {"draw": lambda n, g: BATCH, "batch_size": 1, "generator": SOURCE},
    FunctionHead: {"ell": lambda h, v, y: h, "directions": 1},
    GaussianMeasurements: {"size": 2, "count": 3, "generator": SOURCE},
    HeadCurvature: {"inputs": torch.eye(2), "factors": torch.ones(1, 2, 1, 1)},
    KernelRegression: {"kernel": lambda x, y: x @ y.T, "points": torch.eye(2)},
    LinearLaw: {"covariance": torch.eye(2), "target": torch.ones(2)},
    LinearProblem: {"spectrum": np.ones(2), "target": np.ones(2)},
    LinearRegression: {"dimension": 2},
    LocalEntropy: {"inverse_temperature": 1.0, "stiffness": 1.0},
    LowRankProblem: {"size": 4, "eigenvalues": (1.0,), "measurements": 8},
    LowRankTheory: {
        "problem": PROBLEM,
        "start": Start(1, 0.1, 0.1),
        "truth": random_matrix(4, (1.0,), SOURCE),
    },
    MixtureConfig: {"means": ((1.0,), (0.0,)), "weights": (0.5, 0.5), "labels": (0, 1), "snr": 1.0},
    MixtureLaw: {"weights": np.ones(1), "labels": np.zeros(1, np.int64), "snr": 1.0},
    MultiIndexHead: {"directions": 1, "teacher_second_layer": (1.0,)},
    OptimiserConfig: {},
    PhaseLoss: {},
    PhaseRetrieval: {"start": torch.ones(2)},
    PhaseTheory: {"loss": PhaseLoss(), "signal": torch.ones(2)},
    PowerLaw: {"exponent": 1.5, "target_exponent": 0.5, "dimension": 10},
    ProbeConfig: {},
    ProgressBar: {"steps": 1, "description": "x"},
    RandomFeatures: {"dimension": 2, "features": 2, "generator": SOURCE},
    ReplicatedSGD: {"params": [torch.ones(1, requires_grad=True)]},
    SoftmaxHead: {"directions": 2},
    SphereDescent: {"params": [torch.ones(1)], "lr": 0.1},
    SpikedLandscape: {
        "signal": torch.ones(3),
        "matrix_noise": 0.5,
        "tensor_noise": None,
        "generator": SOURCE,
    },
    SpikedTheory: {"landscape": SpikedLandscape(torch.ones(3), 0.5, None, SOURCE)},
    Start: {"factors": 1, "scale": 0.1, "learning_rate": 0.1},
    TwoLayerHead: {"directions": 2},
    complexity: {"covariance": COVARIANCE, "overlap": 0.0, "multiplier": 1.0},
    crosscheck: {
        "model": MODEL,
        "loss": nn.CrossEntropyLoss(),
        "inputs": BATCH[0],
        "targets": BATCH[1],
        "generator": SOURCE,
    },
    descent_trajectory: {
        "covariance": COVARIANCE,
        "initial_overlap": 0.1,
        "learning_rate": 0.1,
        "steps": (1,),
    },
    eigenpairs: {"operator": OPERATOR, "largest": 1, "generator": SOURCE},
    export: {"run": spectrain.Run({}, ()), "path": Path("x"), "form": "csv"},
    flow_trajectory: {"covariance": COVARIANCE, "initial_overlap": 0.1, "times": (0.1,)},
    hessian: {"model": MODEL, "criterion": nn.CrossEntropyLoss(), "data": BATCH, "cuda": False},
    lanczos_quadrature: {"operator": OPERATOR, "starts": 1, "steps": 1, "generator": SOURCE},
    lines: {"tensor_noise": 1.0},
    random_matrix: {"size": 2, "eigenvalues": (1.0,), "generator": SOURCE},
    read_records: {"path": "x"},
    ridge_losses: {"problem": LINEAR},
    ridge_solution: {"clusters": CLUSTERS, "samples_per_dimension": 1.0, "ridge": 0.1},
    state_evolution: {"covariance": COVARIANCE, "overlap": 0.1, "iterations": 1},
    trace: {"operator": OPERATOR, "products": 4, "generator": SOURCE},
    **{
        getattr(figures, name): {"records": ()}
        for name in ("dynamic_transitions", "overlaps", "quantities", "spectra")
    },
    figures.gram_entries: {"records": (), "dimension": None},
}

# Wrong values by what stands in an annotation; of unions those wrong for each part.
NAN = math.nan
WRONG = {
    "int": [2.5, NAN, "3", [3], True, None, {}],
    "float": ["0.5", [0.5], NAN, True, None, {}],
    "bool": [1, "yes", 0.0, [True], None],
    "str": [3, 2.5, ["a"], None, {}],
    "tuple[int": [3, "12", None, {1: 2}, (1.5,), ("1",), (None,)],
    "tuple[float": [3.0, "12", None, {1: 2}, ("1",), (None,), ((1.0,),)],
    "tuple[str": ["weight", 3, None, (3,), (None,)],
    "Sequence[": [3, "text", None],
    "Collection[int": [3, "text", None, (1.5,)],
    "Literal": ["nonsense", 3, None, ["gelu"]],
    "Generator": [3, "text", None],
    "Tensor": ["text", None, 3],
    "Callable": ["text", 3, None],
    "dtype": ["float32", 3, None],
    "Mapping": ["text", 3, [1], None],
    "Block": ["all", 3, None],
    "Measurement": ["text", 3, {}, None],
    "nn.Module": ["text", 3, None],
    "PathLike": [3, 2.5, ["x"], None],
    "Path": [3, 2.5, ["x"], None],
    "Config": [3, "text", [1], {}, None],
    "Covariance": [3, "text", None],
    "Clusters": [3, "text", None],
}


def wrong_values(annotation):
    """Of a parameter, from the text of its annotation; nothing where that says too little."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    optional = re.search(r"\bNone\b", text) is not None
    kinds = [kind for kind in WRONG if re.search(rf"(?<![\w.]){re.escape(kind)}", text)]
    if "|" in re.sub(r"\[[^]]*\]", "", text.replace("| None", "")):
        return []  # several kinds: the cases by hand
    outer = [kind for kind in kinds if text.startswith((kind, f"torch.{kind}", f"typing.{kind}"))]
    if not outer:
        return []
    found = WRONG[max(outer, key=len)]
    if text.startswith("tuple[tuple"):
        found = [3, "12", (3,), ("1",), None]
    return [value for value in found if not (optional and value is None)]


def cases(function):
    """(name, value) of every argument and each value that is wrong for it."""
    for name, each in inspect.signature(function).parameters.items():
        yield from ((name, value) for value in wrong_values(each.annotation))


def test_there_are_cases_enough():
    for function, given in PUBLIC.items():
        parameters = inspect.signature(function).parameters.values()
        needed = {each.name for each in parameters if each.default is each.empty}
        assert needed <= set(given), function
    assert sum(len(list(cases(function))) for function in PUBLIC) >= 1500


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__name__)
def test_what_is_of_another_kind_is_refused_by_name(function, tmp_path, monkeypatch):
    """Before anything is written."""
    monkeypatch.chdir(tmp_path)
    wrong = []
    for name, value in cases(function):
        try:
            function(**{**PUBLIC[function], name: value})
            told = "nothing"
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
        if not re.match(rf"ValueError: [^:]*\b{name}\b.*: expected .*, got ", told, re.DOTALL):
            wrong.append(f"{name}={value!r}: {told}")
    assert not wrong, "\n".join(wrong)
    assert not list(tmp_path.iterdir())


# Of the right kind, but no number that a size or a rate can have; with those that may be.
BEYOND = {"int": [-1], "float": [math.inf, -math.inf]}
UNBOUNDED = {"samples", "features"}  # of a `LinearProblem`: none is lacking


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__name__)
def test_what_is_beyond_all_ranges_is_refused(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = []
    for name, each in inspect.signature(function).parameters.items():
        kind = getattr(each.annotation, "__name__", str(each.annotation)).split(" |")[0]
        for value in () if name in UNBOUNDED else BEYOND.get(kind, ()):
            try:
                function(**{**PUBLIC[function], name: value})
                told = "nothing"
            except Exception as error:
                told = f"{type(error).__name__}: {error}"
            if not re.match(rf"ValueError: [^:]*\b{name}\b.*: expected .*, got ", told, re.DOTALL):
                wrong.append(f"{name}={value!r}: {told}")
    assert not wrong, "\n".join(wrong)
    assert not list(tmp_path.iterdir())


def test_names_that_would_share_a_tag_are_refused():
    blocks = [spectrain.Block("a b", ("weight",)), spectrain.Block("a_b", ("bias",))]
    with pytest.raises(ValueError, match=r"blocks: expected names that differ in tags, got"):
        spectrain.SpectralProbe(MODEL, nn.CrossEntropyLoss(), BATCH, blocks=blocks)


def test_annotations_are_taken_as_they_are_meant():
    def function(whole: "int", real: float = math.nan, some: tuple[int, ...] = (), end: Any = None):
        require_arguments(function, locals())

    function(np.int64(3), np.float32(0.5), [1, 2])
    function(1)  # a default is let through
    function(1, 2)  # a whole number is real
    for arguments, message in [
        ((True,), "whole: expected a whole number, got True"),
        ((1, "0.5"), "real: expected a number, got '0.5'"),
        ((1, 0.5, "12"), "some: expected a list of whole numbers, got '12'"),
        ((1, 0.5, (1, None)), "some: expected a list of whole numbers, got (1, None)"),
        ((MODEL,), "whole: expected a whole number, got Linear"),
    ]:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            function(*arguments)
    require("sink", spectrain.ConsoleSink(), spectrain.Sink)
    with pytest.raises(ValueError, match="sink: expected a Sink, got Linear"):
        require("sink", MODEL, spectrain.Sink)
    with pytest.raises(ValueError, match=r"sink: expected a Sink, got <class .*ConsoleSink'>"):
        require("sink", spectrain.ConsoleSink, spectrain.Sink)
    with pytest.raises(ValueError, match=r"x: expected 'a' or 1, got True"):
        require("x", True, Literal["a", 1])
    with pytest.raises(ValueError, match="n: expected a whole number of at least 2, got 1"):
        require_whole("n", 1, 2)
