"""Summary statistics: all that the theory needs to know of the weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .spectrum import FloatArray

__all__ = ["Statistics"]

_NEGATIVE = 1e-6  # relative; float32 weights give a Gram matrix with errors of this order


@dataclass(frozen=True)
class Statistics:
    """G = (x, mu)^T (x, mu) and the finite parameters v.

    Attributes:
        gram: (C+k, C+k) symmetric positive semidefinite, rows x_1..x_C, mu_1..mu_k; may be
            singular.
        parameters: (q,) the head's extra parameters, for example the second layer.

    Raises:
        ValueError: if ``gram`` is not square, finite, symmetric and positive semidefinite.
    """

    gram: FloatArray = field(metadata={"unit": "squared parameter"})
    parameters: FloatArray = field(
        default_factory=lambda: np.zeros(0), metadata={"unit": "parameter"}
    )

    def __post_init__(self) -> None:
        gram = self.gram
        if gram.ndim != 2 or gram.shape[0] != gram.shape[1]:
            raise ValueError(f"gram: expected a square matrix, got shape {gram.shape}")
        if not (np.isfinite(gram).all() and np.isfinite(self.parameters).all()):
            raise ValueError("gram, parameters: expected finite numbers, got NaN or infinity")
        scale = max(float(np.abs(gram).max(initial=0.0)), 1e-300)
        if np.abs(gram - gram.T).max(initial=0.0) > _NEGATIVE * scale:
            raise ValueError("gram: expected a symmetric matrix")
        smallest = float(np.linalg.eigvalsh(gram).min(initial=0.0))
        if smallest < -_NEGATIVE * scale:
            raise ValueError(
                "gram: expected a positive semidefinite matrix, "
                f"got the eigenvalue {smallest:.3g} (largest entry {scale:.3g})"
            )
