"""Whether products can be those of a matrix of second derivatives."""

from __future__ import annotations

import torch
from torch import Tensor

from .finite import all_finite

__all__ = ["require_sound"]

# Beyond it a matrix is not symmetric to within rounding: |u'Hv - v'Hu| as a share of what u'Hv is
# for random u, |u| |Hv| / sqrt(N).
_ASYMMETRY = {torch.float32: 1e-3, torch.float64: 1e-6}


def require_sound(rows: Tensor, products: Tensor, variables: str) -> None:
    """Refuse products that are not finite, or, of two rows, not those of a symmetric matrix.

    Args:
        rows: (1 or 2, N).
        products: of the rows with the matrix, likewise.
        variables: what the derivatives are taken in, for the error.

    Raises:
        ValueError: naming the variables and what is wrong.
    """
    if not all_finite(products):
        raise ValueError(
            f"loss: expected a finite second derivative in {variables}, got NaN or infinity: an "
            f"operation has none here, as a norm at 0, or numbers are beyond {products.dtype}"
        )
    if len(rows) < 2:
        return
    (u, v), (hu, hv) = rows.double(), products.double()
    gap = float((u @ hv - v @ hu).abs())
    size = torch.maximum(u.norm() * hv.norm(), v.norm() * hu.norm()) / rows.shape[-1] ** 0.5
    if not gap <= _ASYMMETRY[rows.dtype] * float(size):
        raise ValueError(
            f"loss: expected a symmetric matrix in {variables}, got u'Hv and v'Hu that are "
            f"{gap / float(size):.2g} of their size apart: an operation's second derivative is "
            "wrong, as that of a torch.autograd.Function that keeps an intermediate result"
        )
