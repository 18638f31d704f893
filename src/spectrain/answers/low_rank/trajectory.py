"""The document of `spectrain dynamics` for low-rank reconstruction."""

from __future__ import annotations

import numpy as np

from ...theory.low_rank.curves import curves
from ...theory.low_rank.refinement import final_error
from ...theory.low_rank.spectral_phase import alignment, phase_ends
from ...theory.low_rank.stages import learning_stages
from ..documents import Document
from .specification import DynamicsSpecification

__all__ = ["trajectory_document"]

_LATE = (
    "after the last learning time, {:.5g} steps, test_error and principal_angle fall more slowly "
    "than told, by the flattest directions of the minimum: not described"
)


def trajectory_document(asked: DynamicsSpecification) -> Document:
    """Learning times, rates, spectral phase, final error, and curves in closed form.

    Args:
        asked: the specification.
    """
    problem, start = asked.problem, asked.start
    stages = learning_stages(problem, start)
    ends = phase_ends(start, float(stages.rates[0, 0]))
    at = curves(problem, start, stages, np.array(asked.times))
    aligned, coarse = (alignment(problem, start, ends, nodes) for nodes in (256, 128))
    document: Document = {
        "times": list(asked.times),
        "learning_times": stages.times,
        "spectral_phase_ends": ends,
        "alignment": aligned,
        "rates": stages.rates,
        "error": final_error(problem, start, stages),
        "strengths": at.strengths,
        "rho": at.residual.rho,
        "test_error": at.residual.error,
        "principal_angle": at.principal_angle,
        "numerical_error": abs(aligned - coarse),
    }
    last = float(stages.times[-1])
    if max(asked.times) > last:
        document["late_curves"] = _LATE.format(last)
    return document
