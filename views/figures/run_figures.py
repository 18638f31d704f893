"""The figures that any run may have, each drawn from what its data file holds."""

from __future__ import annotations

from ...probes.records.record_file import Run
from .. import figures
from ..readings import blocks
from ..slices import SLICES
from .figure import RunFigure
from .gram_entries import has_gram
from .matrix_maps import matrix_quantities
from .overlaps import has_overlaps
from .quantities import shown_quantities
from .vector_maps import vector_quantities

__all__ = ["RUN_FIGURES"]


def _has_spectra(run: Run) -> bool:
    return bool(blocks(run.records))


def _has_measured_spectra(run: Run) -> bool:
    return any(record.measured.spectra for record in run.records)


# To add one, add it here; one of a single system belongs to the module of that system's figures.
RUN_FIGURES: tuple[RunFigure, ...] = (
    RunFigure(
        "dynamic-transitions",
        "Eigenvalues along training",
        "Extreme eigenvalues, a column for each matrix and a row for each block: measured points "
        "over the predicted bulk (shaded) and the predicted and forecast outliers (lines); "
        "vertical lines where a predicted outlier appears, disappears, splits or merges.",
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
        "quantities",
        "Quantities along training",
        "Each quantity in a panel, with its unit: measured points with standard errors over what "
        "is predicted at the step and forecast from the start (lines) with the band of a run; a "
        "long vector over its entries, at the last probing.",
        lambda run: bool(shown_quantities(run.records)),
        lambda run, columns: figures.quantities(run.records, columns),
    ),
    RunFigure(
        "vector-maps",
        "Vectors along training",
        "Each measured vector, such as a number of every layer, in a panel: a row for each entry "
        "over time, its value as a colour, with the unit at the scale; grey where it is unknown.",
        lambda run: bool(vector_quantities(run.records)),
        lambda run, columns: figures.vector_maps(run.records, columns),
    ),
    RunFigure(
        "gram-entries",
        "Inner products of directions along training",
        "Entries of the Gram matrix of the reference directions: measured points over the forecast "
        "from the initial one (lines) with its band.",
        lambda run: has_gram(run.records),
        lambda run, columns: figures.gram_entries(run.records, run.dimension, columns),
    ),
    RunFigure(
        "matrix-maps",
        "Matrices",
        "Measured, predicted or forecast, and their difference; a single matrix at the start, in "
        "the middle and at the end, of several each at the last probing. A quantity of more axes "
        f"is shown as the first {SLICES} matrices over its last two.",
        lambda run: bool(matrix_quantities(run.records)),
        lambda run, columns: figures.matrix_maps(run.records, columns=columns),
    ),
    RunFigure(
        "overlaps",
        "Eigenvectors of the outliers",
        "Squared norm of each outlier's eigenvector in the span of all reference directions, and "
        "squared cosine with each that stays, of the first block: measured points over predicted "
        "lines.",
        lambda run: has_overlaps(run.records),
        lambda run, columns: figures.overlaps(run.records, columns=columns),
    ),
)
