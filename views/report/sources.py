"""The papers that a report rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...probes.records.record import Record

__all__ = ["Source", "sources"]


@dataclass(frozen=True)
class Source:
    """A paper, by its arXiv identifier, and what is taken from it."""

    authors: str
    title: str
    arxiv: str
    used_for: str


_SPECTRA = Source(
    "G. Ben Arous, R. Gheissari, J. Huang, A. Jagannath",
    "Local geometry of high-dimensional mixture models: Effective spectral theory and dynamical "
    "transitions",
    "2502.15655",
    "predicted spectra and transitions",
)
_DYNAMICS = Source(
    "G. Ben Arous, R. Gheissari, A. Jagannath",
    "High-dimensional limit theorems for SGD: Effective dynamics and critical scaling",
    "2206.04030",
    "forecasts from the initial Gram matrix",
)
_ALIGNMENT = Source(
    "G. Ben Arous, R. Gheissari, J. Huang, A. Jagannath",
    "High-dimensional SGD aligns with emerging outlier eigenspaces",
    "2310.03010",
    "overlaps of eigenvectors with the reference directions",
)
_TRANSITION = Source(
    "J. Baik, G. Ben Arous, S. Péché",
    "Phase transition of the largest eigenvalue for nonnull complex sample covariance matrices",
    "math/0403022",
    "outliers that leave the bulk",
)
_DETECTION = Source(
    "M. Chiani",
    "Distribution of the largest eigenvalue for real Wishart and Gaussian random matrices and a "
    "simple approximation for the Tracy-Widom distribution",
    "1209.3394",
    "detection edges",
)
_DENSITY = Source(
    "T. Chen, T. Trogdon, S. Ubaru",
    "Analysis of stochastic Lanczos quadrature for spectrum approximation",
    "2105.06595",
    "measured densities",
)


def sources(records: Sequence[Record]) -> tuple[Source, ...]:
    """What these records rest on: theory only where there is a prediction, and so on."""
    predicted = any(record.predicted is not None for record in records)
    forecast = any(record.forecast is not None for record in records)
    density = any(
        spectrum.density is not None for record in records for spectrum in record.measured.spectra
    )
    theory = (_SPECTRA, _ALIGNMENT, _TRANSITION, _DETECTION) if predicted else ()
    return (*theory, *((_DYNAMICS,) if forecast else ()), *((_DENSITY,) if density else ()))
