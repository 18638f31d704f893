"""One block of one matrix along a parameter: its edges and outliers, place by place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..bulk.exterior import Exterior, exterior
from ..bulk.gaps import InnerGap, scalar_gaps
from ..bulk.law import CurvatureLaw
from ..bulk.outliers import Outlier, find_outliers
from ..mixture.effective_spectrum import EffectiveSpectrum
from ..mixture.factor_law import FactorLaw
from ..mixture.factors import Matrix
from ..mixture.quadrature import quadrature
from ..mixture.statistics import Statistics
from ..spectrum import EdgeKind, FloatArray, Side

__all__ = [
    "BlockPath",
    "Path",
    "SideState",
    "block_law",
    "edge_excess",
    "gap_excess",
    "side_excess",
    "varied",
]

Path = Callable[[float], EffectiveSpectrum]

_MATRIX_LEVEL = (
    2  # of the quadrature of blocks of several directions, as for EffectiveSpectrum.counts
)


@dataclass(frozen=True)
class SideState:
    """One side of a block's spectrum, or all gaps together, at one place of the path.

    Attributes:
        kind: of the edge.
        excess: from `edge_excess` or `gap_excess`; as many positive entries as there are outliers.
        edges: the end of the bulk that each entry is about, the same shape.
        values: (n,) the outliers, most extreme first; in gaps the largest first.
        vectors: (n, m (C+k) + q) the unit vectors w of the outliers, (x, mu) in the coordinates
            that G^(1/2) gives them, and v. These depend on G continuously and on no choice of
            basis, so that vectors of different places can be compared.
    """

    kind: EdgeKind
    excess: FloatArray
    edges: FloatArray
    values: FloatArray
    vectors: FloatArray


class BlockPath:
    """The block's states along a path, each computed once.

    Gaps are followed for blocks of one direction, where finding them is quick and certain.

    Args:
        path: the theory at a value of the parameter.
        matrix: "hessian" or "information".
        rows: directions in the block.
        with_parameters: whether v belongs to the block.
    """

    def __init__(
        self, path: Path, matrix: Matrix, rows: tuple[int, ...], with_parameters: bool = False
    ) -> None:
        self._path, self._matrix, self._rows = path, matrix, rows
        self._with_parameters = with_parameters
        self._states: dict[tuple[float, bool], dict[Side, SideState]] = {}

    def at(self, place: float, side: Side, coarser: bool = False) -> SideState:
        """State at a place; ``coarser`` takes the next coarser quadrature, for error estimates."""
        key = (place, coarser)
        if key not in self._states:
            theory = self._path(place)
            law = block_law(theory, self._matrix, self._rows, coarser, self._with_parameters)
            to_common = _to_common(theory.projection.coordinates)
            self._states[key] = {
                "top": _state(exterior(law), 1, to_common),
                "bottom": _state(exterior(law.mirrored), -1, to_common),
                "inside": _gap_state(_gaps(law), to_common),
            }
        return self._states[key][side]


def block_law(
    theory: EffectiveSpectrum,
    matrix: Matrix,
    rows: tuple[int, ...],
    coarser: bool = False,
    with_parameters: bool = False,
) -> CurvatureLaw:
    """The law of D of one block on the quadrature that `EffectiveSpectrum.counts` takes.

    It is one rule for all places of a path: a rule that refines itself would let the edge jump.

    The coarser one has fewer nodes, so that the difference of the two shows the error.
    """
    level = (0 if len(rows) == 1 else _MATRIX_LEVEL) + coarser
    nodes = quadrature(theory.projection, theory.mixture, level)
    factors = FactorLaw(theory.head, theory.statistics, nodes, theory.aspect_ratio)
    return factors.law(matrix, rows, with_parameters)


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


def gap_excess(gap: InnerGap) -> tuple[FloatArray, FloatArray]:
    """Smaller of k_j(lower) and -k_j(upper) for each rank j, in typical eigenvalues, (m r,).

    With it comes the end of the gap whose number is the smaller one, the same shape.

    k_j(lam) are the eigenvalues of K in falling order. Each falls with lam, so that the gap holds
    an outlier for every rank with k_j > 0 at its lower end and k_j < 0 at its upper: the number of
    positive entries. Where the gap closes the entries are -|k_j|, and none is positive.
    """
    lower, upper = (
        np.linalg.eigvalsh(gap.resolvent.outlier_matrix(parameter)).astype(float)
        for parameter in (gap.start, gap.end)
    )
    ends = np.where(lower < -upper, gap.lower, gap.upper)
    return np.minimum(lower, -upper) / gap.law.scale, ends


def side_excess(law: CurvatureLaw, side: Side) -> FloatArray:
    """The excess of a side of a law's spectrum, or of all its gaps together, in falling order."""
    if side == "inside":
        return _all_gaps(_gaps(law))[0]
    return edge_excess(exterior(law if side == "top" else law.mirrored))


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


def _gaps(law: CurvatureLaw) -> list[InnerGap]:
    """Gaps that can hold outliers, from the uppermost: between two bands, or a band and zero.

    At P = 0 lies an atom at zero; the eigenvalues of K all change their sign there, so that a gap
    around it holds no outlier.
    """
    if law.rows > 1:
        return []
    return [gap for gap in reversed(scalar_gaps(law)) if not gap.end < 0 < gap.start]


def _state(side: Exterior, sign: int, to_common: FloatArray) -> SideState:
    outliers, excess = find_outliers(side), edge_excess(side)
    return SideState(
        kind=side.kind,
        excess=excess,
        edges=np.full(len(excess), sign * side.edge),
        values=sign * np.array([outlier.value for outlier in outliers]),
        vectors=_vectors(outliers, to_common, side.law.parameters),
    )


def _gap_state(gaps: list[InnerGap], to_common: FloatArray) -> SideState:
    outliers = [outlier for gap in gaps for outlier in find_outliers(gap)]
    excess, edges = _all_gaps(gaps)
    return SideState(
        kind="square-root",
        excess=excess,
        edges=edges,
        values=np.array([outlier.value for outlier in outliers]),
        vectors=_vectors(outliers, to_common, gaps[0].law.parameters if gaps else 0),
    )


def _all_gaps(gaps: list[InnerGap]) -> tuple[FloatArray, FloatArray]:
    """Excess of all gaps in falling order, and the ends it is about."""
    found = [gap_excess(gap) for gap in gaps]
    excess = np.concatenate([np.zeros(0), *(one for one, _ in found)])
    ends = np.concatenate([np.zeros(0), *(one for _, one in found)])
    order = (-excess).argsort(kind="stable")
    return excess[order], ends[order]


def _vectors(outliers: list[Outlier], to_common: FloatArray, parameters: int) -> FloatArray:
    if not outliers:
        return np.zeros((0, 0))
    w = np.stack([outlier.direction for outlier in outliers])
    outer, inner = np.split(w, [w.shape[1] - parameters], axis=1)
    lifted = outer.reshape(len(w), -1, to_common.shape[1]) @ to_common.T
    return np.hstack([lifted.reshape(len(w), -1), inner])


def _to_common(coordinates: FloatArray) -> FloatArray:
    """The isometry Q (C+k, r) with Q V = G^(1/2)."""
    left, _, right = np.linalg.svd(coordinates, full_matrices=False)
    common: FloatArray = right.T @ left.T
    return common
