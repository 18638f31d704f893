"""Specifications of the spiked matrix-tensor model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from ...theory.spiked.covariance import Covariance
from ..values import Specification, choice, integer, list_of, nullable, number, positive, refusal

__all__ = [
    "Algorithm",
    "DynamicsSpecification",
    "LandscapeSpecification",
    "read_dynamics",
    "read_landscape",
]

_HIGHEST = 100  # order of the tensor

Algorithm = Literal["gd", "flow", "langevin"]
# What each algorithm needs of its own; the others have no such key.
_OWN: dict[str, str] = {"gd": "learning_rate", "langevin": "temperature"}
_PREDICTION_KEYS = ("overlap", "multiplier", "energy")
_DYNAMICS_KEYS = ("algorithm", *_OWN.values(), "initial_overlap", "times")


@dataclass(frozen=True)
class LandscapeSpecification:
    """What `spectrain predict` is asked.

    Attributes:
        covariance: Q.
        overlap: m of a point; None for none.
        multiplier: mu of it.
        energy: e of it; None for all energies.
    """

    covariance: Covariance
    overlap: float | None
    multiplier: float | None
    energy: float | None


@dataclass(frozen=True)
class DynamicsSpecification:
    """What `spectrain dynamics` is asked.

    Attributes:
        covariance: Q.
        algorithm: "gd" (steps), "flow" or "langevin" (continuous times).
        learning_rate: of gd.
        temperature: of langevin.
        initial_overlap: m of the start.
        times: steps for gd.
    """

    covariance: Covariance
    algorithm: Algorithm
    learning_rate: float
    temperature: float
    initial_overlap: float
    times: tuple[float, ...]


def read_landscape(content: Mapping[str, object]) -> LandscapeSpecification:
    """Read a specification for `spectrain predict`; keys of the dynamics are passed over.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    table = Specification(content)
    covariance = _covariance(table)
    overlap = table.optional("overlap", nullable(_inner_overlap), None)
    multiplier = table.optional("multiplier", nullable(number), None)
    energy = table.optional("energy", nullable(number), None)
    table.finish(ignoring=_DYNAMICS_KEYS)
    if (overlap is None) != (multiplier is None):
        missing = "overlap" if overlap is None else "multiplier"
        raise ValueError(f"{missing}: expected a value beside the other of the two, got none")
    if energy is not None and overlap is None:
        raise ValueError("overlap: expected a value where there is an energy, got none")
    return LandscapeSpecification(covariance, overlap, multiplier, energy)


def read_dynamics(content: Mapping[str, object]) -> DynamicsSpecification:
    """Read a specification for `spectrain dynamics`; keys of the prediction are passed over.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    table = Specification(content)
    covariance = _covariance(table)
    algorithm = table.required("algorithm", choice("gd", "flow", "langevin"))
    numbers = {"learning_rate": 0.0, "temperature": 0.0}
    for owner, key in _OWN.items():
        if algorithm == owner:
            numbers[key] = table.required(key, positive)
        elif key in content and content[key] is not None:
            raise refusal(key, f"none, since it belongs to {owner}", content[key])
    overlap = table.required("initial_overlap", _overlap)
    time = integer(0) if algorithm == "gd" else number
    times = table.required("times", list_of(time, least=1))
    table.finish(ignoring=(*_OWN.values(), *_PREDICTION_KEYS))
    return DynamicsSpecification(
        covariance,
        cast(Algorithm, algorithm),
        numbers["learning_rate"],
        numbers["temperature"],
        overlap,
        tuple(times),
    )


def _covariance(table: Specification) -> Covariance:
    return Covariance(
        table.optional("matrix_noise", nullable(positive), None),
        table.optional("tensor_noise", nullable(positive), None),
        table.optional("order", integer(3, _HIGHEST), 3),
    )


def _overlap(key: str, value: object) -> float:
    found = number(key, value)
    if abs(found) > 1:
        raise refusal(key, "a number from -1 to 1", value)
    return found


def _inner_overlap(key: str, value: object) -> float:
    found = number(key, value)
    if abs(found) >= 1:
        raise refusal(key, "a number above -1 and below 1", value)
    return found
