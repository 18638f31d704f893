"""The scalars of a record: one name for each number, measured, predicted and forecast alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import compress
from typing import NamedTuple

from ...probes.records.columns import Columns, Heading, Identity, columns
from ...probes.records.numbers import Number
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
    walked = [(_tags(each.heading), each) for each in columns(record)]
    found: dict[str, float] = {}
    # What the statistics alone do not give is predicted by the dynamics only: what they give comes
    # after the forecast here, and a number that is unknown must not hide one that is known.
    is_known = math.isfinite
    for tags, each in reversed(walked):
        for curves in tags.curves:
            for name, value in zip(curves, compress(each.values, tags.is_curve), strict=True):
                if is_known(value):
                    found[name] = value
        if each.thresholds is not None:
            for name, value in zip(tags.thresholds, each.thresholds, strict=True):
                if is_known(value):
                    found[name] = value
    found.update(_shares(record))
    found.update(_measured_edges(record))
    found.update(_bands(walked, found, dimension))
    found.update((f"error/{name}", error) for name, error in errors(record).items())
    for part, took in record.seconds.items():
        if math.isfinite(took):
            found[f"seconds/{safe(part)}"] = took
    return found


def tag(number: Number | Identity) -> str:
    """The name of a number in tags, behind its kind."""
    return (
        f"{place_tag(number.matrix, number.block)}/{safe(number.name)}"
        if number.matrix
        else safe(number.name)
    )


def place_tag(matrix: str, block: str) -> str:
    """What the tags of one block begin with, behind their kind."""
    return f"{matrix}/{safe(block)}"


class _Tags(NamedTuple):
    """The names of the numbers under one heading.

    Attributes:
        is_curve: whether each number is worth a curve.
        curves: names of those that are; of what the forecast has of quantities twice.
        thresholds: of all numbers.
        banded: places and names, without their kind, of those that can have a band.
    """

    is_curve: tuple[bool, ...]
    curves: tuple[tuple[str, ...], ...]
    thresholds: tuple[str, ...]
    banded: tuple[tuple[int, str], ...]


# Every record has the same headings.
@lru_cache(maxsize=1024)
def _tags(heading: Heading) -> _Tags:
    names = [tag(each) for each in heading.entries]
    found = [*map(_curve, heading.entries, names)]
    curves = [tuple(filter(None, found))]
    if all((each.kind, each.part) == ("forecast", "quantity") for each in heading.entries):
        curves.append(tuple(f"predicted/{name}" for name in names))
    return _Tags(
        tuple(map(bool, found)),
        tuple(curves),
        tuple(f"threshold/{name}" for name in names),
        tuple(
            (place, name)
            for place, (each, name) in enumerate(zip(heading.entries, names, strict=True))
            # What is fixed is known without theory.
            if each.part in ("quantity", "eigenvalue") and not each.is_fixed
        ),
    )


def _curve(number: Identity, name: str) -> str:
    """The tag of a number; empty where it is not worth a curve."""
    if number.part in ("edge", "detection"):
        edge = number.name.removesuffix("/detection")
        if number.kind != "predicted" or edge not in _EDGES:
            return ""
        kind = "predicted" if number.part == "edge" else "detection"
        return f"{kind}/{place_tag(number.matrix, number.block)}/{edge}"
    is_trained = number.along is not None and number.along.trained
    if number.part not in _CURVES or number.side == "inside" or is_trained:
        return ""
    return f"{number.kind}/{name}"


def _shares(record: Record) -> Iterator[tuple[str, float]]:
    """Of gradient and update in all eigenvectors at the top together."""
    for track in record.tracks:
        for part, shares in (("gradient", track.top.gradient), ("update", track.top.update)):
            share = sum(shares.tolist())
            if math.isfinite(share):
                yield f"measured/{place_tag(track.matrix, track.block)}/{part}_share", share


def _measured_edges(record: Record) -> Iterator[tuple[str, float]]:
    for theory in record.predicted.spectra if record.predicted is not None else ():
        if theory.bulk is not None:
            seen = record.measured.spectrum(theory.matrix, theory.block)
            for side, name in EDGE_NAMES.items():
                value = last_inside(seen, theory.bulk, side)
                if math.isfinite(value):
                    yield f"measured/{place_tag(theory.matrix, theory.block)}/{name}", value


class _Band(NamedTuple):
    """The tags of a number and of its band."""

    measured: str
    predicted: str
    curve: str
    lower: str
    upper: str


@lru_cache(maxsize=8192)
def _band(name: str) -> _Band:
    lines = (f"band/{name}/{line}" for line in ("measured", "lower", "upper"))
    return _Band(f"measured/{name}", f"predicted/{name}", *lines)


def _bands(
    walked: Sequence[tuple[_Tags, Columns]], found: dict[str, float], dimension: int | None
) -> Iterator[tuple[str, float]]:
    for name, width in _widths(walked, dimension).items():
        band = _band(name)
        value, center = found.get(band.measured, math.nan), found.get(band.predicted, math.nan)
        # All three or none: a chart of a curve in its band needs them at the same steps.
        if math.isfinite(value + center + width):
            yield band.curve, value
            yield band.lower, center - BAND * width
            yield band.upper, center + BAND * width


def _widths(walked: Sequence[tuple[_Tags, Columns]], dimension: int | None) -> dict[str, float]:
    """Standard errors of what is measured, by name; deviations of a run where they are known."""
    widths: dict[str, float] = {}
    for tags, each in walked:
        entries = each.heading.entries
        known = each.standard_errors
        if not tags.banded:
            continue
        kind = entries[0].kind
        if kind == "measured" and entries[0].is_product and dimension is not None:
            width = 1 / math.sqrt(dimension)
            widths.update((name, width) for _, name in tags.banded)
        elif kind == "measured" and known is not None:
            widths.update((name, known[place]) for place, name in tags.banded)
        elif kind == "forecast" and each.bands is not None:
            for place, name in tags.banded:
                if math.isfinite(each.bands[place]):
                    widths[name] = each.bands[place]
    return widths
