"""The numbers of a record part by part: what they are once for each shape, values as columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from ...theory.direction import Direction
from ...theory.matrix_kind import kind_named
from ...theory.quantity import Quantity
from ...theory.spectrum import ENDS, SIDES, Bulk, Edge, Eigenpair, Spectrum
from .outliers import EDGE_NAMES, edge
from .record import Geometry, Record
from .track import Followed, Track

__all__ = [
    "KINDS",
    "SHARE",
    "Columns",
    "Heading",
    "Identity",
    "Kind",
    "Part",
    "are_inner_products",
    "columns",
    "quantity_columns",
]

Kind = Literal["measured", "predicted", "forecast"]
KINDS: tuple[Kind, ...] = ("measured", "predicted", "forecast")
SHARE = "share"

Part = Literal[
    "quantity", "eigenvalue", "overlap", "parameter overlap", "alignment", "draw", "edge", "limit",
    "detection", "atom", "track",
]  # fmt: skip

# Kind, matrix and block of a spectrum; how many alignments and draws an eigenpair has.
_Place = tuple[Kind, str, str]
_PairShape = tuple[int, int]

# A run has a few dozen.
_HEADINGS = 1024


class Identity(NamedTuple):
    """What a number is, whatever its value: the fields of `Number` of the same names."""

    kind: Kind
    matrix: str
    block: str
    name: str
    unit: str
    part: Part
    quantity: str = ""
    is_product: bool = False
    is_fixed: bool = False
    side: str = ""
    along: Direction | None = None


@dataclass(frozen=True, eq=False)
class Heading:
    """What the numbers of one part of a record are, in order.

    Parts of the same shape have the same heading, so that what follows from it is found once and
    kept under it.
    """

    entries: tuple[Identity, ...]


class Columns(NamedTuple):
    """The numbers of one part of a record, a quantity or a spectrum or a track.

    Attributes:
        heading: what they are.
        values: NaN if unknown.
        errors: see `Number`, as those that follow; None where none is known.
        standard_errors: likewise.
        bands: likewise.
        thresholds: likewise.
    """

    heading: Heading
    values: list[float]
    errors: Sequence[float] | None = None
    standard_errors: Sequence[float] | None = None
    bands: Sequence[float] | None = None
    thresholds: Sequence[float] | None = None


def columns(record: Record) -> Iterator[Columns]:
    """Every number of a record but the grids of densities: measured, predicted, forecast."""
    reference = _reference(record.reference)
    for kind in KINDS:
        geometry: Geometry | None = getattr(record, kind)
        if geometry is not None:
            for quantity in geometry.quantities:
                yield _of_quantity(quantity, kind, reference)
            for spectrum in geometry.spectra:
                unit = kind_named(spectrum.matrix, record.matrices).unit
                yield _of_spectrum(spectrum, kind, unit, reference)
        if kind == "measured":
            yield from map(_of_track, record.tracks)


def quantity_columns(record: Record) -> Iterator[Columns]:
    """Those of the same walk that belong to quantities."""
    reference = _reference(record.reference)
    for kind in KINDS:
        geometry: Geometry | None = getattr(record, kind)
        for quantity in geometry.quantities if geometry is not None else ():
            yield _of_quantity(quantity, kind, reference)


def are_inner_products(quantity: Quantity, reference: Sequence[Direction]) -> bool:
    """Whether a quantity is the matrix of inner products of the reference directions."""
    names = tuple(direction.name for direction in reference)
    square = quantity.symmetric and quantity.axes == (names, names)
    return square and quantity.unit == "squared parameter"


@dataclass(frozen=True, eq=False)
class _Reference:
    """Reference directions, the same object for equal ones."""

    directions: tuple[Direction, ...]


@lru_cache(_HEADINGS)
def _reference(directions: tuple[Direction, ...]) -> _Reference:
    return _Reference(directions)


def _of_quantity(quantity: Quantity, kind: Kind, reference: _Reference) -> Columns:
    heading = _quantity_heading(
        kind, quantity.name, quantity.unit, quantity.axes, quantity.symmetric, reference
    )
    values = quantity.column(quantity.values)
    assert values is not None
    errors = quantity.column(quantity.errors)
    # The error of a measurement is a standard error; a theory has bands for that.
    numerical, standard = (None, errors) if kind == "measured" else (errors, None)
    bands, thresholds = quantity.column(quantity.band), quantity.column(quantity.threshold)
    return Columns(heading, values, numerical, standard, bands, thresholds)


@lru_cache(_HEADINGS)
def _quantity_heading(
    kind: Kind,
    name: str,
    unit: str,
    axes: tuple[tuple[str, ...], ...],
    symmetric: bool,
    reference: _Reference,
) -> Heading:
    shape = tuple(map(len, axes))
    quantity = Quantity(name, np.zeros(shape), unit, axes, symmetric=symmetric)
    is_product = are_inner_products(quantity, reference.directions)
    stay = [direction.name for direction in reference.directions if not direction.trained]
    fixed = {f"{name}/{a}.{b}" for a in stay for b in stay} if is_product else set()
    return Heading(
        tuple(
            Identity(
                kind, "", "", entry, unit, "quantity",
                quantity=name, is_product=is_product, is_fixed=entry in fixed,
            )
            for entry in quantity.entries()
        )
    )  # fmt: skip


def _of_spectrum(spectrum: Spectrum, kind: Kind, unit: str, reference: _Reference) -> Columns:
    values: list[float] = []
    errors: list[float] = []
    standard_errors: list[float] = []
    most = len(reference.directions)
    shapes = []
    for side in SIDES:
        pairs: tuple[Eigenpair, ...] = getattr(spectrum, side)
        shape = []
        for pair in pairs:
            shares = pair.alignment.tolist()
            count, draws = len(shares), len(pair.draws)
            values += (pair.value, pair.overlap, pair.parameter_overlap)
            if count > most:
                count, shares = most, shares[:most]
            values += shares
            if draws > 1:
                values += pair.draws.tolist()
            else:
                draws = 0
            unknown = [math.nan] * (2 + count + draws)
            errors.append(pair.error)
            errors += unknown
            standard_errors.append(pair.sampling_error)
            standard_errors += unknown
            shape.append((count, draws))
        shapes.append(tuple(shape))
    gaps = None
    if spectrum.bulk is not None:
        gaps = len(spectrum.bulk.gaps)
        for one in _edges(spectrum.bulk):
            values += (one.finite_size, one.value, one.detection)
            errors += (math.nan, one.error, one.detection_error)
        values.append(spectrum.bulk.atom)
        unknown = [math.nan] * (len(values) - len(standard_errors))
        standard_errors += unknown
        errors.append(math.nan)
    place = (kind, spectrum.matrix, spectrum.block)
    heading = _spectrum_heading(place, unit, tuple(shapes), gaps, reference)
    return Columns(heading, values, errors, standard_errors)


def _edges(bulk: Bulk) -> list[Edge]:
    """Those of the whole bulk, then those of its gaps."""
    return [
        *(edge(bulk, end) for end in reversed(ENDS)),
        *(one for gap in bulk.gaps for one in (gap.lower, gap.upper)),
    ]


@lru_cache(_HEADINGS)
def _spectrum_heading(
    place: _Place,
    unit: str,
    shapes: tuple[tuple[_PairShape, ...], ...],
    gaps: int | None,
    reference: _Reference,
) -> Heading:
    found: list[Identity] = []
    for side, pairs in zip(SIDES, shapes, strict=True):
        for rank, shape in enumerate(pairs, start=1):
            found += _pair(place, unit, side, rank, shape, reference.directions)
    if gaps is not None:
        names = [EDGE_NAMES[end] for end in reversed(ENDS)]
        for number in range(1, gaps + 1):
            names += [f"gap_{number}/lower_edge", f"gap_{number}/upper_edge"]
        for name in names:
            found += [
                Identity(*place, name, unit, "edge"),
                Identity(*place, f"{name}/limit", unit, "limit"),
                Identity(*place, f"{name}/detection", unit, "detection"),
            ]
        found.append(Identity(*place, "atom", SHARE, "atom"))
    return Heading(tuple(found))


def _pair(
    place: _Place,
    unit: str,
    side: str,
    rank: int,
    shape: _PairShape,
    directions: tuple[Direction, ...],
) -> Iterator[Identity]:
    at = f"{side}_{rank}"
    alignments, draws = shape
    yield Identity(*place, at, unit, "eigenvalue", side=side)
    yield Identity(*place, f"overlap_{at}", SHARE, "overlap", side=side)
    yield Identity(*place, f"parameter_overlap_{at}", SHARE, "parameter overlap", side=side)
    for along in directions[:alignments]:
        name = f"alignment_{at}/{along.name}"
        yield Identity(*place, name, SHARE, "alignment", side=side, along=along)
    for draw in range(1, draws + 1):
        yield Identity(*place, f"{at}/draw_{draw}", unit, "draw", side=side)


# Of a track, in this order at each end, with their units.
_FOLLOWED = {
    "branch": "number of the branch",
    "subspace_overlap": SHARE,
    "gradient": SHARE,
    "update": SHARE,
}


def _of_track(track: Track) -> Columns:
    values = [track.stability]
    for side in ENDS:
        ones: Followed = getattr(track, side)
        values += map(float, ones.branches.tolist())
        for share in (ones.subspace_overlap, ones.gradient, ones.update):
            values += share.tolist()
    ranks = tuple(len(getattr(track, side).branches) for side in ENDS)
    return Columns(_track_heading(("measured", track.matrix, track.block), ranks), values)


@lru_cache(_HEADINGS)
def _track_heading(place: _Place, ranks: tuple[int, ...]) -> Heading:
    found = [Identity(*place, "stability", "1", "track")]
    for side, count in zip(ENDS, ranks, strict=True):
        for name, unit in _FOLLOWED.items():
            found += [
                Identity(*place, f"{name}_{side}_{rank}", unit, "track")
                for rank in range(1, count + 1)
            ]
    return Heading(tuple(found))
