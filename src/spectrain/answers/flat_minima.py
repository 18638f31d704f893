"""What `spectrain predict` answers for ridge classifiers of two Gaussian clusters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..theory.flat_minima.ridge import Clusters, ridge_solution
from .answer import Answer
from .documents import Document
from .values import Specification, list_of, nonnegative, nullable, number, positive, refusal

__all__ = ["predict"]


def predict(content: Mapping[str, object]) -> Answer:
    """Overlap, norm and errors of the ridge classifier, and its flatness profile.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    table = Specification(content)
    samples = table.required("samples_per_dimension", positive)
    noise = table.required("noise", positive)
    ridge = table.required("ridge", nonnegative)
    fraction = table.optional("fraction", nullable(_share), None)
    none: tuple[float, ...] = ()
    perturbations = np.array(table.optional("perturbations", list_of(nonnegative), none))
    table.finish()
    found = ridge_solution(Clusters(noise, fraction), samples, ridge)
    document: Document = {"overlap": found.overlap, "norm": found.norm}
    if fraction is not None:
        document["bias"] = found.bias
    return Answer(
        {
            **document,
            "train_error": found.train_error(),
            "test_error": found.test_error(),
            "profile": {
                "train_error": found.train_error(perturbations),
                "test_error": found.test_error(perturbations),
            },
            "error": 0.0,
        }
    )


def _share(key: str, value: object) -> float:
    found = number(key, value)
    if not 0 < found < 1:
        raise refusal(key, "a number between 0 and 1", value)
    return found
