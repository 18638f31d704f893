"""The mean of records: what many runs have at one step, with its spread over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...probes.krylov.exact_density import exact_density
from ...probes.records.record import Failure, Record
from ...theory.geometry import Geometry
from ...theory.quantity import Quantity
from ...theory.spectrum import Density, Eigenpair, FloatArray, Spectrum

__all__ = ["mean_record"]


def mean_record(records: Sequence[Record], names: Sequence[str]) -> Record:
    """What R runs have at the same step.

    * Of a quantity the mean, its standard error s / sqrt(R) and its band s, the standard deviation
      over runs; errors and band are left out for a single run.
    * Of eigenpairs of equal rank the mean value, overlap, alignment and errors; ``draws`` are the
      values of all runs.
    * Of the densities that of the mean eigenvalues, rank by rank, where all are known.

    Args:
        records: measured, of the same quantities and blocks.
        names: of the runs, for their failures.

    Raises:
        ValueError: if the records are of different steps.
    """
    first = records[0]
    if any(record.step != first.step for record in records):
        raise ValueError(
            f"records: expected those of one step, got {sorted({each.step for each in records})}"
        )
    measured = [record.measured for record in records]
    quantities = tuple(
        _quantity([found for each in measured if (found := each.quantity(quantity.name))])
        for quantity in first.measured.quantities
    )
    spectra = tuple(
        _spectrum([one for each in measured if (one := each.spectrum(own.matrix, own.block))])
        for own in first.measured.spectra
    )
    failures = tuple(
        Failure(failure.part, f"{name}: {failure.reason}", failure.matrix, failure.block)
        for name, record in zip(names, records, strict=True)
        for failure in record.failures
    )
    seconds: dict[str, float] = {}
    for record in records:
        for part, took in record.seconds.items():
            seconds[part] = seconds.get(part, 0.0) + took
    return replace(
        first,
        measured=Geometry(quantities, spectra),
        tracks=(),
        failures=failures,
        seconds=seconds,
    )


def _quantity(found: Sequence[Quantity]) -> Quantity:
    first = found[0]
    values = np.stack([each.values for each in found])
    if len(found) == 1:
        return first
    band = values.std(0, ddof=1)
    return Quantity(
        first.name,
        values.mean(0),
        first.unit,
        first.axes,
        errors=band / np.sqrt(len(found)),
        band=band,
        symmetric=first.symmetric,
        threshold=first.threshold,
        total=first.total,
    )


def _spectrum(found: Sequence[Spectrum]) -> Spectrum:
    first = found[0]
    return replace(
        first,
        top=_pairs([each.top for each in found]),
        bottom=_pairs([each.bottom for each in found]),
        density=_density([each.density for each in found]),
        jacobi=None,
    )


def _pairs(found: Sequence[tuple[Eigenpair, ...]]) -> tuple[Eigenpair, ...]:
    return tuple(_pair(rank) for rank in zip(*found, strict=False))


def _pair(rank: Sequence[Eigenpair]) -> Eigenpair:
    def mean(name: str) -> FloatArray:
        values: FloatArray = np.mean([getattr(each, name) for each in rank], axis=0)
        return values

    return Eigenpair(
        value=float(mean("value")),
        error=float(mean("error")),
        overlap=float(mean("overlap")),
        alignment=mean("alignment"),
        sampling_error=float(mean("sampling_error")),
        draws=np.array([each.value for each in rank]),
    )


def _density(found: Sequence[Density | None]) -> Density | None:
    known = [each for each in found if each is not None and len(each.eigenvalues)]
    if len(known) < len(found) or len({len(each.eigenvalues) for each in known}) != 1:
        return None
    eigenvalues = np.mean([each.eigenvalues for each in known], axis=0)
    return exact_density(eigenvalues, max(each.resolution for each in known))
