"""Documents as short tables, for people."""

from __future__ import annotations

from ..documents import Document
from ..text import error_text, labelled, number_text, range_text, text_table

__all__ = ["path_lines", "prediction_lines"]


def prediction_lines(document: Document) -> tuple[str, ...]:
    """The bulk, the outliers and the eigenvalues that were asked for."""
    bulk = document["bulk"]
    lines = []
    for (lower, upper), (lower_kind, upper_kind) in zip(
        bulk["edges"], bulk["edge_kinds"], strict=True
    ):
        kinds = f"({lower_kind}, {upper_kind})"
        lines.append(labelled("bulk", f"{range_text(lower, upper)}  {kinds}"))
    for key in ("finite_size_edges", "detection_edges"):
        if key in bulk:
            lines.append(labelled(key.replace("_", " "), range_text(*bulk[key])))
    lines.append(labelled("atom at zero", number_text(bulk["atom_at_zero"])))
    outliers = [
        [
            outlier["side"],
            number_text(outlier["value"]),
            number_text(outlier["overlap"]),
            str(outlier["multiplicity"]),
            error_text(outlier["error"]),
        ]
        for outlier in document["outliers"]
    ]
    if outliers:
        head = ["outliers", "value", "overlap", "multiplicity", "error"]
        lines += ["", *text_table(head, outliers)]
    else:
        lines.append(labelled("outliers", "none"))
    if document["eigenvalues"]:
        values = ", ".join(number_text(value) for value in document["eigenvalues"])
        lines += ["", labelled("eigenvalues", values)]
    return (*lines, "", labelled("relative error", error_text(document["error"])))


def path_lines(document: Document) -> tuple[str, ...]:
    """Loss and accuracy over time, and the last Gram matrix."""
    times = document["times"]
    columns = {"t": times, "loss": document["loss"]}
    if document["accuracy"] is not None:
        columns["accuracy"] = document["accuracy"]
    rows = [[number_text(value) for value in row] for row in zip(*columns.values(), strict=True)]
    lines = text_table(list(columns), rows)
    lines += ["", f"Gram matrix at t = {number_text(times[-1])} (--json has all of them)"]
    lines += text_table([], [[number_text(entry) for entry in row] for row in document["gram"][-1]])
    return (*lines, "", labelled("relative error", error_text(document["error"])))
