"""Documents as short tables, for people."""

from __future__ import annotations

from collections.abc import Sequence

from .documents import Document

__all__ = ["path_text", "prediction_text"]


def prediction_text(document: Document) -> str:
    """The bulk, the outliers and the eigenvalues that were asked for."""
    bulk = document["bulk"]
    lines = []
    for (lower, upper), (lower_kind, upper_kind) in zip(
        bulk["edges"], bulk["edge_kinds"], strict=True
    ):
        lines.append(f"bulk               {_range(lower, upper)}  ({lower_kind}, {upper_kind})")
    for key in ("finite_size_edges", "detection_edges"):
        if key in bulk:
            lines.append(f"{key.replace('_', ' '):19}{_range(*bulk[key])}")
    lines.append(f"atom at zero       {_number(bulk['atom_at_zero'])}")
    outliers = [
        [
            outlier["side"],
            _number(outlier["value"]),
            _number(outlier["overlap"]),
            str(outlier["multiplicity"]),
            _error(outlier["error"]),
        ]
        for outlier in document["outliers"]
    ]
    if outliers:
        head = ["outliers", "value", "overlap", "multiplicity", "error"]
        lines += ["", *_table(head, outliers)]
    else:
        lines.append("outliers           none")
    if document["eigenvalues"]:
        values = ", ".join(_number(value) for value in document["eigenvalues"])
        lines += ["", f"eigenvalues        {values}"]
    return "\n".join([*lines, "", f"relative error     {_error(document['error'])}"])


def path_text(document: Document) -> str:
    """Loss and accuracy over time, and the last Gram matrix."""
    times = document["times"]
    columns = {"t": times, "loss": document["loss"]}
    if document["accuracy"] is not None:
        columns["accuracy"] = document["accuracy"]
    rows = [[_number(value) for value in row] for row in zip(*columns.values(), strict=True)]
    lines = _table(list(columns), rows)
    lines += ["", f"Gram matrix at t = {_number(times[-1])} (--json has all of them)"]
    lines += _table([], [[_number(entry) for entry in row] for row in document["gram"][-1]])
    return "\n".join([*lines, "", f"relative error     {_error(document['error'])}"])


def _table(head: list[str], rows: Sequence[list[str]]) -> list[str]:
    """Lines with right-aligned columns."""
    every = [head, *rows] if head else list(rows)
    widths = [max(len(row[i]) for row in every) for i in range(len(every[0]))]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in every
    ]


def _range(lower: float | None, upper: float | None) -> str:
    return f"{'-infinity' if lower is None else _number(lower)} to " + (
        "infinity" if upper is None else _number(upper)
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.5g}"


def _error(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1e}"
