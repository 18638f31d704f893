"""What `spectrain predict` and `spectrain dynamics` answer for a head on a Gaussian mixture."""

from __future__ import annotations

from collections.abc import Mapping

from ..answer import Answer
from .document_text import path_lines, prediction_lines
from .specification import read_dynamics, read_prediction

__all__ = ["dynamics", "predict"]


def predict(content: Mapping[str, object]) -> Answer:
    """Bulk, outliers and eigenvalues of one block from summary statistics.

    Raises:
        ValueError: naming the key, what was expected and what came.
        ArithmeticError: if the numbers cannot be had.
    """
    specification = read_prediction(content)

    from .predictions import prediction_document

    document = prediction_document(specification)
    return Answer(document, prediction_lines(document))


def dynamics(content: Mapping[str, object]) -> Answer:
    """Summary statistics, loss and accuracy along SGD.

    Raises:
        ValueError: naming the key, what was expected and what came.
        ArithmeticError: if the solution diverges.
    """
    specification = read_dynamics(content)

    from .predictions import path_document

    document = path_document(specification)
    return Answer(document, path_lines(document))
