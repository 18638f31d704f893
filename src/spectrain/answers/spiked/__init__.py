"""What `spectrain predict` and `spectrain dynamics` answer for the spiked matrix-tensor model."""

from __future__ import annotations

from collections.abc import Mapping

from ..answer import Answer
from .landscape import landscape_document
from .specification import read_dynamics, read_landscape
from .text import landscape_lines, trajectory_lines
from .trajectory import trajectory_document

__all__ = ["dynamics", "predict"]


def predict(content: Mapping[str, object]) -> Answer:
    """Lines and threshold of the landscape; complexity and Hessian at a point of it.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    document = landscape_document(read_landscape(content))
    return Answer(document, landscape_lines(document))


def dynamics(content: Mapping[str, object]) -> Answer:
    """Overlap, multiplier, energy and the Hessian's outliers along a descent.

    Raises:
        ValueError: naming the key, what was expected and what came.
        ArithmeticError: if the numbers cannot be had.
    """
    document = trajectory_document(read_dynamics(content))
    return Answer(document, trajectory_lines(document))
