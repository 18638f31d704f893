"""One block of one matrix along a parameter: its edges and outliers, place by place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .curvature_law import CurvatureLaw, FactorLaw
from .effective_spectrum import EffectiveSpectrum
from .exterior import Exterior, exterior
from .outliers import find_outliers
from .quadrature import quadrature
from .spectrum import EdgeKind, FloatArray, Matrix
from .statistics import Statistics

__all__ = ["SIDES", "BlockPath", "Path", "Side", "SideState", "block_law", "edge_excess", "varied"]

Side = Literal["right", "left"]
SIDES: tuple[Side, ...] = ("right", "left")

Path = Callable[[float], EffectiveSpectrum]

_COARSER_BINS = 100  # of D, against 150
_MATRIX_LEVEL = 2  # of the quadrature of blocks of several directions, as in EffectiveSpectrum


@dataclass(frozen=True)
class SideState:
    """One side of a block's spectrum at one place of the path.

    Attributes:
        kind: of the edge.
        edge: end of the bulk; infinite where it has none.
        excess: from `edge_excess`; as many positive entries as there are outliers.
        values: (n,) the outliers, most extreme first.
        vectors: (n, m (C+k)) the unit vectors w of the outliers in the coordinates that
            G^(1/2) gives to (x, mu): these depend on G continuously and on no choice of basis, so
            that vectors of different places can be compared.
    """

    kind: EdgeKind
    edge: float
    excess: FloatArray
    values: FloatArray
    vectors: FloatArray


class BlockPath:
    """The block's states along a path, each computed once.

    Args:
        path: the theory at a value of the parameter.
        matrix: "hessian" or "information".
        rows: directions in the block.
    """

    def __init__(self, path: Path, matrix: Matrix, rows: tuple[int, ...]) -> None:
        self._path, self._matrix, self._rows = path, matrix, rows
        self._states: dict[tuple[float, bool], dict[Side, SideState]] = {}

    def at(self, place: float, side: Side, coarser: bool = False) -> SideState:
        """State at a place; ``coarser`` takes the next coarser quadrature, for error estimates."""
        key = (place, coarser)
        if key not in self._states:
            theory = self._path(place)
            law = block_law(theory, self._matrix, self._rows, coarser)
            to_common = _to_common(theory.projection.coordinates)
            self._states[key] = {
                "right": _state(exterior(law), 1, to_common),
                "left": _state(exterior(law.mirrored), -1, to_common),
            }
        return self._states[key][side]


def block_law(
    theory: EffectiveSpectrum, matrix: Matrix, rows: tuple[int, ...], coarser: bool = False
) -> CurvatureLaw:
    """The law of D of one block on the quadrature that `EffectiveSpectrum` begins with.

    The coarser one has fewer nodes and, after that, fewer bins of D, so that the difference of the
    two shows both errors.
    """
    level = (0 if len(rows) == 1 else _MATRIX_LEVEL) + coarser
    nodes = quadrature(theory.projection, theory.mixture, level)
    factors = FactorLaw(theory.head, theory.statistics, nodes, theory.aspect_ratio)
    law = factors.law(matrix, rows)
    return law.compressed(_COARSER_BINS) if coarser else law.compressed()


def edge_excess(side: Exterior) -> FloatArray:
    """Eigenvalues of K(edge) in units of |tr P| / (m phi snr), largest first, (m r,).

    A direction of pure noise has -1 (exactly so for m = 1), an outlier at the edge 0, and the
    positive entries are the outliers beyond it: their number changes where an entry crosses zero.
    For softmax at x = 0 with k orthonormal means and equal weights k entries of the Hessian's block
    are -1 + snr phi^(1/2) / k. Where the bulk has no end, or ends at zero, no outlier is told from
    it, and the result is empty.
    """
    if side.kind in ("infinite", "hard"):
        return np.zeros(0)
    law = side.law
    unit = -side.start / (law.rows * law.aspect_ratio * law.snr)
    excess: FloatArray = np.linalg.eigvalsh(side.outlier_matrix(side.start) / unit).astype(float)
    return excess[::-1]


def varied(
    theory: EffectiveSpectrum,
    *,
    statistics: Statistics | None = None,
    snr: float | None = None,
    aspect_ratio: float | None = None,
) -> EffectiveSpectrum:
    """The same theory at other statistics, snr or aspect ratio: the points of a path."""
    mixture = theory.mixture
    return EffectiveSpectrum(
        theory.head,
        theory.statistics if statistics is None else statistics,
        mixture if snr is None else replace(mixture, snr=snr),
        theory.aspect_ratio if aspect_ratio is None else aspect_ratio,
        theory.dimension,
        theory.tolerance,
    )


def _state(side: Exterior, sign: int, to_common: FloatArray) -> SideState:
    outliers = find_outliers(side)
    size, span = to_common.shape
    vectors = [(o.direction.reshape(-1, span) @ to_common.T).reshape(-1) for o in outliers]
    return SideState(
        kind=side.kind,
        edge=sign * side.edge,
        excess=edge_excess(side),
        values=sign * np.array([outlier.value for outlier in outliers]),
        vectors=np.array(vectors).reshape(len(vectors), -1 if vectors else size),
    )


def _to_common(coordinates: FloatArray) -> FloatArray:
    """The isometry Q (C+k, r) with Q V = G^(1/2)."""
    left, _, right = np.linalg.svd(coordinates, full_matrices=False)
    common: FloatArray = right.T @ left.T
    return common
