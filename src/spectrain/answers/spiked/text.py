"""What people read of the answers on the spiked matrix-tensor model."""

from __future__ import annotations

from typing import Any

from ..documents import Document, plain
from ..text import error_text, number_text, range_text, text_table

__all__ = ["landscape_lines", "trajectory_lines"]

_WIDTH = 27
_LINES = {
    "trivialisation": "trivialisation",
    "gradient_flow": "gradient flow",
    "maximum_likelihood_amp": "maximum-likelihood AMP",
    "bayes_amp": "Bayes AMP",
}


def landscape_lines(document: Document) -> tuple[str, ...]:
    """Of `spectrain predict`."""
    found = plain(document)
    lines = ["matrix noise below which (at this tensor noise)"]
    lines += [_labelled(f"  {name}", found["lines"][key]) for key, name in _LINES.items()]
    lines += ["threshold"]
    lines += [_labelled(f"  {name}", value) for name, value in found["threshold"].items()]
    if "edges" in found:
        lines.append(_labelled("complexity of minima", found["complexity"], "no minima"))
        lines.append(f"{'bulk of the Hessian':{_WIDTH}}{range_text(*found['edges'])}")
        lines += _table(found["outliers"], ("value", "overlap", "weight")) or ["no outlier"]
    return tuple(lines)


def trajectory_lines(document: Document) -> tuple[str, ...]:
    """Of `spectrain dynamics`: a row for each time, a row more for each further outlier."""
    found = plain(document)
    numbers = ("times", "overlap", "multiplier", "energy", "correlation")
    head = [
        "time",
        *numbers[1:],
        "bulk from",
        "to",
        "outlier",
        "its overlap",
        "naive",
        "its overlap",
    ]
    rows = []
    for t in range(len(found["times"])):
        row = [number_text(found[name][t]) for name in numbers]
        if found["hessian"] is None:
            rows.append(row)
            continue
        hessian = found["hessian"][t]
        outliers, naive = hessian["outliers"], hessian["naive_outliers"]
        edges = [number_text(edge) for edge in hessian["edges"]]
        for place in range(max(1, len(outliers), len(naive))):
            first = [*row, *edges] if not place else [""] * (len(row) + 2)
            rows.append([*first, *_pair(outliers, place), *_pair(naive, place)])
    lines = text_table(head[: len(rows[0])], rows)
    if found["hessian"] is None:
        lines.append(f"no spectra: {found['hessian_reason']}")
    lines.append(f"error {error_text(found['error'])}")
    return tuple(lines)


def _pair(outliers: list[dict[str, Any]], place: int) -> list[str]:
    if place >= len(outliers):
        return ["-", "-"]
    return [number_text(outliers[place][key]) for key in ("value", "overlap")]


def _table(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[str]:
    body = [[number_text(row[name]) for name in names] for row in rows]
    return text_table(["outlier", *names[1:]], body) if rows else []


def _labelled(name: str, value: float | None, unknown: str = "none") -> str:
    return f"{name:{_WIDTH}}{unknown if value is None else number_text(value)}"
