"""Summary statistics: all that the theory needs to know of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..quantity import Quantity, quantity_named
from ..spectrum import FloatArray

__all__ = ["Statistics"]

_NEGATIVE = 1e-6  # relative; float32 weights give a Gram matrix with errors of this order


@dataclass(frozen=True)
class Statistics:
    """G = (x, mu)^T (x, mu) and the finite parameters v.

    Attributes:
        gram: (C+k, C+k) symmetric positive semidefinite, rows x_1..x_C, mu_1..mu_k; may be
            singular.
        parameters: (q,) the head's extra parameters, for example the second layer.
        directions: names of the rows of ``gram``; "0", "1", ... unless they are given.
        entries: name of each of ``parameters``: that of its tensor in the module, a point, and its
            place in it; empty if it is not known which tensors they come from.

    Raises:
        ValueError: if ``gram`` is not square, finite, symmetric and positive semidefinite.
    """

    gram: FloatArray = field(metadata={"unit": "squared parameter"})
    parameters: FloatArray = field(
        default_factory=lambda: np.zeros(0), metadata={"unit": "parameter"}
    )
    directions: tuple[str, ...] = field(default=(), metadata={"unit": "none"})
    entries: tuple[str, ...] = field(default=(), metadata={"unit": "none"})

    def __post_init__(self) -> None:
        gram = self.gram
        if self.directions and len(self.directions) != len(gram):
            raise ValueError(
                f"directions: expected {len(gram)} names, one a row, got {self.directions}"
            )
        if self.entries and len(self.entries) != len(self.parameters):
            raise ValueError(
                f"entries: expected {len(self.parameters)} names, one a parameter, "
                f"got {self.entries}"
            )
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

    @property
    def head_parameters(self) -> frozenset[str]:
        """Names of the tensors that v comes from; empty if they are not known."""
        return frozenset(entry.rpartition(".")[0] for entry in self.entries)

    def quantities(self) -> tuple[Quantity, ...]:
        """The Gram matrix, and v if there is one."""
        rows = self.directions or tuple(map(str, range(len(self.gram))))
        gram = Quantity("gram", self.gram, "squared parameter", (rows, rows), symmetric=True)
        if not len(self.parameters):
            return (gram,)
        entries = self.entries or tuple(map(str, range(len(self.parameters))))
        return gram, Quantity("parameters", self.parameters, "parameter", (entries,))

    @classmethod
    def restored(cls, quantities: Sequence[Quantity]) -> Statistics:
        """The inverse of `quantities`.

        Raises:
            ValueError: if there is no Gram matrix among them.
        """
        gram = quantity_named("gram", quantities)
        if gram is None:
            names = [quantity.name for quantity in quantities]
            raise ValueError(f"quantities: expected 'gram' among them, got {names}")
        v = quantity_named("parameters", quantities)
        if v is None:
            return cls(gram.values, directions=gram.axes[0])
        named = all("." in entry for entry in v.axes[0])
        return cls(gram.values, v.values, gram.axes[0], v.axes[0] if named else ())
