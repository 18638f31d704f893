"""From a specification to the document that answers it."""

from __future__ import annotations

from typing import cast

import numpy as np

from ...models.heads import (
    Activation,
    Head,
    LogisticHead,
    LossName,
    MultiIndexHead,
    SoftmaxHead,
    TwoLayerHead,
    require_labels,
)
from ...theory.mixture.dynamics import DynamicsPath, EffectiveDynamics
from ...theory.mixture.effective_spectrum import EffectiveSpectrum
from ..answer import numerical_failures
from ..documents import Document, plain, spectrum_document
from .head_specification import HeadSpecification
from .specification import DynamicsSpecification, PredictionSpecification, Problem

__all__ = ["build_head", "path_document", "prediction_document"]


def build_head(specification: HeadSpecification) -> Head:
    """The head that a specification describes.

    Raises:
        ValueError: naming the key, if an activation is unknown.
    """
    if specification.kind == "softmax":
        return SoftmaxHead(specification.directions)
    if specification.kind == "logistic":
        return LogisticHead()
    activation = cast(Activation, specification.activation)
    hidden_bias = "hidden_bias" in specification.parameters
    output_bias = "output_bias" in specification.parameters
    if specification.kind == "multi-index":
        return MultiIndexHead(
            directions=specification.directions,
            teacher_second_layer=specification.teacher_second_layer,
            activation=activation,
            teacher_activation=cast(Activation, specification.teacher_activation),
            hidden_bias=hidden_bias,
            output_bias=output_bias,
        )
    second_layer = specification.parameters["second_layer"]
    return TwoLayerHead(
        directions=specification.directions,
        activation=activation,
        loss=cast(LossName, specification.loss),
        outputs=len(second_layer) if second_layer.ndim == 2 else 1,
        hidden_bias=hidden_bias,
        output_bias=output_bias,
    )


def prediction_document(specification: PredictionSpecification) -> Document:
    """What `spectrain predict` prints; see docs/reference.md.

    Raises:
        ValueError: naming the key, if the head knows no such activation or labels.
        ArithmeticError: if the numbers cannot be had.
    """
    problem = specification.problem
    head, law = _head(problem), problem.law
    with numerical_failures():
        at = EffectiveSpectrum(
            head, problem.statistics, law, problem.aspect_ratio, problem.dimension
        )
        block = specification.matrix, specification.rows
        spectrum = at.spectrum(
            *block,
            specification.block,
            density_points=specification.density_points,
            with_parameters=specification.with_parameters,
        )
        eigenvalues = np.zeros(0)
        if specification.ranks:
            eigenvalues = at.eigenvalues(
                *block, specification.ranks, with_parameters=specification.with_parameters
            )
    return spectrum_document(spectrum, eigenvalues, problem.dimension)


def path_document(specification: DynamicsSpecification) -> Document:
    """What `spectrain dynamics` prints; see docs/reference.md.

    Raises:
        ValueError: naming the key, if the head knows no such activation or labels.
        ArithmeticError: if the solution diverges.
    """
    problem = specification.problem
    head, law = _head(problem), problem.law
    with numerical_failures():
        dynamics = EffectiveDynamics(head, law, specification.sgd, problem.statistics)
        path = dynamics.path(specification.times)
    document: Document = {
        "times": path.times,
        "gram": path.gram,
        "second_layer": None,
        **problem.head.parts(path.parameters),
        "loss": path.loss,
        "accuracy": path.accuracy,
    }
    if problem.dimension is not None:
        document["band"] = path.band(problem.dimension)
    document["error"] = _path_error(path)
    result: Document = plain(document)
    return result


def _path_error(path: DynamicsPath) -> float:
    """Largest numerical error of statistics and loss, relative, and of the accuracy."""
    loss = path.loss_error / np.where(path.loss == 0, 1.0, np.abs(path.loss))
    accuracy = path.accuracy_error[~np.isnan(path.accuracy_error)]
    return float(np.concatenate([path.error, loss, accuracy]).max())


def _head(problem: Problem) -> Head:
    head = build_head(problem.head)
    require_labels(head, problem.law.labels.tolist())
    return head
