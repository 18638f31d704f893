"""Saddles that a descent passed, found in its records without knowing where they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..probes.records.record import Record
from ..theory.matrix_kind import HESSIAN

__all__ = ["SaddleStep", "saddle_steps"]


@dataclass(frozen=True)
class SaddleStep:
    """A record at which the gradient is smallest between two directions' learning.

    Attributes:
        step: of the record.
        unlearned: directions that stand out of A*A(R).
        stationarity: the certificate: |gradient| over rho^(3/2).
        expected: negative outliers that so many directions have, a copy in each free column.
        counted: eigenvalues of the measured Hessian below minus the cut; None if as many as were
            measured, so that there may be more, or if there is no Hessian.
    """

    step: int = field(metadata={"unit": "steps"})
    unlearned: int = field(metadata={"unit": "directions"})
    stationarity: float = field(metadata={"unit": "1"})
    expected: int = field(metadata={"unit": "eigenvalues"})
    counted: int | None = field(metadata={"unit": "eigenvalues"})


def saddle_steps(records: Sequence[Record]) -> tuple[SaddleStep, ...]:
    """The most stationary record of each stretch with the same number of unlearned directions.

    None where nothing is left to learn: what a descent nears then is a minimum.

    Args:
        records: of one run, in order, with ``unlearned``, ``stationarity``, ``cut`` and
            ``negative_outliers``.
    """
    stretches: list[list[Record]] = []
    for record in records:
        if not _number(record, "unlearned") > 0:
            continue
        if stretches and _number(stretches[-1][-1], "unlearned") == _number(record, "unlearned"):
            stretches[-1].append(record)
        else:
            stretches.append([record])
    found = [min(each, key=lambda record: _number(record, "stationarity")) for each in stretches]
    return tuple(
        SaddleStep(
            record.step,
            int(_number(record, "unlearned")),
            _number(record, "stationarity"),
            int(_number(record, "negative_outliers")),
            _counted(record),
        )
        for record in found
    )


def _number(record: Record, name: str) -> float:
    found = record.measured.quantity(name)
    return math.nan if found is None else float(found.values)


def _counted(record: Record) -> int | None:
    for spectrum in record.measured.spectra:
        if spectrum.matrix == HESSIAN.name:
            below = sum(pair.value < -_number(record, "cut") for pair in spectrum.bottom)
            return below if below < len(spectrum.bottom) else None
    return None
