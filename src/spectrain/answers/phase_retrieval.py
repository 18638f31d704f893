"""What `spectrain predict` answers for phase retrieval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .answer import Answer, numerical_failures
from .documents import Document
from .values import Specification, choice, number, positive, refusal

__all__ = ["predict"]


@dataclass(frozen=True)
class _Asked:
    offset: float | None  # of the normalised loss; None for the quartic
    samples_per_dimension: float
    overlap: float


def predict(content: Mapping[str, object]) -> Answer:
    """Edges and outliers of the Hessian at a random position of an overlap, and critical alphas.

    Raises:
        ValueError: naming the key, what was expected and what came.
        ArithmeticError: if the numbers cannot be had.
    """
    asked = _read(content)
    with numerical_failures():
        hessian = _hessian(asked)
    critical, reasons, errors = _critical(asked.offset)
    document: Document = {**hessian, "critical": critical}
    if reasons:
        document["critical_reasons"] = reasons
    document["error"] = max(float(document["error"]), *errors, 0.0)
    return Answer(document)


def _read(content: Mapping[str, object]) -> _Asked:
    table = Specification(content)
    quartic = table.required("loss", choice("normalised", "quartic")) == "quartic"
    offset: float | None = None
    if not quartic:
        offset = table.required("offset", positive)
    elif content.get("offset") is not None:
        raise refusal("offset", "none, since it belongs to normalised", content["offset"])
    alpha = table.required("samples_per_dimension", positive)
    overlap = table.required("overlap", _inner)
    table.finish(ignoring=("offset",))
    return _Asked(offset, alpha, overlap)


def _inner(key: str, value: object) -> float:
    found = number(key, value)
    if abs(found) >= 1:
        raise refusal(key, "a number above -1 and below 1", value)
    return found


def _hessian(asked: _Asked) -> Document:
    from ..models.phase_retrieval.loss import PhaseLoss
    from ..theory.phase_retrieval.joint_law import ORDER
    from ..theory.phase_retrieval.tangent_hessian import random_position

    loss = PhaseLoss(asked.offset)
    fine, coarse = (
        random_position(asked.overlap, loss, asked.samples_per_dimension, order)
        for order in (ORDER, ORDER - 2)
    )
    differences = [abs(fine.multiplier - coarse.multiplier)]
    if math.isfinite(fine.lower_edge):
        differences.append(abs(fine.lower_edge - coarse.lower_edge))
    for one, other in zip(fine.outliers, coarse.outliers, strict=False):
        differences += [abs(one.value - other.value), abs(one.overlap - other.overlap)]
    return {
        "multiplier": fine.multiplier,
        "edges": [fine.lower_edge, math.inf],  # curvatures have no upper bound
        "outliers": [{"value": each.value, "overlap": each.overlap} for each in fine.outliers],
        "error": max(differences),
    }


def _critical(offset: float | None) -> tuple[Document, dict[str, str], list[float]]:
    """The two alphas, why one is missing, and their errors."""
    from ..models.phase_retrieval.loss import PhaseLoss
    from ..theory.phase_retrieval.random_start import random_critical
    from ..theory.phase_retrieval.threshold_states import threshold_critical

    loss = PhaseLoss(offset)
    critical: Document = {}
    reasons: dict[str, str] = {}
    errors: list[float] = []
    for name, find in (("random", random_critical), ("threshold", threshold_critical)):
        try:
            found = find(loss)
        except (ValueError, ArithmeticError) as error:
            critical[name], reasons[name] = None, str(error)
        else:
            critical[name] = found.samples_per_dimension
            errors.append(found.error)
    return critical, reasons, errors
