"""The figures that any run may have, each drawn from what its data file holds."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from ...probes.records.record import Record
from ...probes.records.record_file import Run
from .. import figures
from ..readings import blocks
from .figure import RunFigure
from .quantities import moving_quantities
from .style import Columns

__all__ = ["RUN_FIGURES"]


def _has_spectra(run: Run) -> bool:
    return bool(blocks(run.records))


def _has_measured_spectra(run: Run) -> bool:
    return any(record.measured.spectra for record in run.records)


def _has_statistics(run: Run) -> bool:
    return any(record.directions or math.isfinite(record.measured.loss) for record in run.records)


def _has_gram(run: Run) -> bool:
    return any(record.measured.gram.size for record in run.records)


def _has_predicted_outliers(run: Run) -> bool:
    predicted = (record.predicted.spectra for record in run.records if record.predicted)
    first = blocks(run.records)[:1]
    spectra = (each for one in predicted for each in one if each.block in first)
    return any(each.top or each.bottom for each in spectra)


def _last_gram_maps(run: Run, columns: Columns) -> Figure:
    held = [record for record in run.records if record.measured.gram.size]
    return figures.gram_maps(held[-1] if held else Record(0), columns)


# To add one, add it here; one of a single system belongs to the module of that system's figures.
RUN_FIGURES: tuple[RunFigure, ...] = (
    RunFigure(
        "dynamic-transitions",
        "Eigenvalues along training",
        "Extreme eigenvalues of each matrix (from left to right), a row "
        "for each block: measured points over the predicted bulk (shaded) and the predicted and "
        "forecast outliers (lines); vertical lines where a predicted outlier appears, disappears, "
        "splits or merges.",
        _has_spectra,
        lambda run, columns: figures.dynamic_transitions(run.records, columns=columns),
    ),
    RunFigure(
        "spectra",
        "Spectral densities",
        "Measured density (points with standard errors) over the predicted one (line) of the first "
        "block, at the start, in the middle and at the end; outliers measured (triangles) and "
        "predicted (stems).",
        _has_measured_spectra,
        lambda run, columns: figures.spectra(run.records, columns=columns),
    ),
    RunFigure(
        "gram-entries",
        "Summary statistics along training",
        "Entries of the Gram matrix, loss and accuracy: measured points over the forecast from the "
        "initial Gram matrix (lines) with its band.",
        _has_statistics,
        lambda run, columns: figures.gram_entries(run.records, run.dimension, columns),
    ),
    RunFigure(
        "quantities",
        "Quantities along training",
        "What theory's statistics and other quantities do along training: measured points with "
        "standard errors over what is predicted at each step (full lines) and forecast from the "
        "start (broken lines, with bands).",
        lambda run: bool(moving_quantities(run.records)),
        lambda run, columns: figures.quantities(run.records, columns),
    ),
    RunFigure(
        "gram-maps",
        "Gram matrix at the last probing",
        "Measured, forecast, and their difference, each entry written in its cell.",
        _has_gram,
        _last_gram_maps,
    ),
    RunFigure(
        "overlaps",
        "Eigenvectors of the outliers",
        "Squared norm of each outlier's eigenvector in the span of weights and means, and squared "
        "cosine with each mean, of the first block: measured points over predicted lines.",
        _has_predicted_outliers,
        lambda run, columns: figures.overlaps(run.records, columns=columns),
    ),
)
