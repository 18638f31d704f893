"""What files of version 1 hold, in the words of today's records.

Version 1 knew one theory, that of mixtures, whose statistics were fields of their own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...theory.direction import Direction
from ...theory.matrix_kind import HESSIAN, INFORMATION
from ...theory.quantity import Quantity
from ...theory.source import Source
from ...theory.spectrum import SIDE_WORDS, FloatArray
from .record import Failure, Geometry

__all__ = ["direction", "quantities", "upgraded"]

_NONE = np.zeros((0, 0))
_LETTERS = {"x": "x", "mu": r"\mu"}
_SIDES = {word: side for side, word in SIDE_WORDS.items()}
_CLOCK = "time t = steps × c/d"

_SOURCES = (
    Source(
        "G. Ben Arous, R. Gheissari, J. Huang, A. Jagannath",
        "Local geometry of high-dimensional mixture models: Effective spectral theory and "
        "dynamical transitions",
        "2502.15655",
        "predicted spectra and transitions",
    ),
    Source(
        "G. Ben Arous, R. Gheissari, A. Jagannath",
        "High-dimensional limit theorems for SGD: Effective dynamics and critical scaling",
        "2206.04030",
        "forecasts from the initial Gram matrix",
    ),
)


def upgraded(kind: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a type, decoded, as today's have them; unchanged if they are of today.

    Args:
        kind: name of the type.
        content: its fields.
    """
    if kind == "Geometry" and content.keys() & {"gram", "loss"}:
        return {"quantities": quantities(**content), "spectra": content.get("spectra", ())}
    if kind == "Transition" and content["side"] in _SIDES:
        return {**content, "side": _SIDES[content["side"]]}
    if kind == "Record" and content.keys() & {"directions", "failure"}:
        return _record(content)
    return content


def quantities(
    gram: FloatArray = _NONE,
    loss: float = math.nan,
    loss_error: float = math.nan,
    accuracy: float = math.nan,
    accuracy_error: float = math.nan,
    gram_band: FloatArray = _NONE,
    **_: Any,
) -> tuple[Quantity, ...]:
    """What version 1 had as fields of a geometry; those that are unknown are left out."""
    found = []
    if not math.isnan(loss):
        found.append(Quantity.number("loss", loss, "loss", loss_error))
    if not math.isnan(accuracy):
        found.append(Quantity.number("accuracy", accuracy, "share", accuracy_error))
    if gram.size:
        rows = tuple(map(str, range(len(gram))))
        band = gram_band if gram_band.shape == gram.shape else None
        found.append(
            Quantity("gram", gram, "squared parameter", (rows, rows), band=band, symmetric=True)
        )
    return tuple(found)


def _record(content: Mapping[str, Any]) -> dict[str, Any]:
    new = dict(content)
    names, failure = new.pop("directions", ()), new.pop("failure", "")
    new["reference"] = tuple(map(direction, names))
    new["clock"] = _CLOCK if names else ""
    new["matrices"] = (HESSIAN, INFORMATION)
    known = [new.get(part) is not None for part in ("predicted", "forecast")]
    new["sources"] = _SOURCES[: sum(known)]
    new["failures"] = (Failure("", failure),) if failure else ()
    for part in ("measured", "forecast"):
        if new.get(part) is not None:
            new[part] = _with_names(new[part], names)
    return new


def direction(name: str) -> Direction:
    """The direction of a name of version 1: x0, x1, ... are trained, mu0, mu1, ... are not."""
    symbol = re.sub(r"^(x|mu)(\d+)$", lambda m: f"{_LETTERS[m[1]]}_{{{m[2]}}}", name)
    return Direction(name, symbol, trained=not name.startswith("mu"))


def _with_names(geometry: Geometry, names: tuple[str, ...]) -> Geometry:
    """With the names of the rows of the Gram matrix, which the geometry did not know."""
    gram = geometry.quantity("gram")
    if gram is None or len(gram.values) != len(names):
        return geometry
    named = replace(gram, axes=(names, names))
    quantities = (named if each is gram else each for each in geometry.quantities)
    return replace(geometry, quantities=tuple(quantities))
