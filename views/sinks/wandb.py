"""The sink for Weights & Biases: the same tags as in TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...models.arguments import require_arguments, require_whole
from ...probes.records.record import Record
from ..timeline import Timeline, rows
from .histograms import histograms
from .scalars import scalars

if TYPE_CHECKING:
    import wandb

__all__ = ["STEP", "WandbSink"]

# The horizontal axis of all charts: W&B's own counter belongs to whoever else logs to the run.
STEP = "optimiser_step"
_KINDS = ("measured", "predicted", "forecast", "band", "detection", "error", "seconds")


class WandbSink:
    """Logs records to a run of Weights & Biases: scalars, histograms, and the timeline as a table.

    Charts are over the key ``optimiser_step``. Without a network say ``mode="offline"`` to
    ``wandb.init`` (or ``WANDB_MODE=offline`` in the environment).

    Args:
        run: what ``wandb.init`` returned, with its project, name and configuration; it is left
            open. None begins one with ``wandb.init()``, which `close` finishes.
        dimension: d, for the band around forecast inner products of directions.

    Raises:
        ImportError: if wandb is not installed.
    """

    def __init__(self, run: wandb.Run | None = None, dimension: int | None = None) -> None:
        require_arguments(WandbSink.__init__, locals())
        if dimension is not None:
            require_whole("dimension", dimension, 1)
        try:
            import wandb
        except ImportError as error:
            raise ImportError(
                "WandbSink: expected the package wandb, which is not installed; "
                "pip install 'spectrain[wandb]'"
            ) from error
        self._is_own = run is None
        self.run = wandb.init() if run is None else run
        self._dimension = dimension
        self._timeline = Timeline()
        self.run.define_metric(STEP, hidden=True)
        for kind in _KINDS:
            self.run.define_metric(f"{kind}/*", step_metric=STEP)

    def write(self, record: Record) -> None:
        """Hand one record to the run, which sends it on in its own time."""
        import wandb

        content: dict[str, object] = {STEP: record.step, **scalars(record, self._dimension)}
        for tag, histogram in histograms(record).items():
            counts, edges = histogram.counts.tolist(), histogram.edges.tolist()
            content[tag] = wandb.Histogram(np_histogram=(counts, edges))
        if self._timeline.add(record):
            head, *body = rows(self._timeline)
            content["timeline"] = wandb.Table(columns=list(head), data=[list(row) for row in body])
        self.run.log(content)

    def close(self) -> None:
        """Finish the run if it was begun here; a second call does nothing."""
        if self._is_own:
            self._is_own = False
            self.run.finish()
