"""Specifications of low-rank reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from ...theory.low_rank.problem import LowRankProblem, Operator
from ...theory.low_rank.stages import Start
from ..values import Specification, choice, integer, list_of, nonnegative, positive, refusal

__all__ = [
    "DynamicsSpecification",
    "PredictionSpecification",
    "read_dynamics",
    "read_prediction",
]


@dataclass(frozen=True)
class PredictionSpecification:
    """What `spectrain predict` is asked.

    Attributes:
        problem: Z and the operator.
        order: of each of ``problem``'s eigenvalues as they were given.
        factors: q.
    """

    problem: LowRankProblem
    order: tuple[int, ...]
    factors: int


@dataclass(frozen=True)
class DynamicsSpecification:
    """What `spectrain dynamics` is asked.

    Attributes:
        problem: Z and the operator.
        start: of the descent.
        times: steps.
    """

    problem: LowRankProblem
    start: Start
    times: tuple[float, ...]


def read_prediction(content: Mapping[str, object]) -> PredictionSpecification:
    """Read a specification for `spectrain predict`.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    table = Specification(content)
    problem, given = _problem(table)
    factors = _factors(table, problem)
    for key in ("scale", "learning_rate"):
        table.optional(key, positive, 1.0)
    table.finish(ignoring=("times",))
    falling = sorted(range(len(given)), key=lambda k: -given[k])
    order = tuple(falling.index(k) for k in range(len(given)))
    return PredictionSpecification(problem, order, factors)


def read_dynamics(content: Mapping[str, object]) -> DynamicsSpecification:
    """Read a specification for `spectrain dynamics`.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    table = Specification(content)
    problem, _ = _problem(table)
    factors = _factors(table, problem)
    scale = table.required("scale", positive)
    start = Start(factors, scale, table.required("learning_rate", positive))
    times = table.required("times", list_of(nonnegative, least=1))
    table.finish()
    return DynamicsSpecification(problem, start, times)


def _problem(table: Specification) -> tuple[LowRankProblem, tuple[float, ...]]:
    """Z and the operator, and the eigenvalues in the order they were given."""
    size = table.required("size", integer(2))
    given = table.required("eigenvalues", list_of(positive, least=1))
    measurements = table.required("measurements", integer(1))
    operator = table.optional("operator", choice("gaussian", "structured"), "gaussian")
    return LowRankProblem(size, given, measurements, cast(Operator, operator)), given


def _factors(table: Specification, problem: LowRankProblem) -> int:
    factors = table.required("factors", integer(1))
    if not problem.rank <= factors <= problem.size:
        expected = f"{problem.rank} (the number of eigenvalues) to {problem.size} (the size)"
        raise refusal("factors", expected, factors)
    return factors
