"""The document of `spectrain predict` for the spiked matrix-tensor model."""

from __future__ import annotations

from dataclasses import asdict

from ...theory.spiked.complexity import complexity
from ...theory.spiked.lines import lines, threshold
from ...theory.spiked.outliers import independent_outliers
from ..documents import Document
from .specification import LandscapeSpecification

__all__ = ["landscape_document"]


def landscape_document(asked: LandscapeSpecification) -> Document:
    """Lines, threshold, and at a point its complexity of minima and its Hessian.

    Args:
        asked: the specification.
    """
    covariance = asked.covariance
    document: Document = {
        "lines": asdict(lines(covariance.tensor_noise, covariance.order)),
        "threshold": asdict(threshold(covariance)),
    }
    if asked.overlap is not None and asked.multiplier is not None:
        point = asked.overlap, asked.multiplier
        document["complexity"] = complexity(covariance, *point, asked.energy)
        document["edges"] = list(covariance.edges(asked.multiplier))
        document["outliers"] = [
            {"value": outlier.value, "overlap": outlier.overlap, "weight": outlier.weight}
            for outlier in independent_outliers(covariance, *point)
        ]
    return document
