"""One look for all figures: readable in a paper's column and in grey print."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from ...probes.records.atomic import write_atomically
from ...theory.direction import Direction
from ...theory.matrix_kind import MatrixKind
from ...theory.spectrum import FloatArray
from .own_files import WRITER, require_own

__all__ = [
    "ARROW",
    "BULK",
    "DETECTION",
    "DRAWS",
    "EDGE",
    "FAILED",
    "FORECAST",
    "MEASURED",
    "MEASURED_BULK",
    "PREDICTED",
    "SERIES",
    "THRESHOLD",
    "WIDTHS",
    "Columns",
    "axis_names",
    "draw_line",
    "eigenvalue_axis",
    "empty_figure",
    "finish_scale",
    "heading",
    "label_eigenvalues",
    "label_rows",
    "legend_below",
    "legend_labels",
    "literal",
    "mark_failures",
    "new_figure",
    "paper",
    "pixels",
    "png",
    "save",
    "scale_for",
    "size",
    "svg",
    "symbol",
    "unit_label",
    "with_unit",
]

# Columns of a page that a figure spans, and its width in inches. Texts keep their size: a figure is
# laid out for its width, not scaled to it.
Columns = Literal[1, 2]
WIDTHS: dict[Columns, float] = {1: 3.4, 2: 7.0}

# Measured: dark markers. Predicted: lines and light bands. Lightness, marker and line style each
# tell them apart without the hue.
MEASURED: dict[str, Any] = {
    "color": "#111111", "linestyle": "none", "marker": "o", "markersize": 2.9,
    "elinewidth": 0.8, "capsize": 1.6, "capthick": 0.8, "zorder": 4,
}  # fmt: skip
MEASURED_BULK: dict[str, Any] = {
    "color": "#555555", "linestyle": "none", "marker": "o", "markersize": 2.2,
    "markerfacecolor": "white", "markeredgewidth": 0.5, "zorder": 3,
}  # fmt: skip
DRAWS: dict[str, Any] = {
    "color": "#777777", "linestyle": "none", "marker": "_", "markersize": 4.5,
    "markeredgewidth": 0.7, "zorder": 3.5,
}  # fmt: skip
PREDICTED: dict[str, Any] = {"color": "#0072B2", "linewidth": 1.5, "zorder": 2.5}
FORECAST: dict[str, Any] = {
    "color": "#C04A00", "linewidth": 1.0, "linestyle": (0, (4, 2)), "zorder": 2.6,
}  # fmt: skip
BULK: dict[str, Any] = {"color": "#CFE0EE", "linewidth": 0, "zorder": 1}
EDGE: dict[str, Any] = {"color": "#7A99B3", "linewidth": 0.8, "zorder": 1.5}
DETECTION: dict[str, Any] = {
    "color": "#444444", "linewidth": 0.8, "linestyle": (0, (1, 1.5)), "zorder": 1.6,
}  # fmt: skip
ARROW: dict[str, Any] = {
    "color": "#111111", "linestyle": "none", "marker": "v", "markersize": 4.5, "zorder": 4,
}  # fmt: skip
THRESHOLD: dict[str, Any] = {
    "color": "#8A1C1C", "linewidth": 1.1, "linestyle": (0, (6, 1.5, 1, 1.5)), "zorder": 2.2,
}  # fmt: skip
FAILED: dict[str, Any] = {
    "color": "#111111", "linestyle": "none", "marker": "x", "markersize": 4.5, "clip_on": False,
}  # fmt: skip

# For several curves in one panel: colour, marker and line style change together.
SERIES: tuple[tuple[str, str, Any], ...] = (
    ("#111111", "o", "-"),
    ("#0072B2", "s", (0, (5, 1.5))),
    ("#C04A00", "^", (0, (1.5, 1.2))),
    ("#2E8B57", "D", (0, (5, 1.2, 1.2, 1.2))),
    ("#B0579A", "v", (0, (8, 2))),
    ("#7F6A00", "P", (0, (3, 1, 1, 1, 1, 1))),
)

_RC: Any = {
    "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8, "legend.fontsize": 7.5,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "font.family": "DejaVu Sans",
    "axes.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True, "legend.frameon": False, "legend.handlelength": 2.4,
    "figure.dpi": 150, "savefig.dpi": 200, "pdf.fonttype": 42,
    # Without it the names inside an SVG are random.
    "svg.hashsalt": "spectrain", "image.interpolation": "nearest",
}  # fmt: skip


@contextmanager
def paper() -> Iterator[None]:
    """The look, within a ``with`` block or as a decorator; the user's own settings come back."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def new_figure(
    rows: int, columns: int, height: float, width: float = WIDTHS[2], **options: Any
) -> tuple[Figure, NDArray[Any]]:
    """An empty figure with a (rows, columns) array of axes; sizes in inches.

    It belongs to no window and to no global list, so it is freed with its last reference.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def size(
    columns: Columns, rows: int, row_height: float, legend: float = 0.9
) -> tuple[float, float]:
    """Height and width in inches of a figure with a legend below.

    Args:
        columns: of the page.
        rows: of panels.
        row_height: of a figure that spans both columns.
        legend: height of what is not a panel, likewise.
    """
    if columns == 2:
        return legend + row_height * rows, WIDTHS[2]
    return legend + 0.5 + (0.35 + 0.6 * row_height) * rows, WIDTHS[1]


@paper()
def empty_figure(message: str) -> Figure:
    """A figure that says in words why it shows nothing."""
    figure = Figure(figsize=(WIDTHS[1], 1.2), layout="constrained")
    figure.text(0.5, 0.5, message, ha="center", va="center", wrap=True)
    return figure


def heading(columns: Columns, first: str, *rest: str) -> str:
    """Title of a panel; on a narrow page its first part has a line of its own."""
    parts = [literal(_shortened(part, 22 if columns == 2 else 14)) for part in rest]
    return (", " if columns == 2 else "\n").join((first, ", ".join(parts)))


def label_rows(columns: Columns, figure: Figure, axes: Iterable[Axes], text: str) -> None:
    """Label the vertical axes of all rows: each by itself, on a narrow page all of them at once."""
    if columns == 1:
        figure.supylabel(text.replace("\n", " "), fontsize="medium")
        return
    for each in axes:
        each.set_ylabel(text)


def unit_label(words: str, unit: str) -> str:
    """Label of an axis in two lines that fit beside a panel."""
    return literal(f"{words} ({unit})".replace(" per ", "\nper ", 1))


def label_eigenvalues(
    columns: Columns, figure: Figure, panels: NDArray[Any], kinds: Sequence[MatrixKind]
) -> None:
    """Label the vertical axes of a (rows, K) grid of panels, a column for each of K matrices."""
    first, *others = kinds
    if all(kind.unit == first.unit for kind in others):
        label_rows(columns, figure, panels[:, 0], unit_label("eigenvalue", first.unit))
    elif columns == 2:
        for column, kind in zip(panels.T, kinds, strict=True):
            label_rows(columns, figure, column, unit_label("eigenvalue", kind.unit))
    else:
        words = ", ".join(f"{kind.letter}: {_short_unit(kind.unit)}" for kind in kinds)
        figure.supylabel(literal(f"eigenvalue\n({words})"), fontsize="medium")


def eigenvalue_axis(columns: Columns, kind: MatrixKind) -> str:
    """Label of a horizontal axis of eigenvalues."""
    if columns == 1:
        return literal(f"eigenvalue\n({_short_unit(kind.unit)})")
    return literal(f"eigenvalue ({kind.unit})")


def _short_unit(unit: str) -> str:
    return unit.replace("squared loss", "loss²").replace(" per squared parameter", "/param.²")


def legend_below(figure: Figure, columns: int | None = None) -> None:
    """One legend for all axes, under them, each label once; in as many columns as there is room."""
    entries = _legend_entries(figure)
    # Measured first, then predicted, then the rest.
    first = ("measured", "predicted")
    labels = sorted(entries, key=lambda label: [not label.startswith(word) for word in first])
    if entries:
        columns = columns or max(1, int(figure.get_figwidth() / 1.7))
        narrow = figure.get_figwidth() <= WIDTHS[1]
        tight = (
            {"fontsize": 6.5, "columnspacing": 1, "handlelength": 2, "labelspacing": 0.7}
            if narrow
            else {}
        )
        figure.legend(
            [entries[label] for label in labels],
            labels,
            loc="outside lower center",
            ncols=min(columns, len(entries)),
            **tight,
        )


def legend_labels(figure: Figure) -> tuple[str, ...]:
    """The labels of what all axes show, each once."""
    return tuple(_legend_entries(figure))


def _legend_entries(figure: Figure) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    return entries


def draw_line(axes: Axes, x: FloatArray, y: FloatArray, **style: Any) -> None:
    """A line through the finite points of (x, y); points without neighbours become dashes."""
    axes.plot(x, y, **style)
    known = np.concatenate(([False], np.isfinite(y), [False]))
    alone = known[1:-1] & ~known[:-2] & ~known[2:]
    if alone.any():
        dash = {"color": style["color"], "zorder": style.get("zorder", 2), "linestyle": "none"}
        axes.plot(x[alone], y[alone], marker="_", markersize=8, markeredgewidth=1.5, **dash)


def axis_names(names: Iterable[str], reference: Iterable[Direction]) -> list[str]:
    """Names along an axis of a quantity, those of reference directions as their symbols.

    Long ones are cut where they are told apart best: at the end, the beginning or in between.
    """
    known = {direction.name: symbol(direction) for direction in reference}
    names = list(names)
    cuts = [[_shortened(name, 12, kept) for name in names] for kept in (11, *range(11))]
    shown = max(cuts, key=lambda cut: len(set(cut)))
    return [known.get(name) or literal(cut) for name, cut in zip(names, shown, strict=True)]


def mark_failures(axes: Axes, places: FloatArray) -> None:
    """A cross on the lower axis at each place where something could not be had."""
    if len(places):
        across = axes.get_xaxis_transform()
        height = np.zeros(len(places))
        axes.plot(places, height, transform=across, label="failed probing", **FAILED)


def symbol(direction: Direction) -> str:
    """Mathematical name of a reference direction; its plain name if it has none."""
    if direction.symbol:
        return f"${direction.symbol}$"
    return literal(_shortened(direction.name, 12))


def _shortened(text: str, limit: int, kept: int | None = None) -> str:
    """What a figure has room for of a name; so many letters of its beginning, else all of them."""
    if len(text) <= limit:
        return text
    kept = limit - 1 if kept is None else kept
    return f"{text[:kept]}…{text[len(text) - (limit - 1 - kept) :]}"


def literal(text: str) -> str:
    """Text in which a dollar is a dollar, not the beginning of a formula."""
    return text.replace("$", r"\$")


def with_unit(parameter: str) -> str:
    """Axis label of a parameter of the data."""
    labels = {"snr": "snr (inverse noise variance)", "phi": "aspect ratio φ = n/d"}
    return labels.get(parameter, parameter)


def scale_for(values: FloatArray, ratio: float) -> str:
    """Axis scale: "log" for positive numbers that span more than ``ratio``, else "linear"."""
    finite = values[np.isfinite(values)]
    if len(finite) > 1 and finite.min() > 0 and finite.max() > ratio * finite.min():
        return "log"
    return "linear"


def finish_scale(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis; over less than two decades 2 and 5 are labelled too."""
    if axis.get_scale() != "log":
        return
    low, high = axis.get_view_interval()
    if high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_formatter(NullFormatter())
    else:
        # Minor ticks take more time to draw than all the rest of a panel.
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))


