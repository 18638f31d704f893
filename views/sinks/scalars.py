"""The scalars of a record: one name for each number, measured, predicted and forecast alike."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from ...probes.records.outliers import EDGE_NAMES, edge, last_inside, pairs
from ...probes.records.record import Geometry, Record
from ...probes.records.record_table import BAND
from ...probes.records.track import Track
from ...theory.direction import Direction
from ...theory.spectrum import ENDS, Eigenpair, Spectrum
from ..errors import errors

__all__ = ["safe", "scalars"]


def scalars(record: Record, dimension: int | None = None) -> dict[str, float]:
    """Every finite number of a record, by tag.

    The same name under ``measured/``, ``predicted/`` and ``forecast/`` is the same quantity, for
    example ``hessian/class_0/top_1``. ``band/NAME/lower`` and ``band/NAME/upper`` are predicted
    values -+ 2 standard errors of the measurement (Gram matrix: forecast -+ 2 standard deviations
    of a run, or 2 / sqrt(d) where these are not known), and ``band/NAME/measured`` is what was
    measured at the steps that have both; ``detection/`` holds the edges beyond which
    an eigenvalue is called an outlier. The edge that is measured is the last eigenvalue within it,
    and the one that is predicted is its typical place. ``error/`` holds the largest deviations over
    all blocks (see `spectrain.views.errors`).

    Args:
        record: one probing.
        dimension: d; without it the Gram matrix has no band where that of a run is not known.
    """
    found: dict[str, float] = {}
    forecast, predicted = record.forecast, record.predicted
    if forecast is not None:
        # What the Gram matrix alone does not give is predicted by the dynamics only.
        found.update(_prefixed("predicted", _means(forecast)))
        found.update(_prefixed("forecast", _geometry(forecast, record.reference)))
    if predicted is not None:
        found.update(_prefixed("predicted", _geometry(predicted, record.reference)))
    found.update(_prefixed("measured", _geometry(record.measured, record.reference)))
    for track in record.tracks:
        found.update(_prefixed("measured", _track(track)))
    if predicted is not None:
        found.update(_edges(record.measured, predicted))
    found.update(_bands(record, found, dimension))
    found.update(_prefixed("error", errors(record).items()))
    found.update({f"seconds/{safe(part)}": took for part, took in record.seconds.items()})
    return {tag: value for tag, value in found.items() if math.isfinite(value)}


def safe(name: str) -> str:
    """A name without blanks and other characters that tags do not take."""
    return re.sub(r"[^-\w./]+", "_", name)


def _prefixed(prefix: str, named: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    # A number that is unknown must not hide one that is known.
    return ((f"{prefix}/{name}", value) for name, value in named if math.isfinite(value))


def _geometry(geometry: Geometry, directions: tuple[Direction, ...]) -> Iterator[tuple[str, float]]:
    yield from _means(geometry)
    for spectrum in geometry.spectra:
        yield from _spectrum(spectrum, directions)


def _means(geometry: Geometry) -> Iterator[tuple[str, float]]:
    for quantity in geometry.quantities:
        yield from ((safe(entry.name), entry.value) for entry in quantity.entries())


def _place(matrix: str, block: str) -> str:
    return f"{matrix}/{safe(block)}"


def _spectrum(spectrum: Spectrum, directions: tuple[Direction, ...]) -> Iterator[tuple[str, float]]:
    place = _place(spectrum.matrix, spectrum.block)
    for side in ENDS:
        for rank, pair in enumerate(pairs(spectrum, side), 1):
            yield f"{place}/{side}_{rank}", pair.value
            yield f"{place}/overlap_{side}_{rank}", pair.overlap
            for name, share in _alignments(pair, directions):
                yield f"{place}/alignment_{side}_{rank}/{name}", share


def _alignments(pair: Eigenpair, directions: tuple[Direction, ...]) -> Iterator[tuple[str, float]]:
    """Alignment with each direction that stays."""
    for direction, share in zip(directions, pair.alignment, strict=False):
        if not direction.trained:
            yield safe(direction.name), float(share)


def _track(track: Track) -> Iterator[tuple[str, float]]:
    place = _place(track.matrix, track.block)
    yield f"{place}/stability", track.stability
    yield f"{place}/gradient_share", float(track.top.gradient.sum())
    yield f"{place}/update_share", float(track.top.update.sum())
    for side in ENDS:
        followed = track.top if side == "top" else track.bottom
        for rank in range(1, len(followed.branches) + 1):
            yield f"{place}/branch_{side}_{rank}", float(followed.branches[rank - 1])
            yield (
                f"{place}/subspace_overlap_{side}_{rank}",
                float(followed.subspace_overlap[rank - 1]),
            )
            yield f"{place}/gradient_{side}_{rank}", float(followed.gradient[rank - 1])
            yield f"{place}/update_{side}_{rank}", float(followed.update[rank - 1])


def _edges(measured: Geometry, predicted: Geometry) -> Iterator[tuple[str, float]]:
    for theory in predicted.spectra:
        if theory.bulk is None:
            continue
        place = _place(theory.matrix, theory.block)
        for side, name in EDGE_NAMES.items():
            end = edge(theory.bulk, side)
            yield f"predicted/{place}/{name}", end.finite_size
            yield f"detection/{place}/{name}", end.detection
            seen = measured.spectrum(theory.matrix, theory.block)
            yield f"measured/{place}/{name}", last_inside(seen, theory.bulk, side)


def _bands(
    record: Record, found: dict[str, float], dimension: int | None
) -> Iterator[tuple[str, float]]:
    measured = record.measured
    widths: dict[str, float] = {}
    for quantity in measured.quantities:
        widths.update({safe(entry.name): entry.error for entry in quantity.entries()})
    for spectrum in measured.spectra:
        for side in ENDS:
            for rank, pair in enumerate(pairs(spectrum, side), 1):
                name = f"{_place(spectrum.matrix, spectrum.block)}/{side}_{rank}"
                widths[name] = pair.sampling_error
    gram = measured.quantity("gram")
    if dimension is not None and gram is not None:
        widths.update(
            dict.fromkeys((safe(e.name) for e in gram.entries()), 1 / math.sqrt(dimension))
        )
    for quantity in record.forecast.quantities if record.forecast is not None else ():
        for entry in quantity.entries():
            if math.isfinite(entry.band):
                widths[safe(entry.name)] = entry.band
    known = _products_of_fixed(record.reference)
    for name, width in widths.items():
        if width == 0 or name in known:
            continue  # it is known without theory
        value = found.get(f"measured/{name}", math.nan)
        center = found.get(f"predicted/{name}", math.nan)
        # All three or none: a chart of a curve in its band needs them at the same steps.
        if math.isfinite(value + center + width):
            yield f"band/{name}/measured", value
            yield f"band/{name}/lower", center - BAND * width
            yield f"band/{name}/upper", center + BAND * width


def _products_of_fixed(directions: tuple[Direction, ...]) -> set[str]:
    """Entries of a Gram matrix that no training changes."""
    fixed = [direction.name for direction in directions if not direction.trained]
    return {safe(f"gram/{a}.{b}") for a in fixed for b in fixed}
