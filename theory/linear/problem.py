"""What is known of a linear regression before it is run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from ...models.arguments import require_fields
from ..spectrum import FloatArray
from .number_range import TINY, require_range

__all__ = ["LinearProblem"]


def _empty() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class LinearProblem:
    """y = w*.x + noise,  Cov x = Sigma,  f = v.F^T x,  F (D, N) of entries N(0, 1/N).

    Training starts from v = 0.

    Attributes:
        spectrum: (K,) eigenvalues s_k >= 0 of Sigma, in any order; at least one is positive.
        target: (K,) a_k, the squared coefficients of w* in the eigenvectors of s_k, summed over its
            multiplicity.
        multiplicity: (K,) m_k > 0, how often s_k occurs; empty for 1.
        test_spectrum: (K,) s'_k >= 0, the test covariance's diagonal in the same basis, averaged
            over the multiplicity; empty for ``spectrum``.
        target_overlap: (K, K) w*_k Sigma'_kl w*_l, for a test covariance that is not diagonal in
            the basis of Sigma; its diagonal is a_k s'_k, and all multiplicities are 1. None for a
            diagonal one.
        noise: variance of the label noise.
        samples: P, infinite for fresh samples.
        features: N, infinite for f = v.x.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    spectrum: FloatArray = field(metadata={"unit": "squared input"})
    target: FloatArray = field(metadata={"unit": "squared output / squared input"})
    multiplicity: FloatArray = field(default_factory=_empty, metadata={"unit": "1"})
    test_spectrum: FloatArray = field(default_factory=_empty, metadata={"unit": "squared input"})
    target_overlap: FloatArray | None = field(default=None, metadata={"unit": "squared output"})
    noise: float = field(default=0.0, metadata={"unit": "squared output"})
    samples: float = field(default=math.inf, metadata={"unit": "samples"})
    features: float = field(default=math.inf, metadata={"unit": "features"})

    def __post_init__(self) -> None:
        require_fields(self)
        size = len(_numbers("spectrum", self.spectrum))
        if np.size(self.multiplicity) == 0:
            object.__setattr__(self, "multiplicity", np.ones(size))
        if np.size(self.test_spectrum) == 0:
            object.__setattr__(self, "test_spectrum", self.spectrum)
        for name in ("spectrum", "target", "multiplicity", "test_spectrum"):
            values = _numbers(name, getattr(self, name))
            if len(values) != size:
                raise ValueError(
                    f"{name}: expected {size} numbers (one for each of spectrum), got {len(values)}"
                )
            require_range(name, values, TINY if name in ("spectrum", "multiplicity") else 0.0)
            object.__setattr__(self, name, values)
        if not (self.spectrum > 0).any():
            raise ValueError("spectrum: expected at least one positive eigenvalue, got none")
        if not (self.multiplicity > 0).all():
            raise ValueError(
                f"multiplicity: expected positive numbers, got {self.multiplicity.min():g}"
            )
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise ValueError(f"noise: expected a variance of at least 0, got {self.noise}")
        require_range("noise", self.noise)
        for name in ("samples", "features"):
            if math.isfinite(getattr(self, name)):
                require_range(name, getattr(self, name))
            if not getattr(self, name) >= 1:
                raise ValueError(
                    f"{name}: expected at least 1 (or infinity), got {getattr(self, name)}"
                )
        self._check_overlap(size)

    def _check_overlap(self, size: int) -> None:
        overlap = self.target_overlap
        if overlap is None:
            return
        if overlap.shape != (size, size) or not np.isfinite(overlap).all():
            raise ValueError(
                f"target_overlap: expected a finite matrix of shape ({size}, {size}), "
                f"got shape {overlap.shape}"
            )
        if (self.multiplicity != 1).any():
            raise ValueError("target_overlap: expected all multiplicities to be 1")

    @property
    def dimension(self) -> float:
        """D, the sum of the multiplicities."""
        return float(self.multiplicity.sum())

    @property
    def rank(self) -> float:
        """Number of positive eigenvalues of Sigma."""
        return float(self.multiplicity[self.spectrum > 0].sum())

    @property
    def parameters(self) -> float:
        """Number of trained parameters: N, or D if N is infinite."""
        return self.features if math.isfinite(self.features) else self.dimension

    @property
    def signal(self) -> float:
        """sum a s,  the mean square of the target without noise."""
        return float(self.target @ self.spectrum)

    @property
    def initial_test(self) -> float:
        """w*^T Sigma' w*,  the test loss at v = 0."""
        if self.target_overlap is not None:
            return float(self.target_overlap.sum())
        return float(self.target @ self.test_spectrum)

    def matched(self) -> LinearProblem:
        """The same, tested under the covariance it is trained on."""
        return replace(self, test_spectrum=self.spectrum, target_overlap=None)


def _numbers(name: str, given: ArrayLike) -> FloatArray:
    """(K,) finite numbers of at least 0."""
    try:
        values = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected a list of numbers, got {given!r}") from error
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{name}: expected a list of numbers, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    if (values < 0).any():
        raise ValueError(f"{name}: expected numbers of at least 0, got {values.min():g}")
    return values
