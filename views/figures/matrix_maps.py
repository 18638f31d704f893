"""Heat maps of matrices at a few steps: measured, predicted or forecast, and their difference."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...models.arguments import require_arguments
from ...probes.records.record import Record
from ...theory.direction import Direction
from ...theory.quantity import Quantity
from ...theory.spectrum import FloatArray
from ..quantities import title
from ..readings import clock, clock_symbol, landmarks
from ..slices import in_matrices
from . import style
from .cell_numbers import write_numbers
from .kept_picture import KeptPicture

__all__ = ["MapsPicture", "matrix_maps", "matrix_quantities"]

_MOST_WORDS = 12  # rows of a matrix whose entries are written in their cells


def matrix_quantities(records: Iterable[Record]) -> tuple[str, ...]:
    """Names of all measured matrices, in order of appearance: see `slices` of more axes."""
    found: dict[str, None] = {}
    for record in map(in_matrices, records):
        for quantity in record.measured.quantities:
            if quantity.values.ndim == 2 and quantity.values.size:
                found.setdefault(quantity.name)
    return tuple(found)


@style.paper()
def matrix_maps(
    records: Sequence[Record], names: Sequence[str] = (), columns: style.Columns = 2
) -> Figure:
    """A measured matrix beside what is predicted, or else forecast, and their difference.

    One matrix is shown at the first, the middle and the last record; of several, and on a narrow
    page, the last.

    Args:
        records: of one run, in order; without a theory only what is measured is shown.
        names: of the matrices; all there are if empty.
        columns: of the page that the figure spans.
    """
    require_arguments(matrix_maps, locals())
    records = tuple(map(in_matrices, records))
    shown = tuple(names) or matrix_quantities(records)
    rows: list[tuple[Record, str]] = []
    for name in shown:
        held = [record for record in records if name in matrix_quantities([record])]
        all_of_it = len(shown) == 1 and columns == 2
        rows += [(record, name) for record in (landmarks(held) if all_of_it else held[-1:])]
    if not rows:
        return style.empty_figure("No matrix to show.")
    label = clock([record for record, _ in rows])[1]
    maps = [_maps(record, name) for record, name in rows]
    across = max(map(len, maps))
    figure, panels = (
        style.new_figure(len(rows), across, 2.5 * len(rows), width=style.WIDTHS[2] / 3 * across)
        if columns == 2
        else style.new_figure(across * len(rows), 1, 2.6 * across * len(rows), width=2.5)
    )
    for row, (record, name), found in zip(panels.reshape(-1, across), rows, maps, strict=True):
        quantity = _measured(record, name)
        (time,), _ = clock([record])
        shared = _shared_limit(found)
        for axes, (words, values) in zip(row, found.items(), strict=False):
            limit = (_largest(values) if words == "difference" else shared) or 1.0
            moment = f"{clock_symbol(label)} = {time:.4g}"
            _draw_frame(axes, quantity, record.reference)
            _draw_map(axes, values, limit, _write_texts)
            axes.set_title(_heading(quantity, words, moment, limit))
        for axes in row[len(found) :]:
            axes.set_axis_off()
    return figure


def _maps(record: Record, name: str) -> dict[str, FloatArray]:
    quantity = _measured(record, name)
    for kind in ("predicted", "forecast"):
        geometry = getattr(record, kind)
        expected = geometry.quantity(name) if geometry is not None else None
        if expected is not None and expected.axes == quantity.axes:
            difference = quantity.values - expected.values
            return {"measured": quantity.values, kind: expected.values, "difference": difference}
    return {"measured": quantity.values}


def _largest(values: FloatArray) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


class MapsPicture:
    """`matrix_maps` of one matrix and one record after the other, for a board: the panels stay.

    Args:
        record: the first of them; the others have the same matrices under the same names.
        name: of the matrix.
    """

    @style.paper()
    def __init__(self, record: Record, name: str) -> None:
        self._name = name
        quantity, found = _measured(record, name), _maps(record, name)
        width = style.WIDTHS[2] / 3 * len(found)
        figure, panels = style.new_figure(1, len(found), 2.5, width=width)
        for axes, words in zip(panels[0], found, strict=True):
            _draw_frame(axes, quantity, record.reference)
            axes.set_title(_heading(quantity, words, "", 1.0))
        self._picture = KeptPicture(figure)

    def pixels(self, record: Record) -> NDArray[np.uint8]:
        """The maps of a record as (height, width, 3) bytes."""
        (time,), label = clock([record])
        moment = f"{clock_symbol(label)} = {time:.4g}"
        quantity, found = _measured(record, self._name), _maps(record, self._name)
        shared = _shared_limit(found)

        def draw(axes: Axes, words: str, values: FloatArray) -> None:
            limit = (_largest(values) if words == "difference" else shared) or 1.0
            _draw_map(axes, values, limit, write_numbers)
            axes.set_title(_heading(quantity, words, moment, limit))

        return self._picture.pixels(
            [partial(draw, words=words, values=values) for words, values in found.items()]
        )

    @staticmethod
    def shape(record: Record, name: str) -> Hashable:
        """What records that one picture serves have in common."""
        quantity = _measured(record, name)
        return quantity.axes, quantity.unit, tuple(_maps(record, name)), record.reference


def _measured(record: Record, name: str) -> Quantity:
    quantity = record.measured.quantity(name)
    assert quantity is not None
    return quantity


def _heading(quantity: Quantity, words: str, moment: str, limit: float) -> str:
    power = _power(limit)
    unit = f"$10^{{{power}}}$ {quantity.unit}" if power else quantity.unit
    return f"{style.literal(title(quantity.name))}, {words}, {moment}\n({unit})"


def _shared_limit(found: Mapping[str, FloatArray]) -> float:
    """The end of the colours of all maps but the difference."""
    return max(_largest(values) for kind, values in found.items() if kind != "difference")


def _draw_frame(axes: Axes, quantity: Quantity, reference: tuple[Direction, ...]) -> None:
    """All but what depends on the values."""
    shape = quantity.values.shape
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim(shape[0] - 0.5, -0.5)
    rows, columns = (style.axis_names(names, reference) for names in quantity.axes)
    if max(shape) <= _MOST_WORDS:
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xticks(range(len(columns)), columns)
    axes.set_box_aspect(min(2.0, max(0.3, shape[0] / shape[1])))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


Write = Callable[[Axes, FloatArray, Sequence[str], Sequence[str], float], None]


def _draw_map(axes: Axes, values: FloatArray, limit: float, write: Write) -> None:
    axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    if max(values.shape) <= _MOST_WORDS:
        flat = values.ravel().tolist()
        scale = 10.0 ** _power(limit)
        places = np.argwhere(np.ones(values.shape, dtype=bool))[:, ::-1].astype(float)
        colors = ["white" if abs(value) > 0.6 * limit else "black" for value in flat]
        size = max(5.0, min(7.0, 36 / max(values.shape)))
        write(axes, places, [_short(value / scale) for value in flat], colors, size)


def _write_texts(
    axes: Axes, places: FloatArray, words: Sequence[str], colors: Sequence[str], size: float
) -> None:
    for (x, y), word, color in zip(places, words, colors, strict=True):
        axes.text(x, y, word, ha="center", va="center", fontsize=size, color=color)


def _power(limit: float) -> int:
    """The power of ten in which entries up to the limit are written, 0 where few digits do."""
    return 0 if 0.05 <= limit < 1000 else max(math.floor(math.log10(limit)), -300)


def _short(value: float) -> str:
    """Two decimals, without the sign of a zero and without a leading zero."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:.2f}".replace("-0.00", "0.00")
    return text.replace("0.", ".", 1) if abs(value) < 0.995 else text
