"""The layout of the tab Custom Scalars: curves of one quantity over one another, or in a band."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from ...probes.records.outliers import EDGE_NAMES
from ...theory.matrix_kind import MatrixKind
from ...theory.spectrum import ENDS
from ..quantities import title
from .scalars import place_tag, safe

__all__ = ["Layout", "layout"]

# Of an eigenvalue's band, the lower line.
_LOWER = re.compile(rf"band/(.+/(?:{'|'.join(ENDS)}))_(\d+)/lower")

Chart = list[str | list[str]]
Layout = dict[str, dict[str, Chart]]

# Errors of all blocks together, see `spectrain.views.errors`, and the titles of their charts.
_ERRORS = {
    "outliers": "outliers (relative)",
    "overlaps": "overlaps of outliers",
    "edges": "edges (share of the bulk's width)",
    "counts": "counts of outliers (sides of blocks)",
    "bulk": "bulk (Kolmogorov distance)",
}


def layout(
    blocks: Iterable[tuple[MatrixKind, str]],
    quantities: Mapping[str, Collection[str]],
    tags: Collection[str],
) -> Layout:
    """The charts for all blocks: margin charts where there is a predicted band, lines otherwise.

    Args:
        blocks: matrix and name of each measured block.
        quantities: tags of the numbers of each quantity, without their kind.
        tags: that have been written so far.

    Returns:
        category -> chart -> [kind, tags], as `SummaryWriter.add_custom_scalars` takes it.
    """
    ranks = _banded_ranks(tags)
    charts = {
        f"{kind.title}, {block}": _block_charts(place_tag(kind.name, block), tags, ranks)
        for kind, block in blocks
    }
    return charts | _quantity_charts(quantities, tags) | _error_charts(quantities, tags)


def _banded_ranks(tags: Iterable[str]) -> dict[str, list[int]]:
    """Of the eigenvalues that have a band, by "MATRIX/BLOCK/SIDE"."""
    found: dict[str, list[int]] = {}
    for tag in tags:
        if tag.startswith("band/") and (match := _LOWER.fullmatch(tag)):
            found.setdefault(match[1], []).append(int(match[2]))
    return found


def _block_charts(
    place: str, tags: Collection[str], banded: Mapping[str, Sequence[int]]
) -> dict[str, Chart]:
    charts: dict[str, Chart] = {}
    for side in ENDS:
        names = rf"{side}_\d+|{EDGE_NAMES[side]}"
        charts[f"{side} eigenvalues"] = _lines(rf"{re.escape(place)}/({names})")
    charts["overlaps"] = _lines(rf"{re.escape(place)}/overlap_.*")
    if f"measured/{place}/gradient_share" in tags:
        names = r"subspace_overlap_top_\d+|gradient_share|update_share|stability"
        charts["from one probing to the next"] = _lines(rf"{re.escape(place)}/({names})")
    for side in ENDS:
        for rank in sorted(banded.get(f"{place}/{side}", ())):
            charts[f"{side} {rank} in its band"] = _margin(f"{place}/{side}_{rank}")
    return charts


def _quantity_charts(quantities: Mapping[str, Collection[str]], tags: Collection[str]) -> Layout:
    """One category for all single numbers, and one for each vector or matrix."""
    numbers: dict[str, Chart] = {}
    others: Layout = {}
    for name, entries in quantities.items():
        if list(entries) == [safe(name)]:
            numbers[name] = _lines(re.escape(safe(name)))
            if f"band/{safe(name)}/lower" in tags:
                numbers[f"{name} in its band"] = _margin(safe(name))
        elif entries:
            others[title(name)] = {
                entry.removeprefix(f"{safe(name)}/"): (
                    _margin(entry) if f"band/{entry}/lower" in tags else _lines(re.escape(entry))
                )
                for entry in entries
            }
    return ({"Numbers": numbers} if numbers else {}) | others


def _error_charts(quantities: Collection[str], tags: Collection[str]) -> Layout:
    charts: dict[str, Chart] = {}
    known = {tag.rpartition("/")[2] for tag in tags if tag.startswith("error/")}
    for name, words in _ERRORS.items():
        if name in known:
            charts[words] = ["Multiline", [rf"^error/[^/]+/{name}$"]]
    for name in quantities:
        if f"error/{name}" in tags:
            charts[name] = ["Multiline", [rf"^error/{re.escape(name)}$"]]
    return {"Largest deviations from theory": charts} if charts else {}


def _lines(name: str) -> Chart:
    """Curves of all kinds, and thresholds; tags are regular expressions here."""
    return ["Multiline", [rf"^(measured|predicted|forecast|threshold)/{name}$"]]


def _margin(name: str) -> Chart:
    """The measured curve inside its predicted band."""
    return ["Margin", [f"band/{name}/{line}" for line in ("measured", "lower", "upper")]]
