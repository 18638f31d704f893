"""Figures, one a file: each function takes records and returns a matplotlib Figure."""

from .dynamic_transitions import dynamic_transitions
from .gram_entries import gram_entries
from .matrix_maps import matrix_maps
from .overlaps import overlaps
from .phase_diagram import phase_diagram
from .quantities import quantities
from .spectra import spectra
from .static_transition import static_transition
from .vector_maps import vector_maps

__all__ = [
    "dynamic_transitions",
    "gram_entries",
    "matrix_maps",
    "overlaps",
    "phase_diagram",
    "quantities",
    "spectra",
    "static_transition",
    "vector_maps",
]
