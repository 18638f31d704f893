"""The document of `spectrain predict` for low-rank reconstruction."""

from __future__ import annotations

from dataclasses import asdict

from ...theory.low_rank.hessian import minimum_edges, saddle
from ...theory.low_rank.spiked_matrix import finite_size_edge, initial_outliers
from ...theory.low_rank.thresholds import thresholds
from ..documents import Document
from .specification import PredictionSpecification

__all__ = ["landscape_document"]


def landscape_document(asked: PredictionSpecification) -> Document:
    """Edge and outliers of A*A(Z), thresholds, the Hessian at every saddle and at the minimum.

    Args:
        asked: the specification.
    """
    problem = asked.problem
    edge = 2 * problem.noise(problem.norm**2, problem.size)
    needed = thresholds(problem)
    saddles = [saddle(problem, asked.factors, j) for j in range(problem.rank)]
    return {
        "edge": edge,
        "finite_size_edge": finite_size_edge(edge, problem.size),
        "outliers": [asdict(outlier) for outlier in initial_outliers(problem)],
        "thresholds": {**asdict(needed), "bbp": [needed.bbp[place] for place in asked.order]},
        "saddles": [
            {
                "negative_outliers": [asdict(outlier) for outlier in each.negative_outliers],
                "bulk": list(each.bulk),
                "atom_at_zero": each.atom,
            }
            for each in saddles
        ],
        "minimum": {"edges": list(minimum_edges(problem))},
        "numerical_error": 0.0,
    }
