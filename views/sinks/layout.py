"""The layout of the tab Custom Scalars: curves of one quantity over one another, or in a band."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from ...probes.records.outliers import EDGE_NAMES
from ...theory.matrix_kind import kind_named
from ...theory.spectrum import ENDS
from .scalars import safe

__all__ = ["Layout", "layout"]

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


def layout(blocks: Iterable[tuple[str, str]], tags: Collection[str]) -> Layout:
    """The charts for all blocks: margin charts where there is a predicted band, lines otherwise.

    Args:
        blocks: matrix and name of each measured block.
        tags: that have been written so far.

    Returns:
        category -> chart -> [kind, tags], as `SummaryWriter.add_custom_scalars` takes it.
    """
    charts = {
        f"{kind_named(matrix).title}, {block}": _block_charts(f"{matrix}/{safe(block)}", tags)
        for matrix, block in blocks
    }
    return charts | _mean_charts(tags) | _error_charts(tags)


def _block_charts(place: str, tags: Collection[str]) -> dict[str, Chart]:
    charts: dict[str, Chart] = {}
    for side in ENDS:
        names = rf"{side}_\d+|{EDGE_NAMES[side]}"
        charts[f"{side} eigenvalues"] = _lines(rf"{re.escape(place)}/({names})")
    charts["overlaps"] = _lines(rf"{re.escape(place)}/overlap_.*")
    if f"measured/{place}/gradient_share" in tags:
        names = r"subspace_overlap_top_\d+|gradient_share|update_share|stability"
        charts["from one probing to the next"] = _lines(rf"{re.escape(place)}/({names})")
    for side in ENDS:
        start = f"band/{place}/{side}_"
        ranks = {tag.removeprefix(start).partition("/")[0] for tag in tags if tag.startswith(start)}
        for rank in sorted(map(int, ranks)):
            charts[f"{side} {rank} in its band"] = _margin(f"{place}/{side}_{rank}")
    return charts


def _mean_charts(tags: Collection[str]) -> Layout:
    charts = {name: _lines(name) for name in ("loss", "accuracy")}
    for name in tuple(charts):
        if f"band/{name}/lower" in tags:
            charts[f"{name} in its band"] = _margin(name)
    entries = (tag.removeprefix("measured/") for tag in tags if tag.startswith("measured/gram/"))
    # The means are not trained: their inner products stay what they are.
    trained = [name for name in entries if not name.startswith("gram/mu")]
    gram = {
        name.removeprefix("gram/"): (
            _margin(name) if f"band/{name}/lower" in tags else _lines(re.escape(name))
        )
        for name in trained
    }
    return {"Loss and accuracy": charts} | ({"Gram matrix": gram} if gram else {})


def _error_charts(tags: Collection[str]) -> Layout:
    charts: dict[str, Chart] = {}
    for name, title in _ERRORS.items():
        if any(tag.startswith("error/") and tag.endswith(f"/{name}") for tag in tags):
            charts[title] = ["Multiline", [rf"^error/\w+/{name}$"]]
    return {"Largest deviations from theory": charts} if charts else {}


def _lines(name: str) -> Chart:
    """Measured, predicted and forecast curves; tags are regular expressions here."""
    return ["Multiline", [rf"^(measured|predicted|forecast)/{name}$"]]


def _margin(name: str) -> Chart:
    """The measured curve inside its predicted band."""
    return ["Margin", [f"band/{name}/{line}" for line in ("measured", "lower", "upper")]]
