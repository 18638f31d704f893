"""The bulk as histograms: how many eigenvalues lie in each bucket, measured and predicted alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ...probes.records.record import Record
from ...theory.spectrum import Density, Edge, FloatArray, Spectrum
from ..readings import spectrum_of
from .scalars import safe

__all__ = ["BUCKETS", "Histogram", "histograms"]

BUCKETS = 60

# Of the edges, between the lowest and the highest.
_PLACES = np.linspace(0.0, 1.0, BUCKETS + 1)
# Shares of an eigenvalue below this are rounding errors of the cumulative law.
_NOTHING = 1e-6


@dataclass(frozen=True)
class Histogram:
    """Numbers of eigenvalues in neighbouring buckets; the outer ones are not empty.

    Attributes:
        edges: (B + 1,) of the buckets, increasing.
        counts: (B,) expected number in each, not whole.
    """

    edges: FloatArray = field(metadata={"unit": "that of the matrix"})
    counts: FloatArray = field(metadata={"unit": "eigenvalues"})


def histograms(record: Record) -> dict[str, Histogram]:
    """N (F(b) - F(a)) for each of 60 equal buckets [a, b] of the bulk, by tag.

    ``measured/MATRIX/BLOCK/bulk`` and ``predicted/MATRIX/BLOCK/bulk`` have the same buckets, which
    reach from one detection edge to the other: outliers would make them too wide to show anything,
    and have scalars of their own. Without a predicted bulk they reach from the last of the
    measured smallest eigenvalues to the last of the largest.
    """
    found: dict[str, Histogram] = {}
    for measured in record.measured.spectra:
        predicted = spectrum_of(record.predicted, measured.matrix, measured.block)
        edges = _edges(measured, predicted)
        if edges is None:
            continue
        name = f"{measured.matrix}/{safe(measured.block)}/bulk"
        for kind, spectrum in (("measured", measured), ("predicted", predicted)):
            if spectrum is not None and spectrum.density is not None:
                histogram = _histogram(spectrum.density, measured.size, edges)
                if histogram is not None:
                    found[f"{kind}/{name}"] = histogram
    return found


def _edges(measured: Spectrum, predicted: Spectrum | None) -> FloatArray | None:
    """Of all buckets; None if there is no interval."""
    low = high = math.nan
    if predicted is not None and predicted.bulk is not None:
        low, high = _end(predicted.bulk.lower), _end(predicted.bulk.upper)
    density = measured.density
    if not low < high and density is not None and len(density.points):
        low = measured.bottom[-1].value if measured.bottom else float(density.points[0])
        high = measured.top[-1].value if measured.top else float(density.points[-1])
    if not (low < high and math.isfinite(high - low)):
        return None
    return low + (high - low) * _PLACES


def _end(edge: Edge) -> float:
    """The detection edge, or what is known in its place; NaN if the bulk has no end."""
    ends = (edge.detection, edge.finite_size, edge.value)
    return next((end for end in ends if math.isfinite(end)), math.nan)


def _histogram(density: Density, size: int, edges: FloatArray) -> Histogram | None:
    """None if there is nothing in any bucket."""
    below = np.interp(edges, density.points, density.cumulative, left=0.0, right=1.0)
    counts = size * (below[1:] - below[:-1])
    counts[~(counts > _NOTHING)] = 0.0
    (filled,) = counts.nonzero()
    if not len(filled):
        return None
    first, last = int(filled[0]), int(filled[-1]) + 1
    return Histogram(edges[first : last + 1], counts[first:last])
