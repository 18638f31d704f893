"""Numbers in the cells of a map as shapes: texts would take most of the time of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath, text_to_path
from numpy.typing import NDArray

__all__ = ["write_numbers"]

_POINTS = 72  # in an inch


def write_numbers(
    axes: Axes,
    places: NDArray[np.float64],
    words: Sequence[str],
    colors: Sequence[str],
    size: float,
) -> None:
    """Write a word at each place, its middle there.

    Args:
        axes: where they are written.
        places: (N, 2) in the units of the axes.
        words: of letters without TeX.
        colors: one for each.
        size: of the letters in points.
    """
    figure: Any = axes.figure
    axes.add_collection(
        PathCollection(
            [_shape(word, size / _POINTS) for word in words],
            offsets=places,
            offset_transform=axes.transData,
            transform=figure.dpi_scale_trans,
            facecolors=list(colors),
            linewidths=0,
            snap=False,  # a dash of less than a pixel would be none
            zorder=3,
        ),
        autolim=False,
    )


def _shape(word: str, size: float) -> Path:
    """The outline of a word around the origin."""
    letters = [_letter(letter) for letter in word]
    start = np.array([-sum(letter.width for letter in letters), -_height()]) / 2
    outlines = []
    for letter in letters:
        outlines.append(Path(size * (letter.vertices + start), letter.codes))
        start[0] += letter.width
    return Path.make_compound_path(*outlines)


class _Letter(NamedTuple):
    """Outline and width of a letter, in sizes of the font."""

    vertices: NDArray[np.float64]
    codes: Any
    width: float


@cache
def _letter(letter: str) -> _Letter:
    font = FontProperties(family="DejaVu Sans", size=100)
    outline = TextPath((0, 0), letter, prop=font)
    width, _, _ = text_to_path.get_text_width_height_descent(letter, font, ismath=False)
    return _Letter(np.asarray(outline.vertices) / 100, outline.codes, width / 100)


@cache
def _height() -> float:
    """Of a digit, in sizes of the font."""
    return float(_letter("0").vertices[:, 1].max())
