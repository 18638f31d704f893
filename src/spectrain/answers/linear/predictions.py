"""From a specification of a linear model to the document that answers it."""

from __future__ import annotations

import math

import numpy as np

from ...theory.linear.hessian import HessianLaw
from ...theory.linear.loss_curves import loss_curves
from ...theory.linear.static import ridge_losses
from ..documents import Document, plain, spectrum_document
from .specification import CurvesSpecification, RidgeSpecification

__all__ = ["curves_document", "prediction_document"]

_CONVENTIONS = (
    "losses are mean squares without 1/2, the test loss without the label noise, the train loss "
    "with it; v <- v - learning_rate ((1/B) sum phi (f - y) + weight_decay v), torch's SGD on "
    "MSELoss with lr = learning_rate / 2 and twice the weight_decay; the Hessian is the derivative "
    "of that gradient, half of MSELoss's"
)
_SHUFFLED = (
    "shuffled passes are described approximately: losses within 7 % where they were simulated; the "
    "critical learning rate is that of batches drawn with replacement, and runs turned from decay "
    "to growth between 0.9 and 1.2 of it"
)


def prediction_document(specification: RidgeSpecification) -> Document:
    """What `spectrain predict` prints; see docs/reference.md.

    Raises:
        ValueError: naming the key, if there is no limit without ridge.
        ArithmeticError: if the numbers cannot be had.
    """
    found = ridge_losses(specification.problem, specification.ridge)
    hessian, error = None, 0.0
    problem = specification.bulk
    if math.isfinite(problem.samples) or math.isfinite(problem.features):
        law = HessianLaw(problem, specification.spikes)
        hessian = spectrum_document(law.spectrum("weight"), np.zeros(0), round(law.size))
        del hessian["eigenvalues"]
        error = hessian.pop("error")
    scale = max(found.train, found.test)
    document: Document = {
        "train": found.train,
        "test": found.test,
        "kappa": [found.kappa1, found.kappa2],
        "hessian": hessian,
        "finite_size": found.finite_size,
        "error": max(found.error / scale if scale > 0 else 0.0, error),
        "conventions": _CONVENTIONS,
    }
    result: Document = plain(document)
    return result


def curves_document(specification: CurvesSpecification) -> Document:
    """What `spectrain dynamics` prints; see docs/reference.md.

    Raises:
        ValueError: naming the key, if the algorithm does not fit the problem, or the loss leaves
            the number range.
        ArithmeticError: if the numbers cannot be had.
    """
    found = loss_curves(specification.problem, specification.algorithm, specification.times)
    scale = np.maximum(np.abs(found.train), np.abs(found.test))
    relative = np.where(scale > 0, found.error / np.where(scale > 0, scale, 1.0), 0.0)
    document: Document = {
        "times": found.times,
        "train": found.train,
        "test": found.test,
        "parts": {
            name: {"train": part.train, "test": part.test} for name, part in found.parts.items()
        },
        "critical_learning_rate": found.critical_learning_rate,
        "finite_size": found.finite_size,
        "error": float(relative.max()),
        "conventions": _CONVENTIONS,
    }
    if found.approximate:
        document["approximation"] = _SHUFFLED
    result: Document = plain(document)
    return result
