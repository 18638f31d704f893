"""Pieces of text, and the text of any document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .documents import Document

__all__ = ["document_lines", "error_text", "labelled", "number_text", "range_text", "text_table"]


def document_lines(document: Document) -> list[str]:
    """A line for each number, a table of the lists of one length, a table for each list of tables.

    What is nested deeper than people read is left to the document.
    """
    lines: list[str] = []
    columns: dict[int, dict[str, list[Any]]] = {}
    for key, value in document.items():
        name = key.replace("_", " ")
        if _is_row(value):
            columns.setdefault(len(value), {})[name] = value
        elif isinstance(value, dict):
            lines += ["", name, *(f"  {line}".rstrip() for line in document_lines(value))]
        elif isinstance(value, list) and all(isinstance(row, dict) for row in value):
            lines += ["", name, *_records(value)] if value else [labelled(name, "none")]
        elif isinstance(value, list):
            lines.append(labelled(name, "in the document (--json)"))
        else:
            lines.append(labelled(name, error_text(value) if "error" in key else _cell(value)))
    tables: list[str] = []
    for table in columns.values():
        rows = [[_cell(value) for value in row] for row in zip(*table.values(), strict=True)]
        tables += [*text_table(list(table), rows), ""]
    text = "\n".join([*tables, *lines]).strip("\n")
    return text.split("\n")


def labelled(name: str, value: str) -> str:
    """A line with a name before it."""
    return f"{name:18} {value}"


def text_table(head: list[str], rows: Sequence[list[str]]) -> list[str]:
    """Lines with right-aligned columns."""
    every = [head, *rows] if head else list(rows)
    widths = [max(len(row[i]) for row in every) for i in range(len(every[0]))]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in every
    ]


def range_text(lower: float | None, upper: float | None) -> str:
    """An interval; None is infinite."""
    return f"{'-infinity' if lower is None else number_text(lower)} to " + (
        "infinity" if upper is None else number_text(upper)
    )


def number_text(value: float | None) -> str:
    """A number with five digits; None is unknown."""
    return "unknown" if value is None else f"{value:.5g}"


def error_text(value: float | None) -> str:
    """An error with two digits; None is unknown."""
    return "unknown" if value is None else f"{value:.1e}"


def _records(rows: list[Document]) -> list[str]:
    names = list(dict.fromkeys(key for row in rows for key in row))
    body = [[_cell(row.get(name)) for name in names] for row in rows]
    return text_table([name.replace("_", " ") for name in names], body)


def _is_row(value: Any) -> bool:
    return bool(isinstance(value, list) and value) and not any(
        isinstance(item, dict | list) for item in value
    )


def _cell(value: Any) -> str:
    if isinstance(value, list | dict):
        return "..."
    return value if isinstance(value, str) else number_text(value)
