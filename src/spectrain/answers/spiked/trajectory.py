"""The document of `spectrain dynamics` for the spiked matrix-tensor model."""

from __future__ import annotations

from collections.abc import Sequence

from ...theory.spiked.descent import descent_trajectory
from ...theory.spiked.flow import flow_trajectory
from ...theory.spiked.outliers import Outlier, independent_outliers
from ...theory.spiked.trajectory import Trajectory
from ..documents import Document
from .specification import DynamicsSpecification

__all__ = ["trajectory_document"]

_REASON = "outliers along a descent are derived for temperature 0"


def trajectory_document(asked: DynamicsSpecification) -> Document:
    """Overlap, multiplier, energy, correlation with the start, and the Hessian at each time.

    Args:
        asked: the specification.

    Raises:
        ValueError: naming the key, what was expected and what came.
        ArithmeticError: if the outliers are not found.
    """
    covariance, start = asked.covariance, asked.initial_overlap
    if asked.algorithm == "gd":
        steps = [int(time) for time in asked.times]
        path = descent_trajectory(covariance, start, asked.learning_rate, steps)
    else:
        path = flow_trajectory(covariance, start, asked.times, asked.temperature)
    document: Document = {
        "times": list(asked.times),
        "overlap": path.overlap,
        "multiplier": path.multiplier,
        "energy": path.energy,
        "correlation": path.correlation,
    }
    if path.outliers is None:
        document |= {"hessian": None, "hessian_reason": _REASON}
    else:
        document["hessian"] = _hessians(asked, path, path.outliers)
    found = [outlier.error for outliers in path.outliers or () for outlier in outliers]
    document["error"] = max([*path.error.tolist(), *found])
    return document


def _hessians(
    asked: DynamicsSpecification, path: Trajectory, dynamic: Sequence[Sequence[Outlier]]
) -> list[Document]:
    covariance = asked.covariance
    rows = zip(path.overlap.tolist(), path.multiplier.tolist(), dynamic, strict=True)
    return [
        {
            "edges": list(covariance.edges(multiplier)),
            "outliers": [
                {"value": each.value, "overlap": each.overlap, "weight": each.weight}
                for each in outliers
            ],
            "naive_outliers": [
                {"value": each.value, "overlap": each.overlap}
                for each in independent_outliers(covariance, overlap, multiplier)
            ],
        }
        for overlap, multiplier, outliers in rows
    ]
