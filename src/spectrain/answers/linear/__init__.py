"""What `spectrain predict` and `spectrain dynamics` answer for a linear model."""

from __future__ import annotations

from collections.abc import Mapping

from ..answer import Answer
from .specification import read_dynamics, read_prediction

__all__ = ["dynamics", "predict"]


def predict(content: Mapping[str, object]) -> Answer:
    """Losses of ridge regression and the Hessian, from the spectrum of the covariance.

    Raises:
        ValueError: naming the key, what was expected and what came.
        ArithmeticError: if the numbers cannot be had.
    """
    specification = read_prediction(content)

    from .predictions import prediction_document

    return Answer(prediction_document(specification))


def dynamics(content: Mapping[str, object]) -> Answer:
    """Train and test loss along the flow, descent or SGD, split into what causes them.

    Raises:
        ValueError: naming the key, what was expected and what came.
        ArithmeticError: if the numbers cannot be had.
    """
    specification = read_dynamics(content)

    from .predictions import curves_document

    return Answer(curves_document(specification))
