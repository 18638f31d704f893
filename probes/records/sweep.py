"""Sweeps: probings over a parameter, and counts of outliers over two parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...models.arguments import require_fields
from ...theory.spectrum import FloatArray
from .record import Record

if TYPE_CHECKING:  # it imports torch, which figures do without
    from ...theory.transitions import Boundary

__all__ = ["CountMap", "Sweep", "Threshold"]


@dataclass(frozen=True)
class Threshold:
    """A parameter value at which theory lets an outlier leave the bulk (BBP, arXiv math/0403022).

    Attributes:
        value: of the sweep's parameter.
        error: its estimated numerical error.
    """

    matrix: str = field(metadata={"unit": "none"})
    block: str = field(metadata={"unit": "none"})
    value: float = field(metadata={"unit": "that of the parameter"})
    error: float = field(default=math.nan, metadata={"unit": "that of the parameter"})


@dataclass(frozen=True)
class Sweep:
    """One probing at each value of a parameter.

    Attributes:
        parameter: what is varied, for example "snr".
        values: (N,) increasing.
        records: N records, one a value.
        thresholds: where outliers appear, for every matrix and block.

    Raises:
        ValueError: if the numbers of values and of records differ, or values do not increase.
    """

    parameter: str = field(metadata={"unit": "none"})
    values: FloatArray = field(metadata={"unit": "that of the parameter"})
    records: tuple[Record, ...] = field(metadata={"unit": "see Record"})
    thresholds: tuple[Threshold, ...] = field(default=(), metadata={"unit": "see Threshold"})

    def __post_init__(self) -> None:
        require_fields(self)
        if self.values.shape != (len(self.records),):
            raise ValueError(
                f"values: expected one for each of {len(self.records)} records, "
                f"got shape {self.values.shape}"
            )
        if np.any(np.diff(self.values) <= 0):
            raise ValueError(f"values: expected increasing numbers, got {self.values}")


@dataclass(frozen=True)
class CountMap:
    """Number of outliers over two parameters.

    Attributes:
        x_name: first parameter, for example "snr".
        x: (nx,) its values, increasing.
        y_name: second parameter, for example "phi".
        y: (ny,) its values, increasing.
        counts: (ny, nx) integers.
        subject: whose outliers, for example "Hessian, class 0".
        boundaries: lines where a predicted count changes; none for measured counts.

    Raises:
        ValueError: if ``counts`` does not have shape (ny, nx).
    """

    x_name: str = field(metadata={"unit": "none"})
    x: FloatArray = field(metadata={"unit": "that of the parameter"})
    y_name: str = field(metadata={"unit": "none"})
    y: FloatArray = field(metadata={"unit": "that of the parameter"})
    counts: NDArray[np.int64] = field(metadata={"unit": "outliers"})
    subject: str = field(default="", metadata={"unit": "none"})
    boundaries: tuple[Boundary, ...] = field(default=(), metadata={"unit": "see Boundary"})

    def __post_init__(self) -> None:
        require_fields(self)
        expected = (len(self.y), len(self.x))
        if self.counts.shape != expected:
            raise ValueError(f"counts: expected shape {expected}, got {self.counts.shape}")
