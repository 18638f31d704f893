"""The scalars of a record: one name for each number, measured, predicted and forecast alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

from ...probes.records.numbers import KINDS, Number, numbers
from ...probes.records.outliers import EDGE_NAMES, last_inside
from ...probes.records.record import Record
from ...probes.records.record_table import BAND
from ...probes.records.tag_names import safe
from ..errors import errors

__all__ = ["place_tag", "safe", "scalars", "tag"]

# Of the numbers of a record those that are worth a curve: eigenvalues between the ends, single
# draws and alignments with what itself moves are not.
_CURVES = frozenset(("quantity", "eigenvalue", "overlap", "alignment", "track"))
_EDGES = tuple(EDGE_NAMES.values())


def scalars(record: Record, dimension: int | None = None) -> dict[str, float]:
    """Every finite number of a record that is worth a curve, by tag.

    The same name under ``measured/``, ``predicted/`` and ``forecast/`` is the same quantity, for
    example ``hessian/class_0/top_1``. ``band/NAME/lower`` and ``band/NAME/upper`` are predicted
    values -+ 2 standard errors of the measurement (where the forecast has a band -+ 2 standard
    deviations of a run; of inner products of directions 2 / sqrt(d) where these are not known), and
    ``band/NAME/measured`` is what was measured at the steps that have both; ``detection/`` holds
    the edges beyond which an eigenvalue is called an outlier. The edge that is measured is the last
    eigenvalue within it, and the one that is predicted is its typical place. ``error/`` holds the
    largest deviations over all blocks (see `spectrain.views.errors`), and ``threshold/`` what a
    measured number is compared with, such as the sharpness at which steps grow.

    Args:
        record: one probing.
        dimension: d; without it inner products have no band where that of a run is not known.
    """
    walked = tuple(numbers(record))
    found: dict[str, float] = {}
    for number in walked:
        if number.kind == "forecast" and number.part == "quantity":
            # What the statistics alone do not give is predicted by the dynamics only.
            found |= _finite(f"predicted/{tag(number)}", number.value)
    curves: dict[str, dict[str, float]] = {kind: {} for kind in reversed(KINDS)}
    for number in walked:
        if math.isfinite(number.value) and _is_curve(number):
            kind = number.kind
            curves[kind][_curve(kind, number.matrix, number.block, number.name)] = number.value
        found |= _finite(f"threshold/{tag(number)}", number.threshold)
    for each in curves.values():
        found |= each
    found.update(_shares(walked))
    found.update(_edges(record, walked))
    found.update(_bands(walked, found, dimension))
    for name, error in errors(record).items():
        found |= _finite(f"error/{name}", error)
    for part, took in record.seconds.items():
        found |= _finite(f"seconds/{safe(part)}", took)
    return found


def tag(number: Number) -> str:
    """The name of a number in tags, behind its kind."""
    return _tag(number.matrix, number.block, number.name)


# Every record has the same names.
@lru_cache(maxsize=8192)
def _tag(matrix: str, block: str, name: str) -> str:
    return f"{place_tag(matrix, block)}/{safe(name)}" if matrix else safe(name)


@lru_cache(maxsize=8192)
def _curve(kind: str, matrix: str, block: str, name: str) -> str:
    return f"{kind}/{_tag(matrix, block, name)}"


def place_tag(matrix: str, block: str) -> str:
    """What the tags of one block begin with, behind their kind."""
    return f"{matrix}/{safe(block)}"


def _finite(name: str, value: float) -> dict[str, float]:
    # A number that is unknown must not hide one that is known.
    return {name: value} if math.isfinite(value) else {}


def _is_curve(number: Number) -> bool:
    if number.part not in _CURVES or number.side == "inside":
        return False
    return number.along is None or not number.along.trained


def _shares(walked: Sequence[Number]) -> Iterator[tuple[str, float]]:
    """Of gradient and update in all eigenvectors at the top together."""
    followed = [number for number in walked if number.part == "track"]
    for part in ("gradient", "update"):
        sums: dict[str, float] = {}
        beginning = f"{part}_top_"
        for number in followed:
            name = f"measured/{place_tag(number.matrix, number.block)}/{part}_share"
            share = number.value if number.name.startswith(beginning) else 0.0
            sums[name] = sums.get(name, 0.0) + share
        yield from ((name, value) for name, value in sums.items() if math.isfinite(value))


def _edges(record: Record, walked: Sequence[Number]) -> Iterator[tuple[str, float]]:
    found: dict[str, float] = {}
    for number in walked:
        if number.kind != "predicted":
            continue
        if number.part == "edge" and number.name in _EDGES:
            found[f"predicted/{tag(number)}"] = number.value
        elif number.part == "detection" and number.name.removesuffix("/detection") in _EDGES:
            found[f"detection/{tag(number).removesuffix('/detection')}"] = number.value
    for theory in record.predicted.spectra if record.predicted is not None else ():
        if theory.bulk is not None:
            seen = record.measured.spectrum(theory.matrix, theory.block)
            for side, name in EDGE_NAMES.items():
                place = place_tag(theory.matrix, theory.block)
                found[f"measured/{place}/{name}"] = last_inside(seen, theory.bulk, side)
    yield from ((name, value) for name, value in found.items() if math.isfinite(value))


def _bands(
    walked: Sequence[Number], found: dict[str, float], dimension: int | None
) -> Iterator[tuple[str, float]]:
    widths: dict[str, float] = {}
    for number in walked:
        if number.is_fixed:
            continue  # it is known without theory
        if number.kind == "measured" and number.part in ("quantity", "eigenvalue"):
            width = number.standard_error
            if number.is_product and dimension is not None:
                width = 1 / math.sqrt(dimension)
            widths[tag(number)] = width
        elif number.kind == "forecast" and math.isfinite(number.band):
            widths[tag(number)] = number.band
    for name, width in widths.items():
        value = found.get(f"measured/{name}", math.nan)
        center = found.get(f"predicted/{name}", math.nan)
        # All three or none: a chart of a curve in its band needs them at the same steps.
        if math.isfinite(value + center + width):
            yield f"band/{name}/measured", value
            yield f"band/{name}/lower", center - BAND * width
            yield f"band/{name}/upper", center + BAND * width
