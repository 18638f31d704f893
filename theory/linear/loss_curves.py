"""The predicted losses along time, split into what causes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from ...models.arguments import require_arguments
from ..spectrum import FloatArray
from .algorithm import Algorithm
from .curves import Losses, Prepared
from .finite_size import finite_size
from .number_range import require_range
from .problem import LinearProblem
from .shuffling import shuffled
from .stability import critical_learning_rate

__all__ = ["PARTS", "LossCurves", "loss_curves"]

PARTS = ("bias", "finite_width", "finite_samples", "label_noise", "sgd_noise")


@dataclass(frozen=True)
class LossCurves:
    """Losses at T times and their split.

    Attributes:
        times: (T,) steps; the time of the flow.
        train: (T,) mean square of the training residuals without 1/2, label noise included; of the
            next batch if there is no training set.
        test: (T,) mean square under the test covariance without 1/2, label noise not included.
        parts: by name in the order of `PARTS`: each is the difference that its cause makes after
            those before it; they sum to the losses, and those of the train loss may be negative.
        error: (T,) estimated numerical error of both losses.
        finite_size: (T,) order of the relative correction of a single problem, see `finite_size`.
        critical_learning_rate: beyond it the loss grows; None for the flow. For shuffled passes
            that of batches drawn with replacement, an approximation.
        approximate: whether the theory itself is an approximation in the limit (shuffled passes).
    """

    times: FloatArray = field(metadata={"unit": "steps, or time of the flow"})
    train: FloatArray = field(metadata={"unit": "squared output"})
    test: FloatArray = field(metadata={"unit": "squared output"})
    parts: dict[str, Losses] = field(metadata={"unit": "squared output"})
    error: FloatArray = field(metadata={"unit": "squared output"})
    finite_size: FloatArray = field(metadata={"unit": "1"})
    critical_learning_rate: float | None = field(metadata={"unit": "1 / squared feature"})
    approximate: bool = field(metadata={"unit": "none"})


def loss_curves(
    problem: LinearProblem, algorithm: Algorithm, times: Sequence[float] | FloatArray
) -> LossCurves:
    """Predict train and test loss.

    Args:
        problem: a linear regression.
        algorithm: how it is trained from v = 0.
        times: whole steps, or times of the flow, in any order.

    Raises:
        ValueError: naming the argument that is out of its range, or if the loss leaves the number
            range before the last time.
    """
    require_arguments(loss_curves, locals())
    asked = _times(algorithm, times)
    _check_samples(problem, algorithm)
    at, back = np.unique(asked, return_inverse=True)
    critical = critical_learning_rate(problem, algorithm)
    parts: dict[str, Losses] = {}
    with np.errstate(over="ignore", invalid="ignore"), suppress(OverflowError):
        parts, error = _parts(problem, algorithm, at)
    if not (parts and all(np.isfinite([p.train, p.test]).all() for p in parts.values())):
        if critical is None:
            raise ValueError(f"times: expected a finite loss up to {at[-1]:g}, got none")
        raise ValueError(
            f"learning_rate: expected a loss that stays within the number range up to step "
            f"{at[-1]:g}, got one that leaves it (the critical rate is {critical:.6g})"
        )
    parts = {name: Losses(part.train[back], part.test[back]) for name, part in parts.items()}
    clocks = np.array([algorithm.clock(time) for time in asked])
    ridges = problem_ridges(clocks, problem) + algorithm.weight_decay
    train, test = (
        sum(getattr(part, kind) for part in parts.values()) for kind in ("train", "test")
    )
    return LossCurves(
        asked,
        np.asarray(train),
        np.asarray(test),
        parts,
        error[back],
        finite_size(problem, ridges),
        critical,
        algorithm.name == "shuffled",
    )


def problem_ridges(clocks: FloatArray, problem: LinearProblem) -> FloatArray:
    """1 / (sum of eta), the ridge that early stopping acts like; at most the largest eigenvalue."""
    top = float(problem.spectrum.max())
    return 1 / np.maximum(clocks, 1 / top)


def _parts(
    problem: LinearProblem, algorithm: Algorithm, times: FloatArray
) -> tuple[dict[str, Losses], FloatArray]:
    """The split at increasing times, and the numerical error of the losses of the mean weights."""
    last = float(times[-1])
    mean = _without_batches(algorithm)
    causes: list[Losses] = []
    before: tuple[LinearProblem, Prepared, tuple[Losses, Losses]] | None = None
    for stage in (
        replace(problem, samples=math.inf, features=math.inf),
        replace(problem, samples=math.inf),
        problem,
    ):
        if before is None or (stage.samples, stage.features) != (
            before[0].samples,
            before[0].features,
        ):
            prepared = Prepared(stage, mean, last)
            before = stage, prepared, prepared.mean(times)
        causes.append(before[2][0])
    assert before is not None
    signal, label = before[2]
    causes.append(Losses(signal.train + label.train, signal.test + label.test))
    causes.append(
        causes[-1] if not algorithm.stochastic else _with_batches(problem, algorithm, times)
    )
    nothing = Losses(np.zeros(len(times)), np.zeros(len(times)))
    parts = {
        name: now - then for name, now, then in zip(PARTS, causes, [nothing, *causes], strict=False)
    }
    error = before[1].error(times)
    # What the train loss drives inherits its relative error.
    relative = before[1].error(np.zeros(1)) / (problem.signal + problem.noise or 1.0)
    driven = parts["sgd_noise"]
    return parts, error + relative * np.maximum(np.abs(driven.train), np.abs(driven.test))


def _with_batches(problem: LinearProblem, algorithm: Algorithm, times: FloatArray) -> Losses:
    prepared = Prepared(problem, algorithm, float(times[-1]))
    if algorithm.name != "shuffled":
        return prepared.stochastic(times)
    matched = Prepared(problem.matched(), algorithm, float(times[-1]))
    return shuffled(prepared, matched, times)


def _without_batches(algorithm: Algorithm) -> Algorithm:
    if not algorithm.stochastic:
        return algorithm
    return replace(algorithm, name="gd", batch_size=None)


def _times(algorithm: Algorithm, times: Sequence[float] | FloatArray) -> FloatArray:
    asked = np.atleast_1d(np.array(times, dtype=np.float64))
    if asked.ndim != 1 or not len(asked):
        raise ValueError(f"times: expected a list of at least one time, got shape {asked.shape}")
    if not np.isfinite(asked).all() or (asked < 0).any():
        raise ValueError(f"times: expected finite numbers of at least 0, got {asked.tolist()}")
    require_range("times", asked)
    if algorithm.name != "flow" and (asked != np.floor(asked)).any():
        raise ValueError(f"times: expected whole steps for {algorithm.name}, got {asked.tolist()}")
    return asked


def _check_samples(problem: LinearProblem, algorithm: Algorithm) -> None:
    samples = problem.samples
    if algorithm.name == "one-pass" and math.isfinite(samples):
        raise ValueError(f"samples: expected none for one-pass, got {samples:g}")
    if algorithm.name in ("sgd", "shuffled") and math.isinf(samples):
        raise ValueError(f"samples: expected a number for {algorithm.name}, got none")
    size = algorithm.batch_size
    if algorithm.name == "shuffled" and size is not None and size > samples:
        raise ValueError(f"batch_size: expected at most the {samples:g} samples, got {size}")
