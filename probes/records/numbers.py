"""One walk over a record: each of its numbers with where it stands, what it is, and its errors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...theory.direction import Direction
from ...theory.matrix_kind import MatrixKind, kind_named
from ...theory.quantity import Quantity
from ...theory.spectrum import ENDS, SIDES, Bulk, Edge, Eigenpair, FloatArray, Spectrum
from .outliers import EDGE_NAMES, edge
from .record import Geometry, Record
from .track import Followed, Track

__all__ = [
    "KINDS",
    "SHARE",
    "Kind",
    "Number",
    "Part",
    "are_inner_products",
    "numbers",
    "quantity_numbers",
]

Kind = Literal["measured", "predicted", "forecast"]
KINDS: tuple[Kind, ...] = ("measured", "predicted", "forecast")
SHARE = "share"

Part = Literal[
    "quantity", "eigenvalue", "overlap", "parameter overlap", "alignment", "draw", "edge", "limit",
    "detection", "atom", "track",
]  # fmt: skip


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
    for kind in KINDS:
        geometry: Geometry | None = getattr(record, kind)
        if geometry is not None:
            for quantity in geometry.quantities:
                yield from _entries(quantity, kind, record.reference)
            for spectrum in geometry.spectra:
                yield from _spectrum(spectrum, kind, record.reference, record.matrices)
        if kind == "measured":
            for track in record.tracks:
                yield from _track(track)


def quantity_numbers(record: Record) -> Iterator[Number]:
    """Those of the same walk that belong to quantities."""
    for kind in KINDS:
        geometry: Geometry | None = getattr(record, kind)
        for quantity in geometry.quantities if geometry is not None else ():
            yield from _entries(quantity, kind, record.reference)


def are_inner_products(quantity: Quantity, reference: Sequence[Direction]) -> bool:
    """Whether a quantity is the matrix of inner products of the reference directions."""
    names = tuple(direction.name for direction in reference)
    square = quantity.symmetric and quantity.axes == (names, names)
    return square and quantity.unit == "squared parameter"


def _entries(quantity: Quantity, kind: Kind, reference: Sequence[Direction]) -> Iterator[Number]:
    measured = kind == "measured"
    is_product = are_inner_products(quantity, reference)
    stay = [direction.name for direction in reference if not direction.trained]
    fixed = {f"{quantity.name}/{a}.{b}" for a in stay for b in stay}
    for entry in quantity.entries():
        yield Number(
            kind, "", "", entry.name, entry.value, quantity.unit, "quantity",
            # The error of a measurement is a standard error; a theory has bands for that.
            error=math.nan if measured else entry.error,
            standard_error=entry.error if measured else math.nan,
            band=entry.band,
            quantity=quantity.name,
            is_product=is_product,
            is_fixed=is_product and entry.name in fixed,
            threshold=entry.threshold,
        )  # fmt: skip


def _spectrum(
    spectrum: Spectrum, kind: Kind, reference: Sequence[Direction], kinds: Sequence[MatrixKind]
) -> list[Number]:
    place, unit = (kind, spectrum.matrix, spectrum.block), kind_named(spectrum.matrix, kinds).unit
    found: list[Number] = []
    for side in SIDES:
        pairs: tuple[Eigenpair, ...] = getattr(spectrum, side)
        for rank, pair in enumerate(pairs, start=1):
            found += _pair(place, unit, side, rank, pair, reference)
    if spectrum.bulk is not None:
        found += _bulk(place, spectrum.bulk, unit)
    return found


class _Names(NamedTuple):
    """Of the numbers of one eigenpair."""

    value: str
    overlap: str
    parameter_overlap: str
    alignment: str

    @staticmethod
    @cache
    def of(side: str, rank: int) -> _Names:
        """Of the eigenpair at this place."""
        at = f"{side}_{rank}"
        return _Names(at, f"overlap_{at}", f"parameter_overlap_{at}", f"alignment_{at}/")


def _pair(
    place: tuple[Kind, str, str],
    unit: str,
    side: str,
    rank: int,
    pair: Eigenpair,
    reference: Sequence[Direction],
) -> list[Number]:
    kind, matrix, block = place
    names, nan = _Names.of(side, rank), math.nan
    rest = (nan, nan, nan, "", False, False, side, None, nan)

    # Hundreds of them in a record: this takes half as long as a call of the class.
    def one(name: str, value: float, unit: str, part: Part) -> Number:
        return tuple.__new__(Number, (kind, matrix, block, name, value, unit, part, *rest))

    found = [
        Number(
            kind, matrix, block, names.value, pair.value, unit, "eigenvalue",
            pair.error, pair.sampling_error, side=side,
        ),
        one(names.overlap, pair.overlap, SHARE, "overlap"),
        one(names.parameter_overlap, pair.parameter_overlap, SHARE, "parameter overlap"),
    ]  # fmt: skip
    start = rest[:-2]
    for along, share in zip(reference, pair.alignment.tolist(), strict=False):
        name = names.alignment + along.name
        fields = (kind, matrix, block, name, share, SHARE, "alignment", *start, along, nan)
        found.append(tuple.__new__(Number, fields))
    if len(pair.draws) > 1:
        for draw, value in enumerate(pair.draws.tolist(), start=1):
            found.append(one(f"{names.value}/draw_{draw}", value, unit, "draw"))
    return found


def _bulk(place: tuple[Kind, str, str], bulk: Bulk, unit: str) -> list[Number]:
    edges: dict[str, Edge] = {EDGE_NAMES[end]: edge(bulk, end) for end in reversed(ENDS)}
    for number, gap in enumerate(bulk.gaps, start=1):
        edges |= {f"gap_{number}/lower_edge": gap.lower, f"gap_{number}/upper_edge": gap.upper}
    found = []
    for name, one in edges.items():
        found += [
            Number(*place, name, one.finite_size, unit, "edge"),
            Number(*place, f"{name}/limit", one.value, unit, "limit", one.error),
            Number(*place, f"{name}/detection", one.detection, unit, "detection"),
        ]
    return [*found, Number(*place, "atom", bulk.atom, SHARE, "atom")]


def _track(track: Track) -> list[Number]:
    place: tuple[Kind, str, str] = ("measured", track.matrix, track.block)
    found = [Number(*place, "stability", track.stability, "1", "track")]
    for side in ENDS:
        ones: Followed = getattr(track, side)
        columns: dict[str, tuple[FloatArray | NDArray[np.int64], str]] = {
            "branch": (ones.branches, "number of the branch"),
            "subspace_overlap": (ones.subspace_overlap, SHARE),
            "gradient": (ones.gradient, SHARE),
            "update": (ones.update, SHARE),
        }
        for name, (values, unit) in columns.items():
            found += [
                Number(*place, f"{name}_{side}_{rank}", float(value), unit, "track")
                for rank, value in enumerate(values.tolist(), start=1)
            ]
    return found
