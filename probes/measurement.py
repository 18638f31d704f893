"""What is measured of each block, and how closely."""

from __future__ import annotations

from dataclasses import dataclass

from ..models.arguments import require_fields, require_least, require_positive
from .curvature.operator import CurvatureOperator

__all__ = ["Measurement"]

# Nodes of a density: its resolution; and random vectors it is averaged over.
_DENSITY_STEPS = 24
_WIDTH = 16
# Where a product is a derivative, time is that of the products: so many of them for a density, with
# at least so many nodes, and vectors of so many entries together, which are what it is averaged
# over; but so few or so many.
_DENSITY_PRODUCTS = 36
_FEWEST_STEPS = 10
_ENTRIES = 20_000
_FEWEST, _MOST = 3, 8


@dataclass(frozen=True)
class Measurement:
    """What is measured of each block, and how closely.

    Attributes:
        eigenvalues: number of largest eigenvalues.
        smallest: number of smallest eigenvalues.
        tolerance: residual, as a share of the largest absolute eigenvalue, at which an eigenpair
            is settled.
        density: whether the spectral density is measured.
        width: vectors multiplied at once, more than the largest multiplicity that matters, and with
            a density the random vectors that it is averaged over; None for as many as suit the
            operator, and again with twice as many, up to 16, where copies of a multiple eigenvalue
            may be missing.
        max_products: matrix-vector products of a block after which Lanczos stops, settled or not.
        draws: probe samples drawn at a thorough probing.
        tracking: whether eigenvectors are followed from one probing to the next, which keeps them
            (and the weights) in memory and in `SpectralProbe.state_dict`. Without a density, the
            search for the eigenvectors of differentiated modules then starts from those before.
    """

    eigenvalues: int = 6
    smallest: int = 3
    tolerance: float = 1e-3
    density: bool = True
    width: int | None = None
    max_products: int = 640
    draws: int = 1
    tracking: bool = True

    def __post_init__(self) -> None:
        require_fields(self)
        for name in ("eigenvalues", "tolerance", "width", "max_products", "draws"):
            value = getattr(self, name)
            if value is not None:
                require_positive(name, value)
        require_least("smallest", self.smallest, 0)
        if self.max_products < self.eigenvalues + self.smallest:
            raise ValueError(
                f"max_products: expected at least eigenvalues + smallest = "
                f"{self.eigenvalues + self.smallest}, got {self.max_products}"
            )

    @classmethod
    def cheap(cls) -> Measurement:
        """Both ends, density and trace within a percent or a few: a few percent of the cost.

        What is taken of a module without theory, if nothing else is said.
        """
        return cls(tolerance=1e-2, max_products=160)

    @classmethod
    def moderate(cls) -> Measurement:
        """The default with theory: eigenvalues to a residual of 1e-3 of the largest."""
        return cls()

    @classmethod
    def expensive(cls) -> Measurement:
        """More of both ends, to 1e-4, with four draws of the sample at thorough probings."""
        return cls(eigenvalues=20, smallest=10, tolerance=1e-4, max_products=2560, draws=4)

    def widths(self, operator: CurvatureOperator, *, density: bool, warm: bool) -> tuple[int, ...]:
        """Vectors multiplied at once; more of them where copies of an eigenvalue may be missing."""
        if self.width:
            return (self.width,)
        first = operator.panel_width
        if warm or (density and not operator.differentiated):
            first = _WIDTH
        elif operator.differentiated:
            starts = min(max(_FEWEST, -(-_ENTRIES // operator.size)), _MOST)
            first = starts if density else min(first, starts)
        wider = (2 * first, _WIDTH) if 2 * first < _WIDTH else (_WIDTH,)
        return (first, *wider) if first < _WIDTH else (first,)

    def steps(self, operator: CurvatureOperator, width: int, *, density: bool) -> tuple[int, int]:
        """The least and the most products with panels of so many vectors."""
        nodes = _DENSITY_STEPS
        if operator.differentiated and self.width is None:
            nodes = max(_FEWEST_STEPS, -(-_DENSITY_PRODUCTS // width))
        enough = -(-(self.eigenvalues + self.smallest) // width)
        return nodes if density else 0, max(enough, self.max_products // width)