def _tick(value: float) -> str:
    """A number in full, or by its power of ten where the number is long."""
    mantissa, e, exponent = f"{value:g}".partition("e")
    if not e:
        return mantissa
    times = "" if mantissa == "1" else rf"{mantissa}\times"
    return f"${times}10^{{{int(exponent)}}}$"


def pixels(figure: Figure, dpi: float = 110) -> NDArray[np.uint8]:
    """The figure as an (height, width, 3) array of bytes."""
    figure.set_dpi(dpi)
    canvas: Any = FigureCanvasAgg(figure)
    with paper():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: str | Path) -> tuple[Path, Path]:
    """Write ``path``.png and ``path``.pdf, each complete or not at all.

    Args:
        figure: what to write.
        path: without a suffix; its folder is made if need be.

    Returns:
        The two files.

    Raises:
        ValueError: if there is a file of either name that is no picture of this package.
        OSError: if it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    png, pdf = (path.with_name(f"{path.name}.{suffix}") for suffix in ("png", "pdf"))
    for file in (png, pdf):
        require_own(file)
    # Without a date the same records give the same file.
    about_png, about_pdf = {"Software": WRITER}, {"Creator": WRITER, "CreationDate": None}
    with paper(), _laid_out(figure):
        pixels: Any = FigureCanvasAgg(figure)
        vectors: Any = FigureCanvasPdf(figure)
        write_atomically(png, lambda file: pixels.print_png(file, metadata=about_png))
        write_atomically(pdf, lambda file: vectors.print_pdf(file, metadata=about_pdf))
    return png, pdf


@contextmanager
def _laid_out(figure: Figure) -> Iterator[None]:
    """Everything in its place for a picture of pixels; each format would find it anew by itself."""
    canvas, dpi, engine = figure.canvas, figure.dpi, figure.get_layout_engine()
    figure.set_dpi(matplotlib.rcParams["savefig.dpi"])
    if engine is not None and figure.axes:
        FigureCanvasAgg(figure)
        engine.execute(figure)
        figure.set_layout_engine("none")
    try:
        yield
    finally:
        figure.set_layout_engine(engine)
        figure.set_dpi(dpi)
        figure.set_canvas(canvas)


def svg(figure: Figure) -> bytes:
    """The figure as SVG; the same records give the same bytes."""
    return _content(figure, format="svg", metadata={"Date": None})


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    return _content(figure, format="png")


def _content(figure: Figure, **options: Any) -> bytes:
    file = io.BytesIO()
    with paper():
        figure.savefig(file, **options)
    return file.getvalue()
