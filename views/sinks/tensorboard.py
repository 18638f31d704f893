"""The TensorBoard sink: each record as one event, predicted beside measured."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from torch.utils.tensorboard import summary

from ...models.arguments import require_arguments, require_whole
from ...probes.records.numbers import quantity_numbers
from ...probes.records.record import Record
from ...probes.records.record_file import RECORDS, read_records
from ...theory.matrix_kind import MatrixKind, kind_named
from ..figures.board_pictures import BoardPictures
from ..readings import failed
from ..timeline import Timeline, markdown
from .event_file import EventFile
from .histograms import Histogram, histograms
from .hyper_parameters import hyper_parameters, metrics
from .layout import Layout, layout
from .scalars import safe, scalars, tag

__all__ = ["TensorBoardSink"]


class TensorBoardSink:
    """Writes records as TensorBoard events.

    Scalars and histograms of one name under ``measured/``, ``predicted/`` and ``forecast/`` are the
    same quantity (see `spectrain.views.scalars`); the custom-scalars tab lays them over one
    another. The text ``timeline`` lists transitions and failed probings; its last step has them
    all.

    Args:
        directory: of the event files; made if need be.
        purge_step: on resuming, the first step to be written again: what an earlier writer left
            from there on is dropped. What was before is read from a ``records.jsonl`` in the
            directory, if there is one, so that timeline and layout go on.
        figures_every: draw the pictures at every so many epochs (records, where epochs are
            unknown), each of which takes some 65 ms; 0 draws none.
        dimension: d, for the band around forecast inner products of directions.
        config: of the run, of what YAML can hold: shown in the tab HParams beside the last errors
            and numbers.

    Raises:
        ValueError: if ``figures_every`` is negative.
        OSError: if the event file cannot be made.
    """

    def __init__(
        self,
        directory: str | Path,
        purge_step: int | None = None,
        figures_every: int = 5,
        dimension: int | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        require_arguments(TensorBoardSink.__init__, locals())
        if purge_step is not None:
            require_whole("purge_step", purge_step, 0)
        if dimension is not None:
            require_whole("dimension", dimension, 1)
        require_whole("figures_every", figures_every, 0)
        self._figures_every = figures_every
        self._dimension = dimension
        self._written = 0
        self._pictures = BoardPictures()
        self._timeline = Timeline()
        self._config = config or {}
        self._blocks: dict[tuple[MatrixKind, str], None] = {}
        self._quantities: dict[str, dict[str, None]] = {}
        self._tags: dict[str, None] = {}
        self._charts: Layout = {}
        self._has_metrics = False
        for record in _earlier(Path(directory), purge_step):
            self._timeline.add(record)
            self._note(record, scalars(record, dimension))
        self._file = EventFile(Path(directory), purge_step)
        if config:
            self._file.write(hyper_parameters(config), step=0)

    def write(self, record: Record) -> None:
        """Write one record and hand it to the operating system.

        Raises:
            OSError: if it cannot be written now; it is then written before the next.
        """
        found = scalars(record, self._dimension)
        self._file.write(self._others(record, found), record.step, found)

    def close(self) -> None:
        """Close the event file; a second call does nothing.

        Raises:
            OSError: if there are records that still cannot be written.
        """
        self._file.close()

    def _others(self, record: Record, found: Mapping[str, float]) -> list[Summary.Value]:
        """What an event has beside its scalars."""
        values = [_histogram(name, each) for name, each in histograms(record).items()]
        is_first = not self._written
        is_news = self._timeline.add(record)
        # What an earlier writer wrote of later steps is void.
        if is_news or (is_first and self._timeline):
            values += summary.text("timeline", markdown(self._timeline)).value
        if self._note(record, found) or is_first:
            charts = layout(self._blocks, self._quantities, self._tags)
            # TensorBoard goes by the layout that was written last.
            if charts != self._charts:
                values += summary.custom_scalars(charts).value
                self._charts = charts
        if self._config and not self._has_metrics and not failed(record):
            # TensorBoard goes by the metrics that were written first.
            values += metrics(self._config, record)
            self._has_metrics = True
        if self._is_figure_due(record):
            values += self._images(record)
        self._written += 1
        return values

    def _images(self, record: Record) -> Iterator[Summary.Value]:
        for block, pixels in self._pictures.spectra(record).items():
            yield _image(f"spectra/{safe(block)}", pixels)
        for name, pixels in self._pictures.maps(record).items():
            yield _image(safe(name), pixels)

    def _note(self, record: Record, tags: Mapping[str, float]) -> bool:
        """Whether there are tags, and with them blocks, that no chart was laid out for."""
        if tags.keys() <= self._tags.keys():
            return False
        self._tags.update(dict.fromkeys(tags))
        for each in record.measured.spectra:
            self._blocks.setdefault((kind_named(each.matrix, record.matrices), each.block))
        for number in quantity_numbers(record):
            if not number.is_fixed:
                name = tag(number)
                if f"{number.kind}/{name}" in self._tags:
                    self._quantities.setdefault(number.quantity, {}).setdefault(name)
        return True

    def _is_figure_due(self, record: Record) -> bool:
        count = record.epoch if math.isfinite(record.epoch) else self._written
        return self._figures_every > 0 and count % self._figures_every == 0


def _earlier(directory: Path, purge_step: int | None) -> Iterator[Record]:
    """The records before the first step to be written again."""
    path = directory / RECORDS
    if not purge_step or not path.is_file():
        return iter(())
    return itertools.takewhile(lambda record: record.step < purge_step, read_records(path))


def _histogram(name: str, histogram: Histogram) -> Summary.Value:
    counts, edges = histogram.counts.tolist(), histogram.edges.tolist()
    middles = (histogram.edges[:-1] + histogram.edges[1:]) / 2
    weighted = histogram.counts * middles
    return Summary.Value(
        tag=name,
        histo=HistogramProto(
            min=edges[0],
            max=edges[-1],
            num=math.fsum(counts),
            sum=float(histogram.counts @ middles),
            sum_squares=float(weighted @ middles),
            bucket_limit=edges[1:],
            bucket=counts,
        ),
    )


def _image(name: str, pixels: NDArray[np.uint8]) -> Summary.Value:
    file = io.BytesIO()
    # The strongest compression takes ten times as long for one or two per cent of the size.
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    height, width, _ = pixels.shape
    content = {"height": height, "width": width, "colorspace": 3}
    image = Summary.Image(**content, encoded_image_string=file.getvalue())
    return Summary.Value(tag=name, image=image)
