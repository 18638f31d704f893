"""Specifications of a mixture: what is asked of its theory, read and checked.

Nothing here needs torch, so that bad input is refused at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from ...models.mixture_law import MixtureLaw
from ...theory.mixture.sgd import SGD
from ...theory.mixture.statistics import Statistics
from ..values import (
    Specification,
    Table,
    choice,
    integer,
    list_of,
    matrix,
    nonnegative,
    number,
    positive,
    refusal,
    schedule,
    table,
)
from .head_specification import HeadSpecification, read_head

__all__ = [
    "DynamicsSpecification",
    "PredictionSpecification",
    "Problem",
    "read_dynamics",
    "read_prediction",
]

_HEADS = {
    "softmax-mixture": "softmax",
    "logistic-mixture": "logistic",
    "two-layer-mixture": "two-layer",
}
_DENSITY_POINTS = 200
_MOST = 10_000  # of points, or of times
_PREDICTION_KEYS = ("matrix", "block", "density_points", "eigenvalues")
_DYNAMICS_KEYS = (
    "scaled_learning_rate",
    "second_layer_rate",
    "batch_size",
    "ridge",
    "momentum",
    "schedule",
    "times",
)


@dataclass(frozen=True)
class Problem:
    """A head on a Gaussian mixture at one value of the statistics.

    Attributes:
        head: the head.
        statistics: the Gram matrix and v.
        law: weights, labels and snr of the mixture.
        aspect_ratio: phi = n/d.
        dimension: d; None if only the limit is asked for.
    """

    head: HeadSpecification
    statistics: Statistics
    law: MixtureLaw
    aspect_ratio: float
    dimension: int | None


@dataclass(frozen=True)
class PredictionSpecification:
    """One spectrum that is asked for.

    Attributes:
        problem: the head, the mixture and the statistics.
        matrix: "hessian" or "information".
        block: the block's name, for people.
        rows: directions in the block.
        with_parameters: whether v is in the block.
        density_points: size of the grid; 0 for no density.
        ranks: of the eigenvalues to predict, from 1, the largest.
    """

    problem: Problem
    matrix: Literal["hessian", "information"]
    block: str
    rows: tuple[int, ...]
    with_parameters: bool
    density_points: int
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class DynamicsSpecification:
    """A path that is asked for.

    Attributes:
        problem: the head, the mixture and the initial statistics.
        sgd: the algorithm.
        times: t = steps * delta at which the path is wanted, in the order asked.
    """

    problem: Problem
    sgd: SGD
    times: tuple[float, ...]


def read_prediction(content: Mapping[str, object]) -> PredictionSpecification:
    """Check a specification of a spectrum; keys of the dynamics are passed over.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    keys = Specification(content)
    problem = _read_problem(keys, content.get("system"))
    kind = keys.required("matrix", choice("hessian", "information"))
    trained = problem.head.directions - problem.head.teachers
    block, rows = keys.required("block", lambda key, value: _read_block(key, value, trained))
    density_points = keys.optional("density_points", integer(0, _MOST), _DENSITY_POINTS)
    none: tuple[int, ...] = ()
    ranks = keys.optional("eigenvalues", list_of(integer(1)), none)
    keys.finish(ignoring=_DYNAMICS_KEYS)
    with_parameters = block == "full"
    if ranks:
        _require_ranks(ranks, problem, len(rows), with_parameters)
    return PredictionSpecification(
        problem=problem,
        matrix=cast(Literal["hessian", "information"], kind),
        block=block,
        rows=rows,
        with_parameters=with_parameters,
        density_points=density_points,
        ranks=ranks,
    )


def _read_block(key: str, value: object, trained: int) -> tuple[str, tuple[int, ...]]:
    """The block's name and its directions."""
    if isinstance(value, str):
        return choice("directions", "full")(key, value), tuple(range(trained))
    index = integer(0)
    rows = list_of(index)(key, value) if isinstance(value, list) else (index(key, value),)
    if not rows or max(rows) >= trained or len(set(rows)) < len(rows):
        raise refusal(
            key,
            f"an index of a trained direction (0 to {trained - 1}), a list of different ones, "
            '"directions" or "full"',
            value,
        )
    return f"direction {', '.join(map(str, rows))}", rows


def _require_ranks(
    ranks: tuple[int, ...], problem: Problem, directions: int, with_parameters: bool
) -> None:
    if problem.dimension is None:
        raise ValueError("eigenvalues: expected only beside a dimension, got no dimension")
    size = directions * problem.dimension
    if with_parameters:
        size += len(problem.statistics.parameters)
    if max(ranks) > size:
        raise ValueError(
            f"eigenvalues: expected ranks from 1 to {size} (size of the block), got {max(ranks)}"
        )


def read_dynamics(content: Mapping[str, object]) -> DynamicsSpecification:
    """Check a specification of a path; keys of the prediction are passed over.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    keys = Specification(content)
    problem = _read_problem(keys, content.get("system"))
    constant: tuple[tuple[float, float], ...] = ()
    sgd = SGD(
        scaled_learning_rate=keys.required("scaled_learning_rate", positive),
        second_layer_rate=keys.optional("second_layer_rate", nonnegative, 0.0),
        batch_size=keys.optional("batch_size", integer(1), 1),
        ridge=keys.optional("ridge", nonnegative, 0.0),
        momentum=keys.optional("momentum", number, 0.0),
        schedule=keys.optional("schedule", schedule, constant),
    )
    times = keys.required("times", list_of(nonnegative, least=1, most=_MOST))
    keys.finish(ignoring=_PREDICTION_KEYS)
    return DynamicsSpecification(problem, sgd, times)


def _read_problem(keys: Table, system: object) -> Problem:
    """What both commands ask for; a system that is trained has one kind of head."""
    directions = keys.required("directions", integer(1))
    teachers = keys.optional("teachers", integer(0), 0)
    head = read_head(keys.required("head", table), directions, teachers)
    kind = _HEADS.get(str(system), head.kind)
    if head.kind != kind:
        raise refusal("head.kind", f'"{kind}" for the system {system}', head.kind)
    gram = keys.required("gram", matrix)
    weights = keys.required("weights", list_of(positive))
    labels = keys.required("labels", list_of(integer(0)))
    _require_sizes(directions, gram.shape, len(weights), len(labels))
    law = MixtureLaw.of_means(len(weights), weights, labels, keys.required("snr", positive))
    problem = Problem(
        head=head,
        statistics=Statistics(gram, head.initial),
        law=law.normalised(),
        aspect_ratio=keys.required("aspect_ratio", positive),
        dimension=keys.optional("dimension", integer(1), None),
    )
    if problem.dimension is not None and round(problem.aspect_ratio * problem.dimension) < 1:
        raise ValueError(
            f"aspect_ratio: expected at least 1 / dimension, got {problem.aspect_ratio}"
        )
    return problem


def _require_sizes(directions: int, shape: tuple[int, ...], weights: int, labels: int) -> None:
    """Raise a ValueError that names the one of gram, weights, labels at odds with the others."""
    rows = shape[0]
    if weights != labels and rows == directions + labels:
        raise ValueError(f"weights: expected {labels} (one a component), got {weights}")
    if weights != labels:
        raise ValueError(f"labels: expected {weights} (one a component), got {labels}")
    if shape != (directions + weights, directions + weights):
        raise ValueError(
            f"gram: expected {directions + weights} rows and columns (directions = {directions} "
            f"and {weights} components), got {rows} rows and {shape[1]} columns"
        )
