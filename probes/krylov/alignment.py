"""How much of an eigenvector lies in the span of the reference directions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Alignment", "alignment"]


@dataclass(frozen=True)
class Alignment:
    """Squared cosines of unit vectors with reference directions.

    Attributes:
        overlap: |P u|^2, P the projector on the span of all directions, (*batch, k) float64.
        cosines: squared norm of the projection of u on each direction, (*batch, k, r) float64; 0
            for a direction of length 0.
    """

    overlap: Tensor
    cosines: Tensor


def alignment(vectors: Tensor, directions: Tensor) -> Alignment:
    """|P u|^2 with P = I_m (x) (projector on the span of the directions).

    Args:
        vectors: (*batch, m d, k) unit vectors u, each m pieces of length d one after the other.
        directions: (d, r), one direction a column; they may be dependent or zero.

    Raises:
        ValueError: if the length of the vectors is no multiple of d.
    """
    if directions.ndim != 2 or not directions.shape[0] or vectors.shape[-2] % directions.shape[0]:
        raise ValueError(
            "directions: expected shape (d, r) with d a divisor of the vectors' length "
            f"{vectors.shape[-2]}, got {tuple(directions.shape)}"
        )
    *lead, k = vectors.mT.shape[:-1]
    pieces = vectors.mT.reshape(*lead, k, -1, directions.shape[0]).double()
    return Alignment(
        overlap=(pieces @ _span(directions)).square().sum((-2, -1)),
        cosines=(pieces @ _normalised(directions.double())).square().sum(-2),
    )


def _span(directions: Tensor) -> Tensor:
    """Orthonormal basis of the span, (d, rank) float64, rank as the directions' dtype tells it."""
    if not directions.shape[1]:
        return directions.double()
    scaled = _normalised(directions.double())
    left, lengths, _ = torch.linalg.svd(scaled, full_matrices=False)
    precision = torch.finfo(directions.dtype).eps * max(directions.shape)
    basis: Tensor = left[:, lengths > precision * lengths.max()]
    return basis


def _normalised(directions: Tensor) -> Tensor:
    """Columns divided by their lengths; zero columns stay zero."""
    lengths = directions.norm(dim=0)
    return directions / torch.where(lengths > 0, lengths, 1.0)
