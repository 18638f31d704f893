"""Matrices that are formed: when that costs less than a Krylov space, and what is had of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..curvature.finite import all_finite
from ..curvature.operator import CurvatureOperator
from .block_lanczos import Krylov
from .frames import identity_frame

__all__ = ["all_eigenvalues", "is_formed", "keeps_images", "whole_space"]

# Products with a panel that a run takes at least, where they are derivatives.
_FEWEST_STEPS = 10
# Bytes of a basis and its images up to which the images are kept.
_IMAGES = 2**30


def is_formed(operator: CurvatureOperator, width: int, min_steps: int, max_steps: int) -> bool:
    """Whether `krylov_space` forms the matrix instead of building a space.

    It does if the budget of products allows it anyway, or if forming costs at most half as much
    again as the shortest run: that would have to find eigenvalues of a matrix not much smaller.
    Where products are derivatives, both have to be.
    """
    allowed = operator.size <= width * max_steps
    if operator.differentiated:
        shortest = width * min(max(min_steps, _FEWEST_STEPS), max_steps)
        return allowed and operator.dense_cost <= 1.5 * shortest
    return allowed or operator.dense_cost <= 1.5 * width * min(min_steps, max_steps)


def keeps_images(operator: CurvatureOperator, columns: int) -> bool:
    """Whether `krylov_space` keeps its products, beside a basis of so many columns at most.

    It does where they are derivatives, and both fit in 1 GiB.
    """
    entries = math.prod(operator.batch) * operator.size * columns
    return operator.differentiated and 2 * entries * operator.dtype.itemsize <= _IMAGES


def whole_space(operator: CurvatureOperator) -> Krylov:
    """The complete space: Q the identity, T = H, B empty; H Q is there where it is kept.

    Raises:
        ValueError: if the matrix is not finite.
    """
    matrix = _formed(operator)
    symmetric = (matrix.double() + matrix.mT.double()) / 2
    border = symmetric.new_zeros(*operator.batch, 0, operator.size)
    images = matrix if keeps_images(operator, operator.size) else None
    return Krylov(identity_frame(operator), symmetric, border, operator.size, images)


def all_eigenvalues(operator: CurvatureOperator) -> Tensor:
    """Eigenvalues of H, ascending, (*batch, N) float64, those of `whole_space` to rounding.

    Without eigenvectors, which take most of the time.

    Raises:
        ValueError: if the matrix is not finite.
    """
    matrix = _formed(operator)
    values: Tensor = torch.linalg.eigvalsh((matrix + matrix.mT) / 2).double()
    return values


def _formed(operator: CurvatureOperator) -> Tensor:
    matrix = operator.dense()
    if not all_finite(matrix):
        raise ValueError("operator: expected finite products, got NaN or infinity")
    return matrix
