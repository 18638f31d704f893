"""How much of an eigenvector lies in the span of the reference directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

__all__ = ["Alignment", "alignment", "lies_along"]


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


def lies_along(shapes: Sequence[tuple[int, ...]], length: int, axis: int) -> bool:
    """Whether every parameter of a block has an axis of this number and length."""
    return all(-len(shape) <= axis < len(shape) and shape[axis] == length for shape in shapes)


def alignment(
    vectors: Tensor, directions: Tensor, shapes: Sequence[tuple[int, ...]], axis: int = -1
) -> Alignment:
    """|P u|^2 with P = (projector on the span of the directions) along an axis (x) I elsewhere.

    A factor U (d, q) holds a copy of R^d in each of its q columns, along axis 0; directions X
    (C, d) hold one in each row, along axis -1. The projections of u's parts in all copies count
    together.

    Args:
        vectors: (*batch, N, k) unit vectors u of the parameters' entries, one after the other.
        directions: (d, r), one direction a column; they may be dependent or zero.
        shapes: of the block's parameters.
        axis: along which the directions lie, of length d in every parameter.

    Raises:
        ValueError: if a parameter has no such axis, or the sizes do not fit.
    """
    if directions.ndim != 2 or not lies_along(shapes, len(directions), axis):
        raise ValueError(
            f"directions: expected shape (d, r) with d the length of axis {axis} of every "
            f"parameter, of shapes {[tuple(shape) for shape in shapes]}, "
            f"got {tuple(directions.shape)}"
        )
    sizes = [prod(shape) for shape in shapes]
    if vectors.shape[-2] != sum(sizes):
        raise ValueError(
            f"vectors: expected {sum(sizes)} entries, as the block has, got {vectors.shape[-2]}"
        )
    span, single = _span(directions), _normalised(directions.double())
    parts = torch.split(vectors.mT, sizes, dim=-1)
    copies = [
        _copies(part, shape, axis).double() for part, shape in zip(parts, shapes, strict=True)
    ]
    return Alignment(
        overlap=torch.stack([(each @ span).square().sum((-2, -1)) for each in copies]).sum(0),
        cosines=torch.stack([(each @ single).square().sum(-2) for each in copies]).sum(0),
    )


def _copies(rows: Tensor, shape: tuple[int, ...], axis: int) -> Tensor:
    """Vectors (*batch, k, N) of one parameter as (*batch, k, N/d, d), d the length of the axis."""
    lead, d = rows.shape[:-1], shape[axis]
    from_the_end = axis if axis < 0 else axis - len(shape)
    tensors = rows.reshape(*lead, *shape).movedim(from_the_end, -1)
    return tensors.reshape(*lead, rows.shape[-1] // d, d)


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
