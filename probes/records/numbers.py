"""One walk over a record: each of its numbers with where it stands, what it is, and its errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import NamedTuple

from ...theory.direction import Direction
from .columns import KINDS, SHARE, Columns, Kind, Part, columns, quantity_columns
from .record import Record

__all__ = ["KINDS", "SHARE", "Kind", "Number", "Part", "numbers", "quantity_numbers"]

_UNKNOWN = repeat(math.nan)


class Number(NamedTuple):
    """One number of a record.

    Attributes:
        kind: "measured", "predicted" (from the statistics measured at this step) or "forecast"
            (from the initial ones).
        matrix: name of its `MatrixKind`; empty for what belongs to no matrix.
        block: likewise.
        name: what it is; the same name under every kind is the same number.
        value: NaN if unknown.
        unit: of value and errors.
        part: of the record.
        error: numerical error: residual of a measured eigenvalue, quadrature error of a prediction.
        standard_error: over the draw of the probe sample.
        band: standard deviation over runs.
        quantity: name of the quantity that it is an entry of; empty for others.
        is_product: whether it is an inner product of reference directions.
        is_fixed: whether it is one of directions that stay, so that there is nothing to predict.
        side: of an eigenvalue or what belongs to it: "top", "bottom" or "inside".
        along: of an alignment, the direction.
        threshold: see `Quantity`; NaN where there is none.
    """

    kind: Kind
    matrix: str
    block: str
    name: str
    value: float
    unit: str
    part: Part
    error: float = math.nan
    standard_error: float = math.nan
    band: float = math.nan
    quantity: str = ""
    is_product: bool = False
    is_fixed: bool = False
    side: str = ""
    along: Direction | None = None
    threshold: float = math.nan

    @property
    def place(self) -> tuple[str, str, str]:
        """What it shares with the same number under another kind."""
        return self.matrix, self.block, self.name

    @property
    def spread(self) -> float:
        """``standard_error``, or ``band`` where that is not known."""
        return self.band if math.isnan(self.standard_error) else self.standard_error


def numbers(record: Record) -> Iterator[Number]:
    """Every number of a record but the grids of densities: measured, predicted, forecast."""
    return _each(columns(record))


def quantity_numbers(record: Record) -> Iterator[Number]:
    """Those of the same walk that belong to quantities."""
    return _each(quantity_columns(record))


def _each(found: Iterable[Columns]) -> Iterator[Number]:
    for heading, values, *others in found:
        parts = (_UNKNOWN if part is None else part for part in others)
        for identity, value, error, standard_error, band, threshold in zip(
            heading.entries, values, *parts, strict=False
        ):
            kind, matrix, block, name, unit, part, *rest = identity
            # Hundreds of them in a record: this takes half as long as a call of the class.
            fields = (kind, matrix, block, name, value, unit, part)
            yield tuple.__new__(Number, (*fields, error, standard_error, band, *rest, threshold))
