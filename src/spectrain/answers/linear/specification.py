"""Specifications of linear models: keys and values of `spectrain predict` and `dynamics`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

import numpy as np

from ...theory.linear.algorithm import Algorithm, AlgorithmName
from ...theory.linear.number_range import TINY, require_range
from ...theory.linear.problem import LinearProblem
from ..values import (
    Specification,
    Table,
    choice,
    integer,
    list_of,
    nonnegative,
    nullable,
    positive,
    refusal,
)

__all__ = ["CurvesSpecification", "RidgeSpecification", "read_dynamics", "read_prediction"]

_PREDICTION_KEYS = ("ridge", "spikes")
_DYNAMICS_KEYS = (
    "algorithm",
    "learning_rate",
    "batch_size",
    "weight_decay",
    "schedule",
    "times",
)
_NONE: tuple[float, ...] = ()
_CONSTANT: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class RidgeSpecification:
    """What `spectrain predict` is asked of a linear model.

    Attributes:
        problem: its losses; spikes are among its eigenvalues, without target.
        bulk: the same without the spikes.
        spikes: further eigenvalues of the covariance, one each.
        ridge: lam.
    """

    problem: LinearProblem
    bulk: LinearProblem
    spikes: tuple[float, ...]
    ridge: float


@dataclass(frozen=True)
class CurvesSpecification:
    """What `spectrain dynamics` is asked of a linear model.

    Attributes:
        problem: what is learnt.
        algorithm: how.
        times: steps, or times of the flow.
    """

    problem: LinearProblem
    algorithm: Algorithm
    times: tuple[float, ...]


def read_prediction(content: Mapping[str, object]) -> RidgeSpecification:
    """Check a specification for `spectrain predict`.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    keys = Specification(content)
    bulk = _problem(keys)
    spikes = keys.optional("spikes", list_of(positive), _NONE)
    require_range("spikes", spikes, TINY)
    ridge = keys.optional("ridge", nonnegative, 0.0)
    keys.finish(ignoring=_DYNAMICS_KEYS)
    s = np.array(spikes)
    problem = LinearProblem(
        np.concatenate([bulk.spectrum, s]),
        np.concatenate([bulk.target, 0 * s]),
        np.concatenate([bulk.multiplicity, 0 * s + 1]),
        test_spectrum=np.concatenate([bulk.test_spectrum, s]),
        noise=bulk.noise,
        samples=bulk.samples,
        features=bulk.features,
    )
    return RidgeSpecification(problem, bulk, spikes, ridge)


def read_dynamics(content: Mapping[str, object]) -> CurvesSpecification:
    """Check a specification for `spectrain dynamics`.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    keys = Specification(content)
    problem = _problem(keys)
    algorithm = Algorithm(
        cast(AlgorithmName, keys.required("algorithm", choice(*get_args(AlgorithmName)))),
        keys.optional("learning_rate", nullable(positive), None),
        keys.optional("batch_size", nullable(integer(1)), None),
        keys.optional("weight_decay", nonnegative, 0.0),
        keys.optional("schedule", _schedule, _CONSTANT),
    )
    times = keys.required("times", list_of(nonnegative, least=1))
    keys.finish(ignoring=_PREDICTION_KEYS)
    return CurvesSpecification(problem, algorithm, times)


def _problem(keys: Table) -> LinearProblem:
    spectrum = keys.required("spectrum", list_of(nonnegative, least=1))
    multiplicity = keys.optional("multiplicity", list_of(positive, least=1), _NONE)
    target = keys.required("target", list_of(nonnegative, least=1))
    tested = keys.optional("test_spectrum", list_of(nonnegative, least=1), _NONE)
    samples = keys.optional("samples", nullable(integer(1)), None)
    features = keys.optional("features", nullable(integer(1)), None)
    noise = keys.optional("noise", nonnegative, 0.0)
    return LinearProblem(
        np.array(spectrum),
        np.array(target),
        np.array(multiplicity),
        test_spectrum=np.array(tested),
        noise=noise,
        samples=math.inf if samples is None else float(samples),
        features=math.inf if features is None else float(features),
    )


def _schedule(key: str, value: object) -> tuple[tuple[float, float], ...]:
    """A list of [step, factor] by increasing step."""
    entries = list_of(_entry)(key, value)
    if any(later <= earlier for (earlier, _), (later, _) in itertools.pairwise(entries)):
        raise refusal(key, "increasing steps", value)
    return entries


def _entry(key: str, value: object) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise refusal(key, "a pair [step, factor]", value)
    return float(integer(0)(f"{key}[0]", value[0])), nonnegative(f"{key}[1]", value[1])
