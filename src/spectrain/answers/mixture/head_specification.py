"""The head in a specification: its kind, its shape and the start of its parameters v."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..values import Reader, Table, choice, matrix, number, text, vector

__all__ = ["HeadSpecification", "read_head"]

_KINDS = ("softmax", "logistic", "two-layer", "multi-index")
_LOSSES = ("binary-cross-entropy", "squared", "softmax")


@dataclass(frozen=True)
class HeadSpecification:
    """A head and its parameters v, as a specification gives them.

    Attributes:
        kind: "softmax", "logistic", "two-layer" or "multi-index".
        directions: C, all columns of x that the head reads.
        teachers: how many of the last ones are not trained.
        parameters: parts of v in their order, by name, each in the shape given: a number is ().
        activation: of the hidden units; empty for kinds without.
        loss: of a two-layer head; empty for other kinds.
        teacher_activation: of a multi-index head; empty for other kinds.
        teacher_second_layer: (teachers,) weights of its target; empty for other kinds.
    """

    kind: str
    directions: int
    teachers: int
    parameters: Mapping[str, NDArray[np.float64]]
    activation: str = ""
    loss: str = ""
    teacher_activation: str = ""
    teacher_second_layer: tuple[float, ...] = ()

    @property
    def initial(self) -> NDArray[np.float64]:
        """v at the start, (q,)."""
        return np.concatenate([np.zeros(0), *(part.ravel() for part in self.parameters.values())])

    def parts(self, parameters: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """The parts of v by name, in the shapes given; (..., q) -> (..., *shape) each."""
        sizes = [part.size for part in self.parameters.values()]
        split = np.split(parameters, np.cumsum(sizes, dtype=int), axis=-1)[:-1]
        return {
            name: values.reshape(parameters.shape[:-1] + part.shape)
            for (name, part), values in zip(self.parameters.items(), split, strict=True)
        }


def read_head(keys: Table, directions: int, teachers: int) -> HeadSpecification:
    """Read the table `head`.

    Args:
        keys: the table.
        directions: C, teachers included.
        teachers: how many of the last directions are not trained.

    Raises:
        ValueError: naming the key.
    """
    kind = keys.required("kind", choice(*_KINDS))
    trained = directions - teachers
    _require_shape(kind, directions, teachers)
    if kind in ("softmax", "logistic"):
        keys.finish()
        return HeadSpecification(kind, directions, teachers, {})

    activation = keys.required("activation", text)
    loss = "squared"
    if kind == "two-layer":
        loss = keys.required("loss", choice(*_LOSSES))
    parameters = _read_parameters(keys, loss, trained)
    teacher_activation, teacher_second_layer = "", np.zeros(0)
    if kind == "multi-index":
        teacher_activation = keys.required("teacher_activation", text)
        teacher_second_layer = keys.required(
            "teacher_second_layer", vector(teachers, "one a teacher")
        )
    keys.finish()
    return HeadSpecification(
        kind=kind,
        directions=directions,
        teachers=teachers,
        parameters=parameters,
        activation=activation,
        loss=loss,
        teacher_activation=teacher_activation,
        teacher_second_layer=tuple(teacher_second_layer.tolist()),
    )


def _require_shape(kind: str, directions: int, teachers: int) -> None:
    """Raise a ValueError unless a head of this kind can have so many directions and teachers."""
    if kind == "softmax" and directions < 2:
        raise ValueError(f"directions: expected at least 2 (classes) for softmax, got {directions}")
    if kind == "logistic" and directions != 1:
        raise ValueError(f"directions: expected 1 for a logistic head, got {directions}")
    if kind != "multi-index" and teachers > 0:
        raise ValueError(f"teachers: expected 0 for a {kind} head, got {teachers}")
    if kind == "multi-index" and not 0 < teachers < directions:
        raise ValueError(
            f"teachers: expected 1 to {directions - 1} (directions - 1) for a multi-index head, "
            f"got {teachers}"
        )


def _read_parameters(keys: Table, loss: str, trained: int) -> dict[str, NDArray[np.float64]]:
    """Read the parts of v: second layer, then the biases that are given."""
    several = loss == "softmax"
    parameters = {"second_layer": keys.required("second_layer", _second_layer(several, trained))}
    none = np.zeros(0)
    bias = keys.optional("hidden_bias", vector(trained, "one a trained direction"), none)
    if bias.size:
        parameters["hidden_bias"] = bias
    outputs = len(parameters["second_layer"]) if several else 1
    read = vector(outputs, "one a class") if several else _one_number
    bias = keys.optional("output_bias", read, none)
    if bias.size:
        parameters["output_bias"] = bias
    return parameters


def _second_layer(several: bool, trained: int) -> Reader[NDArray[np.float64]]:
    """Reader of v . act or, for several outputs, of one row an output."""
    if not several:
        return vector(trained, "one a trained direction")

    def read(key: str, value: object) -> NDArray[np.float64]:
        weights = matrix(key, value)
        if len(weights) < 2 or weights.shape[1] != trained:
            raise ValueError(
                f"{key}: expected at least 2 rows (classes) of {trained} numbers (one a trained "
                f"direction), got {len(weights)} rows of {weights.shape[1]}"
            )
        return weights

    return read


def _one_number(key: str, value: object) -> NDArray[np.float64]:
    """A number, (), or a list of one, (1,)."""
    if isinstance(value, list):
        return vector(1, "the one output")(key, value)
    return np.array(number(key, value))
