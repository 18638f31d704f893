"""A picture whose panels stay: frames, ticks and legend are drawn again only when they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from . import style
from .quick_picture import lay_out

__all__ = ["KeptPicture"]

# An axis stays as it is while it is no more than a quarter longer at each end than it would be by
# itself, and no more than a fiftieth shorter: less than the margin around what it shows.
_LONGER, _SHORTER = 0.25, 0.02


class KeptPicture:
    """The pixels of a figure, time after time.

    Most of the time that a figure takes goes into words and ticks, which seldom change. An axis
    that would be almost the same stays the same, so that pictures of one step and the next can be
    laid over one another too.

    Args:
        figure: with frames, ticks and labels of its panels; what changes is not in it yet.
        dpi: pixels in an inch.
    """

    def __init__(self, figure: Figure, dpi: float = 110) -> None:
        figure.set_layout_engine("none")
        figure.set_dpi(dpi)
        self._figure = figure
        self._canvas: Any = FigureCanvasAgg(figure)
        self._standing = {axes: frozenset(axes.get_children()) for axes in figure.axes}
        self._labels: tuple[str, ...] = ()
        self._known: tuple[_Scale, ...] = ()
        self._frame: Any = None
        self._background: Any = None

    def pixels(self, contents: Sequence[Callable[[Axes], object]]) -> NDArray[np.uint8]:
        """The figure as (height, width, 3) bytes.

        Args:
            contents: draws what is in a panel, and its title; one for each panel, which is empty
                when it is called.
        """
        panels = self._figure.axes
        for axes, draw in zip(panels, contents, strict=True):
            self._empty(axes)
            draw(axes)
        moving = [(axes, each) for axes in panels for each in self._moving(axes)]
        labels, scales = style.legend_labels(self._figure), tuple(self._scales(panels))
        is_new = self._frame is None or labels != self._labels
        if is_new:
            # Its marks are as visible as what they stand for.
            self._renew_legend()
        for _, each in moving:
            each.set_visible(False)
        if is_new:
            self._frame = self._drawn_frame(panels)
        if is_new or scales != self._known:
            self._canvas.restore_region(self._frame)
            self._draw_ticks(panels)
            self._background = self._canvas.copy_from_bbox(self._figure.bbox)
        self._labels, self._known = labels, scales
        self._canvas.restore_region(self._background)
        for axes, each in moving:
            each.set_visible(True)
            axes.draw_artist(each)
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()

    def _empty(self, axes: Axes) -> None:
        for each in axes.get_children():
            if each not in self._standing[axes]:
                each.remove()
        axes.containers.clear()
        axes.relim()
        axes.autoscale(True)

    def _moving(self, axes: Axes) -> list[Artist]:
        """What is in a panel, in the order in which it is drawn."""
        found = [each for each in axes.get_children() if each not in self._standing[axes]]
        return [*sorted(found, key=Artist.get_zorder), axes.title]

    def _scales(self, panels: Sequence[Axes]) -> Iterator[_Scale]:
        """Those of all axes, after the kept ones have been set where they serve."""
        kept = iter(self._known)
        for axes in panels:
            for axis, limits, keep in (
                (axes.xaxis, axes.get_xlim(), axes.set_xlim),
                (axes.yaxis, axes.get_ylim(), axes.set_ylim),
            ):
                now, before = _Scale(axis.get_scale(), limits), next(kept, None)
                if before is not None and before.serves(now, axis):
                    keep(before.limits)
                    now = before
                yield now

    def _renew_legend(self) -> None:
        for legend in tuple(self._figure.legends):
            legend.remove()
        style.legend_below(self._figure)
        lay_out(self._figure)

    def _drawn_frame(self, panels: Sequence[Axes]) -> Any:
        """All but what is in the panels and ticks with their labels."""
        axes_lines = [axis for axes in panels for axis in (axes.xaxis, axes.yaxis)]
        for axis in axes_lines:
            axis.set_visible(False)
        self._canvas.draw()
        for axis in axes_lines:
            axis.set_visible(True)
            axis.axes.draw_artist(axis.label)
        return self._canvas.copy_from_bbox(self._figure.bbox)

    def _draw_ticks(self, panels: Sequence[Axes]) -> None:
        for axes in panels:
            for axis in (axes.xaxis, axes.yaxis):
                axis.label.set_visible(False)
                axes.draw_artist(axis)
                axis.label.set_visible(True)


@dataclass(frozen=True)
class _Scale:
    """Scale and limits of an axis."""

    name: str
    limits: tuple[float, float]

    def serves(self, wanted: _Scale, axis: Axis) -> bool:
        """Whether this can stand where another is wanted on the axis."""
        if self.name != wanted.name:
            return False
        transform = axis.get_transform().transform
        (low, high), (first, last) = map(transform, (self.limits, wanted.limits))
        # Both are shares of the wanted length, whichever way the axis runs.
        ends = np.array([first - low, high - last]) / (last - first)
        return bool((ends <= _LONGER).all() and (ends >= -_SHORTER).all())
