"""Pieces of HTML; every text that comes from a run is escaped here."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from html import escape

from matplotlib.figure import Figure

from ..figures import style

__all__ = ["Cell", "number", "paragraph", "picture", "preformatted", "section", "table"]

_DASH = "–"
_MOST = 300_000  # bytes of a figure as SVG: as PNG most have half of it
_LONG = 60  # characters that a cell holds in one line

# A cell is text, or a number with its format.
Cell = str | tuple[float, str]


def number(value: float, form: str = "#.4g") -> Cell:
    """A cell with a number; a dash where it is not known."""
    return value, form


def section(title: str, *parts: str) -> str:
    """A section with its heading, which links can name."""
    name = title.lower().replace(" ", "-")
    body = "\n".join(part for part in parts if part)
    return f'<section id="{name}">\n<h2>{escape(title)}</h2>\n{body}\n</section>'


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; ``kind`` is a class of the style sheet."""
    mark = f' class="{kind}"' if kind else ""
    return f"<p{mark}>{escape(text)}</p>"


def preformatted(text: str) -> str:
    """Text with its line breaks; it can be scrolled with the keyboard where it is too wide."""
    return f'<pre tabindex="0">{escape(text)}</pre>'


def table(caption: str, head: Sequence[str], body: Iterable[Sequence[Cell]]) -> str:
    """A table; empty text if it has no rows."""
    held = list(body)
    if not held:
        return ""
    rows = ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in held]
    kinds = ("" if isinstance(cell, str) else ' class="number"' for cell in held[0])
    heads = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(head, kinds, strict=True)
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        kind = ' class="long"' if len(cell) > _LONG else ""
        return f"<td{kind}>{escape(cell)}</td>"
    value, form = cell
    text = format(value, form).replace("-", "−") if math.isfinite(value) else _DASH
    return f'<td class="number">{escape(text)}</td>'


def picture(figure: Figure, title: str, description: str) -> str:
    """A figure with its caption, inside the page: as SVG, or as PNG if that is large.

    Args:
        figure: what is shown.
        title: first words of the caption.
        description: what there is to see, for those who cannot.
    """
    if not figure.axes:
        # A figure without data says so in words; here they are words of the page.
        words = " ".join(text.get_text() for text in figure.texts)
        return paragraph(f"{title}: {words}", "missing")
    kind, content = "svg+xml", style.svg(figure)
    if len(content) > _MOST:
        kind, content = "png", style.png(figure)
    data = base64.b64encode(content).decode("ascii")
    width = round(96 * figure.get_figwidth())
    return (
        f'<figure><img width="{width}" alt="{escape(description)}" '
        f'src="data:image/{kind};base64,{data}">\n'
        f"<figcaption><strong>{escape(title)}.</strong> {escape(description)}</figcaption></figure>"
    )
