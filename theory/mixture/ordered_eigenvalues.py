"""The eigenvalues of a block by their rank, at finite size.

That of rank j is an outlier, or the point of the bulk above which

    N(lam) + (outliers above lam) = j - 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..spectrum import FloatArray
from .refinement import Refined

__all__ = ["ordered_eigenvalues"]


def ordered_eigenvalues(
    solved: Refined, outliers: Sequence[float], size: int, ranks: Sequence[int]
) -> FloatArray:
    """Predicted eigenvalues of given ranks, in the order asked, (len(ranks),).

    Args:
        solved: the block.
        outliers: all of its outliers, largest first.
        size: number of eigenvalues.
        ranks: 1 for the largest, up to the size.
    """
    bulk = size - len(outliers)
    # Rank of each outlier: those before it, and the bulk above it.
    places = [i + 1 + round(bulk * _share_above(solved, lam)) for i, lam in enumerate(outliers)]
    found = []
    for rank in ranks:
        if rank in places:
            found.append(outliers[places.index(rank)])
            continue
        share = (rank - sum(place < rank for place in places) - 0.5) / bulk
        found.append(_quantile(solved, share))
    return np.array(found) + 0.0  # no negative zeros


def _share_above(solved: Refined, lam: float) -> float:
    """Of the eigenvalues in the bulk, those of a projected-out direction included."""
    null = solved.null
    return (1 - null) * solved.fine.interior.share_above(lam) + null * (lam < 0)


def _quantile(solved: Refined, share: float) -> float:
    """The point of the bulk with a share above it, where a share ``null`` is exactly zero."""
    inside, null = solved.fine.interior, solved.null
    positive = (1 - null) * inside.share_above(0.0)
    zero = (1 - null) * inside.atom + null
    if positive <= share < positive + zero:
        return 0.0
    return inside.quantile((share - null * (share >= positive)) / (1 - null))
