"""The density over training as an animation: one frame a probing, all on the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from ...probes.records.atomic import write_atomically
from ...probes.records.record import Record
from ...theory.matrix_kind import MatrixKind
from ..readings import blocks, clock, clock_symbol, matrices
from . import style
from .density_panel import draw_density
from .own_files import WRITER, require_own

__all__ = ["write_animation"]

_MOST_FRAMES = 100
_SECONDS = 10.0  # of the whole, as far as a frame is neither hectic nor dull
_SHORTEST, _LONGEST, _LAST = 0.08, 0.5, 2.0  # seconds of a frame, and of the last one
_COLOURS = 64

_Limits = tuple[tuple[float, float], tuple[float, float]]


def write_animation(records: Sequence[Record], path: Path, block: str = "") -> None:
    """Write a GIF of one block's density: measured over predicted, edges, outliers, step and time.

    Axes hold still. Of more than 100 probings 100 are shown, evenly spaced, the last among them.

    Args:
        records: of one run, in order; those without a spectrum of the block are left out.
        path: of the file; its folder is made if need be.
        block: which block; the first if empty.

    Raises:
        ValueError: if there is another file, which stays.
        OSError: if it cannot be written; ``path`` is then as it was.
    """
    require_own(path)
    images = _as_images(_frames(records, block))
    seconds = min(max(_SECONDS / len(images), _SHORTEST), _LONGEST)
    durations = [round(1000 * seconds)] * (len(images) - 1) + [round(1000 * _LAST)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        path,
        lambda file: images[0].save(
            file,
            "GIF",
            save_all=True,
            append_images=images[1:],
            duration=durations,
            loop=0,
            comment=WRITER,
        ),
    )


@style.paper()
def _frames(records: Sequence[Record], block: str) -> list[NDArray[np.uint8]]:
    name = block or next(iter(blocks(records)), "")
    kinds = matrices(records)
    held = [
        record
        for record in records
        if any(record.measured.spectrum(kind.name, name) for kind in kinds)
    ]
    if not held:
        return [style.pixels(style.empty_figure("No spectral density to show."))]
    times, label = clock(held)
    symbol = clock_symbol(label)
    chosen = np.unique(np.linspace(0, len(held) - 1, min(len(held), _MOST_FRAMES)).round())
    shown = [int(place) for place in chosen]
    # A first pass finds the limits and the entries of the legend, which must not jump about.
    figure, panels = style.new_figure(1, len(kinds), 2.9)
    limits = {}
    for axes, kind in zip(panels.flat, kinds, strict=True):
        limits[kind.name] = _limits(axes, [held[place] for place in shown], kind.name, name)
    style.legend_below(figure)
    figure.suptitle(" ")
    frames = []
    for place in shown:
        for axes, kind in zip(panels.flat, kinds, strict=True):
            _draw(axes, held[place], kind, name, limits[kind.name])
        figure.suptitle(f"{symbol} = {times[place]:.4g}, step {held[place].step}")
        frames.append(style.pixels(figure))
        if place == shown[0]:
            figure.set_layout_engine("none")  # what the first frame found is kept
    return frames


def _limits(axes: Axes, records: Sequence[Record], matrix: str, block: str) -> _Limits | None:
    """Ranges of both axes that hold every frame, all drawn at once; None if there is nothing."""
    heights = [axes.get_ylim() for record in records if draw_density(axes, record, matrix, block)]
    if not heights:
        return None
    lowest, highest = np.array(heights).T
    return axes.get_xlim(), (float(lowest.min()), float(highest.max()))


def _draw(axes: Axes, record: Record, kind: MatrixKind, block: str, limits: _Limits | None) -> None:
    axes.clear()
    axes.set_title(style.heading(2, kind.title, block))
    axes.set_xlabel(style.eigenvalue_axis(2, kind))
    axes.set_ylabel("density (1 / eigenvalue unit)")
    if not draw_density(axes, record, kind.name, block):
        axes.text(0.5, 0.5, "not probed", transform=axes.transAxes, ha="center")
    if limits is not None:
        axes.set_xlim(limits[0])
        axes.set_ylim(limits[1])
        style.finish_scale(axes.yaxis)


def _as_images(frames: Sequence[NDArray[np.uint8]]) -> list[Image.Image]:
    """Frames in the few colours of the first, the middle and the last, the same in all."""
    some = np.concatenate([frames[0], frames[len(frames) // 2], frames[-1]])
    colours = Image.fromarray(some).quantize(_COLOURS)
    plain = Image.Dither.NONE
    return [Image.fromarray(frame).quantize(palette=colours, dither=plain) for frame in frames]
