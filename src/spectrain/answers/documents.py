"""Documents: predictions as values that strict JSON can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..theory.spectrum import (
    SIDE_WORDS,
    Bulk,
    Density,
    EdgeKind,
    Eigenpair,
    FloatArray,
    Side,
    Spectrum,
)

__all__ = ["Document", "json_text", "plain", "spectrum_document"]

Document = dict[str, Any]

# Every kind that does not vanish as a square root is "thin" to a reader of the document.
_KINDS: dict[EdgeKind, str] = {
    "square-root": "square-root",
    "thin": "thin",
    "hard": "thin",
    "infinite": "thin",
}
_SAME = 1e-9  # relative difference below which two outliers are one of higher multiplicity


def json_text(document: Document) -> str:
    """The document on one line of strict JSON."""
    return json.dumps(document, allow_nan=False)


def plain(value: Any) -> Any:
    """Lists and numbers of Python instead of arrays, null instead of what is not finite."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else None  # no negative zero
    return value


def spectrum_document(
    spectrum: Spectrum, eigenvalues: FloatArray, dimension: int | None
) -> Document:
    """What `spectrain predict` prints; see docs/reference.md.

    Args:
        spectrum: a predicted one.
        eigenvalues: predicted eigenvalues, in the order asked.
        dimension: d, or None if there are no finite-size edges.
    """
    assert spectrum.bulk is not None
    bulk, bottom = spectrum.bulk, spectrum.bottom[::-1]  # by falling value, as the others
    pairs = (*spectrum.top, *spectrum.inside, *bottom)
    return {
        "bulk": _bulk_document(bulk, spectrum.density, dimension),
        "outliers": [
            *_outliers(spectrum.top, "top"),
            *_outliers(spectrum.inside, "inside"),
            *_outliers(bottom, "bottom"),
        ],
        "eigenvalues": plain(eigenvalues),
        "error": plain(max([_edge_error(bulk), *(_relative_error(pair) for pair in pairs)])),
    }


def _bulk_document(bulk: Bulk, density: Density | None, dimension: int | None) -> Document:
    document: Document = {
        "edges": [[lower.value, upper.value] for lower, upper in bulk.bands],
        "edge_kinds": [[_KINDS[lower.kind], _KINDS[upper.kind]] for lower, upper in bulk.bands],
    }
    if dimension is not None:
        document["finite_size_edges"] = [bulk.lower.finite_size, bulk.upper.finite_size]
        document["detection_edges"] = [bulk.lower.detection, bulk.upper.detection]
        errors = [bulk.lower.detection_error, bulk.upper.detection_error]
        document["detection_edge_errors"] = errors
    if density is not None:
        document["density"] = {
            "points": density.points,
            "values": density.curve,
            "errors": density.errors,
        }
    document["atom_at_zero"] = bulk.atom
    result: Document = plain(document)
    return result


def _outliers(pairs: Sequence[Eigenpair], side: Side) -> list[Document]:
    """Each outlier once, with its multiplicity; pairs by falling value."""
    groups: list[list[Eigenpair]] = []
    for pair in pairs:
        if groups and _are_one(groups[-1][-1], pair):
            groups[-1].append(pair)
        else:
            groups.append([pair])
    return [
        plain(
            {
                "value": np.mean([pair.value for pair in group]),
                "overlap": np.mean([pair.overlap for pair in group]),
                "multiplicity": len(group),
                "side": SIDE_WORDS[side],
                "error": max(map(_relative_error, group)),
            }
        )
        for group in groups
    ]


def _are_one(first: Eigenpair, second: Eigenpair) -> bool:
    """Whether two outliers are equal as far as their numerical errors tell."""
    allowed = first.error + second.error + _SAME * abs(first.value)
    return abs(first.value - second.value) <= allowed


def _relative_error(pair: Eigenpair) -> float:
    return pair.error / abs(pair.value) if pair.value else math.inf


def _edge_error(bulk: Bulk) -> float:
    """Largest error of a finite edge, relative to the largest finite edge."""
    edges = [edge for band in bulk.bands for edge in band if math.isfinite(edge.value)]
    scale = max((abs(edge.value) for edge in edges), default=0.0)
    errors = [edge.error for edge in edges if math.isfinite(edge.error)]
    return max(errors, default=0.0) / scale if scale > 0 else 0.0
