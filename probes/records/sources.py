"""The papers that records rest on."""

from __future__ import annotations

from collections.abc import Iterable

from ...theory.source import Source
from .record import Record

__all__ = ["sources"]

_DENSITY = Source(
    "T. Chen, T. Trogdon, S. Ubaru",
    "Analysis of stochastic Lanczos quadrature for spectrum approximation",
    "2105.06595",
    "measured densities",
)
_EDGE = Source(
    "J. M. Cohen, S. Kaur, Y. Li, J. Z. Kolter, A. Talwalkar",
    "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability",
    "2103.00065",
    "the sharpness at which steps grow",
)
_ADAPTIVE_EDGE = Source(
    "J. M. Cohen, B. Ghorbani, S. Krishnan, N. Agarwal, S. Medapati, M. Badura, D. Suo, "
    "D. Cardoze, Z. Nado, G. E. Dahl, J. Gilmer",
    "Adaptive Gradient Methods at the Edge of Stability",
    "2207.14484",
    "the preconditioned sharpness at which steps grow",
)
_STOCHASTIC_EDGE = Source(
    "A. Andreyev, P. Beneventano",
    "Edge of Stochastic Stability: Revisiting the Edge of Stability for SGD",
    "2412.20553",
    "batch sharpness",
)
# By the measured quantity that rests on it.
_OF_QUANTITIES = {
    "sharpness": _EDGE,
    "preconditioned_sharpness": _ADAPTIVE_EDGE,
    "batch_sharpness": _STOCHASTIC_EDGE,
}


def sources(records: Iterable[Record]) -> tuple[Source, ...]:
    """What these records rest on: what the theory names where it predicted, and the methods."""
    found: dict[Source, None] = {}
    methods: dict[Source, None] = {}
    for record in records:
        if record.predicted is not None or record.forecast is not None:
            found |= dict.fromkeys(record.sources)
        if any(spectrum.density is not None for spectrum in record.measured.spectra):
            methods[_DENSITY] = None
        for quantity in record.measured.quantities:
            if quantity.name in _OF_QUANTITIES:
                methods[_OF_QUANTITIES[quantity.name]] = None
    return tuple(found | methods)
