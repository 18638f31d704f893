"""The types that measurements and predictions share, so that one can be drawn over the other."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .deferred import Deferred

__all__ = [
    "ENDS",
    "SIDES",
    "SIDE_WORDS",
    "Bulk",
    "Density",
    "Edge",
    "EdgeKind",
    "Eigenpair",
    "End",
    "FloatArray",
    "Gap",
    "Jacobi",
    "Side",
    "Spectrum",
]

FloatArray = NDArray[np.float64]
EdgeKind = Literal["square-root", "thin", "hard", "infinite"]

# Where an eigenvalue is, in the names that `Spectrum` has for it: above the bulk, below it, or in a
# gap between two of its bands.
End = Literal["top", "bottom"]
Side = Literal["top", "bottom", "inside"]
ENDS: tuple[End, ...] = ("top", "bottom")
SIDES: tuple[Side, ...] = (*ENDS, "inside")
# What documents, messages and record files of the first version call it.
SIDE_WORDS: dict[Side, str] = {"top": "right", "bottom": "left", "inside": "gap"}

_CURVATURE = {"unit": "that of the matrix"}
_SHARE = {"unit": "1, between 0 and 1"}
_DENSITY = {"unit": "1 / that of the matrix"}
# Which numbers float32 holds as well as they are known: "kept" is the rule of record files, a field
# that has the errors, or "float32" for what is an error itself.
_ERROR = _CURVATURE | {"kept": "float32"}


def _empty() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True)
class Eigenpair:
    """One eigenvalue with what is known of its eigenvector u; a predicted one is an outlier.

    Attributes:
        value: the eigenvalue.
        error: |H u - value u| if measured, the estimated numerical error if predicted.
        overlap: |P u|^2, P the projector on span(x, mu) (on each copy of it for several
            directions, together, and on v if the block holds it); NaN if there are no reference
            directions.
        alignment: (r,) squared cosine of u with each single reference direction, in the order of
            the rows of the Gram matrix; 0 for a direction of length 0.
        sampling_error: standard deviation of ``value`` over the draw of the probe sample (of the
            noise, for a spiked landscape); estimated from one sample if measured, predicted for a
            dimension; NaN if unknown.
        parameter_overlap: squared norm of u's part in the head's parameters v, 0 for a block
            without them; it belongs to ``overlap``. NaN if measured.
        draws: (R,) the eigenvalue of this rank on each of R independent probe samples, the first
            of which is ``value``; R = 1 unless several were drawn; empty if predicted. Of an
            ensemble those of its runs, whose mean is ``value``.
    """

    value: float = field(metadata=_CURVATURE)
    error: float = field(metadata=_ERROR)
    overlap: float = field(default=math.nan, metadata=_SHARE)
    alignment: FloatArray = field(default_factory=_empty, metadata=_SHARE)
    sampling_error: float = field(default=math.nan, metadata=_ERROR)
    draws: FloatArray = field(default_factory=_empty, metadata=_CURVATURE)
    parameter_overlap: float = field(default=math.nan, metadata=_SHARE)


@dataclass(frozen=True)
class Density(Deferred):
    """A spectral law on a grid.

    Attributes:
        points: (N,) increasing.
        values: (N,) density at the points, without the atom at zero; 0 at isolated eigenvalues and
            in gaps.
        errors: (N,) of ``values``: if measured over random starts, over the eigenvalues of a window
            and with its width; estimated numerical error if predicted.
        cumulative: (N,) share of all eigenvalues below each point (the atom included; half of
            those at the point).
        cumulative_errors: (N,) standard errors of ``cumulative``.
        eigenvalues: (n,) ascending, all there are, if they are known: the other fields follow from
            them. Empty otherwise.
        resolution: distance below which they are equal; NaN without them.
    """

    points: FloatArray = field(metadata=_CURVATURE)
    values: FloatArray = field(metadata=_DENSITY | {"kept": "errors"})
    errors: FloatArray = field(metadata=_DENSITY | {"kept": "float32"})
    cumulative: FloatArray = field(metadata=_SHARE | {"kept": "cumulative_errors"})
    cumulative_errors: FloatArray = field(metadata=_SHARE | {"kept": "float32"})
    eigenvalues: FloatArray = field(default_factory=_empty, metadata=_CURVATURE)
    resolution: float = field(default=math.nan, metadata=_CURVATURE)

    @property
    def curve(self) -> FloatArray:
        """(N,) the values whose error is at most half of them, NaN elsewhere: a curve to draw.

        A prediction is no curve beyond: in a tail that is known to its order of magnitude alone,
        islands of solutions would look like structure.
        """
        return np.where(self.errors <= self.values / 2, self.values, np.nan)


@dataclass(frozen=True)
class Edge:
    """One end of the predicted bulk.

    Attributes:
        value: where the limiting density ends; infinite where it has no end.
        kind: "square-root" (the density vanishes as a square root), "thin" (it ends in a tail
            that no finite spectrum shows), "hard" (at the atom at zero) or "infinite".
        finite_size: the point beyond which the predicted density leaves half an eigenvalue; a
            typical place of the last bulk eigenvalue, not a bound. NaN if no dimension was given.
        detection: beyond it an eigenvalue is called an outlier: the 99 % point of the last bulk
            eigenvalue. NaN if no dimension was given, and at the edges of gaps.
        error: estimated numerical error of ``value``.
        detection_error: estimated numerical error of ``detection``; NaN where it is not estimated,
            which is everywhere but at thin edges of blocks of a single direction.
    """

    value: float = field(metadata=_CURVATURE)
    kind: EdgeKind = field(metadata={"unit": "none"})
    finite_size: float = field(metadata=_CURVATURE)
    detection: float = field(metadata=_CURVATURE)
    error: float = field(metadata=_CURVATURE)
    detection_error: float = field(default=math.nan, metadata=_CURVATURE)


@dataclass(frozen=True)
class Gap:
    """An interval without density between two bands of the bulk.

    Attributes:
        lower: its lower end, where the band below it ends.
        upper: its upper end, where the band above it begins.
    """

    lower: Edge = field(metadata={"unit": "see Edge"})
    upper: Edge = field(metadata={"unit": "see Edge"})


@dataclass(frozen=True)
class Bulk:
    """The predicted bulk: one band or several, and a possible atom at zero.

    Attributes:
        lower: lower edge of the lowest band.
        upper: upper edge of the highest band.
        atom: share of the eigenvalues that are exactly zero.
        gaps: between the bands, in increasing order.
    """

    lower: Edge = field(metadata={"unit": "see Edge"})
    upper: Edge = field(metadata={"unit": "see Edge"})
    atom: float = field(default=0.0, metadata=_SHARE)
    gaps: tuple[Gap, ...] = field(default=(), metadata={"unit": "see Gap"})

    @property
    def bands(self) -> tuple[tuple[Edge, Edge], ...]:
        """Lower and upper edge of each band, in increasing order."""
        starts = (self.lower, *(gap.upper for gap in self.gaps))
        ends = (*(gap.lower for gap in self.gaps), self.upper)
        return tuple(zip(starts, ends, strict=True))


@dataclass(frozen=True)
class Jacobi(Deferred):
    """lam p_k = beta_k p_(k+1) + alpha_k p_k + beta_(k-1) p_(k-1),  p_k orthonormal under a law.

    Of a `Spectrum` it is the law of all N eigenvalues: each outlier has mass 1/N in it, and zero
    the mass of the atom. Predicted, the tail of the bulk beyond the finite-size edges, half an
    eigenvalue on each side, lies on those edges.

    Attributes:
        diagonal: alpha_0, ..., alpha_(K-1), (K,).
        off_diagonal: beta_0, ..., beta_(K-2), positive, (K-1,).
        diagonal_errors: standard errors over random starts if measured (0 where all eigenvalues are
            known, NaN from one start), estimated numerical errors if predicted, (K,).
        off_diagonal_errors: the same, (K-1,).
    """

    diagonal: FloatArray = field(metadata=_CURVATURE)
    off_diagonal: FloatArray = field(metadata=_CURVATURE)
    diagonal_errors: FloatArray = field(metadata=_ERROR)
    off_diagonal_errors: FloatArray = field(metadata=_ERROR)


@dataclass(frozen=True, repr=False)
class Spectrum(Deferred):
    """Spectrum of one block of one matrix, measured or predicted.

    Attributes:
        matrix: name of its `MatrixKind`: "hessian", "information", ...
        block: name of the block of parameters.
        size: number of eigenvalues; 0 for a prediction without a dimension.
        top: measured: the largest eigenpairs; predicted: the outliers above the bulk. Largest
            first in both, so that equal ranks correspond.
        bottom: the same below the bulk, smallest first.
        bulk: predicted only.
        density: None if it was not asked for.
        inside: predicted only: the outliers in gaps of the bulk, largest first.
        jacobi: coefficients of the law of all eigenvalues; None where there is no density.
        unknown: measured only: why some sampling errors are NaN; empty if none of them is.
    """

    matrix: str = field(metadata={"unit": "none"})
    block: str = field(metadata={"unit": "none"})
    size: int = field(metadata={"unit": "eigenvalues"})
    top: tuple[Eigenpair, ...] = field(metadata={"unit": "see Eigenpair"})
    bottom: tuple[Eigenpair, ...] = field(metadata={"unit": "see Eigenpair"})
    bulk: Bulk | None = field(default=None, metadata={"unit": "see Bulk"})
    density: Density | None = field(default=None, metadata={"unit": "see Density"})
    inside: tuple[Eigenpair, ...] = field(default_factory=tuple, metadata={"unit": "see Eigenpair"})
    jacobi: Jacobi | None = field(default=None, metadata={"unit": "see Jacobi"})
    unknown: str = field(default="", metadata={"unit": "none"})

    def __repr__(self) -> str:
        ends = [
            f"{word} {pairs[0].value:.4g}"
            for word, pairs in (("largest", self.top), ("smallest", self.bottom))
            if pairs
        ]
        size = [f"{self.size} eigenvalues"] if self.size else []
        return f"Spectrum({', '.join([self.matrix, self.block, *size, *ends])})"
