"""What `spectrain predict` and `spectrain dynamics` answer for low-rank reconstruction."""

from __future__ import annotations

from collections.abc import Mapping

from ..answer import Answer
from .landscape import landscape_document
from .specification import read_dynamics, read_prediction
from .trajectory import trajectory_document

__all__ = ["dynamics", "predict"]


def predict(content: Mapping[str, object]) -> Answer:
    """Spectrum of A*A(Z), thresholds, and the Hessian at saddles and minimum.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    return Answer(landscape_document(read_prediction(content)))


def dynamics(content: Mapping[str, object]) -> Answer:
    """Learning times, rates, final error, and curves over the steps.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    return Answer(trajectory_document(read_dynamics(content)))
