"""Matrix completion: some entries of a symmetric matrix are what is measured."""

from __future__ import annotations

from torch import Tensor

from .subsampled import SubsampledMeasurements

__all__ = ["EntryMeasurements"]


class EntryMeasurements(SubsampledMeasurements):
    """A = (p/m)^(1/2) P on `SymmetricVectors`: Q = 1.

    The bound on the noise is right if the matrix is spread evenly over its entries.
    """

    def rotated(self, vectors: Tensor) -> Tensor:
        """X."""
        return vectors

    def rotated_back(self, vectors: Tensor) -> Tensor:
        """X."""
        return vectors
