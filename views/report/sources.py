"""The papers that a report rests on."""

from __future__ import annotations

from collections.abc import Sequence

from ...probes.records.record import Record
from ...theory.source import Source

__all__ = ["sources"]

_DENSITY = Source(
    "T. Chen, T. Trogdon, S. Ubaru",
    "Analysis of stochastic Lanczos quadrature for spectrum approximation",
    "2105.06595",
    "measured densities",
)


def sources(records: Sequence[Record]) -> tuple[Source, ...]:
    """What these records rest on: what the theory names where it predicted, and the densities."""
    found = {
        source: None
        for record in records
        if record.predicted is not None or record.forecast is not None
        for source in record.sources
    }
    density = any(
        spectrum.density is not None for record in records for spectrum in record.measured.spectra
    )
    return (*found, *((_DENSITY,) if density else ()))
