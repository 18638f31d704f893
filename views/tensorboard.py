"""The TensorBoard sink: each record as scalars, pictures and text, predicted beside measured."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from ..probes.record import Record
from . import style
from .figures.gram_maps import gram_maps
from .figures.spectra import spectra
from .readings import MATRIX_NAMES, SIDES, blocks, describe
from .scalars import safe, scalars

__all__ = ["TensorBoardSink", "layout"]

Layout = dict[str, dict[str, list[str | list[str]]]]


class TensorBoardSink:
    """Writes records as TensorBoard events.

    Scalars of one name under ``measured/``, ``predicted/`` and ``forecast/`` are the same quantity
    (see `spectrain.views.scalars`); the custom-scalars tab lays them over one another.

    Args:
        directory: of the event files; made if need be.
        purge_step: on resuming, the first step to be written again: what an earlier writer left
            from there on is dropped.
        figures_every: draw the pictures at every so many epochs (records, where epochs are
            unknown), each of which takes about a tenth of a second; 0 draws none.
        dimension: d, for the band around the forecast Gram matrix.
    """

    def __init__(
        self,
        directory: str | Path,
        purge_step: int | None = None,
        figures_every: int = 5,
        dimension: int | None = None,
    ) -> None:
        if figures_every < 0:
            raise ValueError(f"figures_every: expected 0 or more, got {figures_every}")
        _let_a_second_begin(Path(directory))
        self._writer = SummaryWriter(str(directory), purge_step=purge_step)
        self._figures_every = figures_every
        self._dimension = dimension
        self._written = 0
        # An earlier writer that got beyond its first record has left the layout.
        self._needs_layout = not purge_step

    def write(self, record: Record) -> None:
        """Write one record and hand it to the operating system."""
        if self._needs_layout and record.measured.spectra:
            self._writer.add_custom_scalars(layout(record, self._dimension))
            self._needs_layout = False
        for tag, value in scalars(record, self._dimension).items():
            self._writer.add_scalar(tag, value, record.step)
        self._write_text(record)
        if self._is_figure_due(record):
            self._write_figures(record)
        self._written += 1
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()

    def _is_figure_due(self, record: Record) -> bool:
        count = record.epoch if math.isfinite(record.epoch) else self._written
        return self._figures_every > 0 and count % self._figures_every == 0

    def _write_text(self, record: Record) -> None:
        if record.transitions:
            lines = "\n".join(f"* {describe(transition)}" for transition in record.transitions)
            self._writer.add_text("transitions", lines, record.step)
        if record.failure:
            self._writer.add_text("failures", record.failure, record.step)

    def _write_figures(self, record: Record) -> None:
        for block in blocks([record]):
            self._write_figure(f"spectra/{safe(block)}", spectra([record], block), record.step)
        if record.measured.gram.size:
            self._write_figure("gram", gram_maps(record), record.step)

    def _write_figure(self, tag: str, figure: Figure, step: int) -> None:
        self._writer.add_image(tag, style.pixels(figure), step, dataformats="HWC")


def _let_a_second_begin(directory: Path) -> None:
    """Wait, for less than a second, until a new event file sorts behind those that are there.

    TensorBoard reads them in the order of their names, which begin with the second of their start
    and go on with numbers that do not sort as such; ``purge_step`` works on what was read before.
    """
    seconds = [path.name.split(".")[3] for path in directory.glob("events.out.tfevents.*")]
    latest = max((int(second) for second in seconds if second.isdigit()), default=0)
    # A file from a clock that runs ahead is not waited for.
    while 0 <= latest - int(time.time()) <= 1:
        time.sleep(0.02)


def layout(record: Record, dimension: int | None = None) -> Layout:
    """The custom-scalars tab: measured, predicted and forecast of one quantity in one chart.

    Args:
        record: its blocks, directions and predicted outliers are laid out.
        dimension: d; with it the Gram matrix gets bands.

    Returns:
        category -> chart -> [kind, tags], as `SummaryWriter.add_custom_scalars` takes it.
    """
    tags = scalars(record, dimension)
    return {
        f"{MATRIX_NAMES[spectrum.matrix]}, {spectrum.block}": _spectrum_charts(
            f"{spectrum.matrix}/{safe(spectrum.block)}", tags
        )
        for spectrum in record.measured.spectra
    } | _mean_charts(record, tags)


def _spectrum_charts(place: str, tags: dict[str, float]) -> dict[str, list[str | list[str]]]:
    charts: dict[str, list[str | list[str]]] = {}
    for side in SIDES:
        edge = "upper" if side == "top" else "lower"
        charts[f"{side} eigenvalues"] = _overlay(rf"{re.escape(place)}/({side}_\d+|{edge}_edge)")
    charts["overlaps"] = _overlay(rf"{re.escape(place)}/overlap_.*")
    if f"measured/{place}/gradient_share" in tags:
        names = r"subspace_overlap_top_\d+|gradient_share|update_share|stability"
        charts["from one probing to the next"] = _overlay(rf"{re.escape(place)}/({names})")
    for side in SIDES:
        rank = 1
        while f"band/{place}/{side}_{rank}/lower" in tags:
            charts[f"{side} {rank} in its band"] = _margin(f"{place}/{side}_{rank}")
            rank += 1
    return charts


def _mean_charts(record: Record, tags: dict[str, float]) -> Layout:
    found: Layout = {
        "Loss and accuracy": {name: _overlay(name) for name in ("loss", "accuracy")},
    }
    entries = [tag.removeprefix("measured/") for tag in tags if tag.startswith("measured/gram/")]
    trained = [name for name in entries if not name.startswith("gram/mu")]
    if trained:
        found["Gram matrix"] = {
            name.removeprefix("gram/"): (
                _margin(name) if f"band/{name}/lower" in tags else _overlay(re.escape(name))
            )
            for name in trained
        }
    return found


def _overlay(name: str) -> list[str | list[str]]:
    """Measured, predicted and forecast curves; tags are regular expressions here."""
    return ["Multiline", [rf"^(measured|predicted|forecast)/{name}$"]]


def _margin(name: str) -> list[str | list[str]]:
    """The measured curve inside its predicted band."""
    return ["Margin", [f"measured/{name}", f"band/{name}/lower", f"band/{name}/upper"]]
