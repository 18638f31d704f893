"""A curvature operator as SciPy knows matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from ...models.arguments import require_arguments
from .operator import CurvatureOperator

__all__ = ["as_linear_operator"]


def as_linear_operator(operator: CurvatureOperator) -> LinearOperator:
    """H as a `scipy.sparse.linalg.LinearOperator` (N, N), for eigsh, lobpcg, cg, ...

    Vectors (N,) and panels (N, width) are NumPy arrays of any real dtype; the result has the
    operator's. Each product copies them to the operator's device and back.

    Args:
        operator: one symmetric matrix.

    Raises:
        ValueError: for a batch of matrices.
    """
    require_arguments(as_linear_operator, locals())
    if operator.batch:
        raise ValueError(f"operator: expected one matrix, got a batch {operator.batch}")
    kind = np.float32 if operator.dtype == torch.float32 else np.float64

    def products(panel: NDArray[Any]) -> NDArray[np.floating]:
        columns = np.array(panel, dtype=kind).reshape(operator.size, -1)
        found = operator @ torch.from_numpy(columns).to(operator.device)
        result: NDArray[np.floating] = found.cpu().numpy().reshape(panel.shape)
        return result

    shape = (operator.size, operator.size)
    return LinearOperator(
        shape, matvec=products, rmatvec=products, matmat=products, rmatmat=products, dtype=kind
    )
