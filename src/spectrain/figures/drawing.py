"""Figures as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from ..views.figures import style

__all__ = ["Drawing", "draw_figures"]

Drawing = Callable[[style.Columns], Figure]


def draw_figures(
    output: Path, figures: Mapping[str, Drawing], prefix: str = "", columns: style.Columns = 2
) -> list[Path]:
    """Draw figures as PNG and PDF.

    Args:
        output: folder for the files, made if need be.
        figures: by name.
        prefix: of the file names.
        columns: of a page that each figure spans.

    Returns:
        Paths of the PNG files.
    """
    output.mkdir(parents=True, exist_ok=True)
    return [
        style.save(draw(columns), output / f"{prefix}{name}")[0] for name, draw in figures.items()
    ]
