"""Covariance of the inputs of a linear model, its target, and the covariance it is tested under."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...models.arguments import require_fields, require_least, require_positive

__all__ = ["CovarianceConfig"]

Rows = tuple[tuple[float, ...], ...]
FloatArray = NDArray[np.float64]

_INPUTS, _TEST = 0, 1  # rotations, of which there is one a dimension and purpose
_ROUNDING = 1e-9  # of a matrix's largest entry: asymmetry, and eigenvalues below zero


@dataclass(frozen=True)
class CovarianceConfig:
    """Covariance of the inputs, target and label noise.

    Eigenvalues are powers s_k = k^-exponent scaled to sum 1, or those of ``spectrum``, each as
    often as ``multiplicity`` says, or those of ``matrix``. Coefficients of the target are
    w_k = k^(-target_exponent/2) in the eigenvectors, of the largest eigenvalue first.

    Attributes:
        dimension: D of the power law.
        exponent: of the eigenvalues.
        spectrum: eigenvalues instead of the power law.
        multiplicity: how often each occurs; once by default.
        spikes: further eigenvalues, one each, without target.
        matrix: rows of the covariance, instead of eigenvalues and spikes.
        rotated: eigenvectors are those of a uniform rotation, the same for every seed, rather than
            the axes of the inputs.
        target_exponent: of the squared coefficients.
        noise: variance of the label noise.
        entries: "gaussian" or "rademacher", of what the root of the covariance multiplies.
        test_exponent: the test covariance is k^-test_exponent scaled to sum 1 in the same
            eigenvectors; the same as the inputs' if None.
        test_rotation: share of the test covariance that is turned by another uniform rotation,
            so that the two do not commute.
        test_matrix: rows of the test covariance, instead of these two.
    """

    dimension: int = 400
    exponent: float = 1.2
    spectrum: tuple[float, ...] = ()
    multiplicity: tuple[int, ...] = ()
    spikes: tuple[float, ...] = ()
    matrix: Rows = ()
    rotated: bool = False
    target_exponent: float = 0.4
    noise: float = 0.05
    entries: Literal["gaussian", "rademacher"] = "gaussian"
    test_exponent: float | None = None
    test_rotation: float = 0.0
    test_matrix: Rows = ()

    def __post_init__(self) -> None:
        require_fields(self, "covariance.")
        require_positive("covariance.dimension", self.dimension)
        for name in ("spectrum", "multiplicity", "spikes"):
            for value in getattr(self, name):
                require_positive(f"covariance.{name}", value)
        if self.multiplicity and len(self.multiplicity) != len(self.spectrum):
            raise ValueError(
                f"covariance.multiplicity: expected {len(self.spectrum)} numbers (one for each of "
                f"spectrum), got {len(self.multiplicity)}"
            )
        for name in ("exponent", "target_exponent", "test_exponent"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"covariance.{name}: expected a finite number, got {value}")
        require_least("covariance.noise", self.noise, 0)
        if not 0 <= self.test_rotation <= 1:
            raise ValueError(
                f"covariance.test_rotation: expected a share from 0 to 1, got {self.test_rotation}"
            )
        self._check_matrices()

    def _check_matrices(self) -> None:
        if self.matrix:
            _spectral("covariance.matrix", self.matrix)
            for name in ("spectrum", "spikes", "rotated"):
                if getattr(self, name):
                    raise ValueError(
                        f"covariance.{name}: expected none beside a matrix, "
                        f"got {getattr(self, name)}"
                    )
        if self.test_matrix:
            values, _ = _spectral("covariance.test_matrix", self.test_matrix)
            count = len(self.eigenvalues())
            if len(values) != count:
                raise ValueError(
                    f"covariance.test_matrix: expected {count} rows (one for each input), "
                    f"got {len(values)}"
                )
            if self.test_exponent is not None or self.test_rotation:
                raise ValueError(
                    "covariance.test_matrix: expected none beside test_exponent and "
                    f"test_rotation, got {len(values)} rows"
                )

    def eigenvalues(self) -> list[float]:
        """All of them, one by one, the spikes first."""
        if self.matrix:
            return [float(s) for s in _spectral("covariance.matrix", self.matrix)[0]]
        if self.spectrum:
            counts = self.multiplicity or (1,) * len(self.spectrum)
            rest = [s for s, count in zip(self.spectrum, counts, strict=True) for _ in range(count)]
        else:
            rest = _power(self.dimension, self.exponent)
        return [*self.spikes, *rest]

    def eigenvectors(self) -> FloatArray | None:
        """(D, D), one a column in the same order; None where they are the axes of the inputs."""
        if self.matrix:
            return _spectral("covariance.matrix", self.matrix)[1]
        return _rotation(len(self.eigenvalues()), _INPUTS) if self.rotated else None

    def coefficients(self) -> list[float]:
        """w* in the eigenvectors, in the same order."""
        count = len(self.eigenvalues()) - len(self.spikes)
        rest = [k ** (-self.target_exponent / 2) for k in range(1, count + 1)]
        return [0.0] * len(self.spikes) + rest

    def test_covariance(self) -> FloatArray:
        """In the eigenvectors: (D,) its diagonal where there is nothing else, or (D, D)."""
        if self.test_matrix:
            given, vectors = np.array(self.test_matrix), self.eigenvectors()
            return given if vectors is None else vectors.T @ given @ vectors
        straight = np.array(self._test_eigenvalues())
        if not self.test_rotation:
            return straight
        turn = _rotation(len(straight), _TEST)
        kept = np.diag((1 - self.test_rotation) * straight)
        mixed: FloatArray = kept + self.test_rotation * (turn * straight) @ turn.T
        return mixed

    def _test_eigenvalues(self) -> Sequence[float]:
        if self.test_exponent is None:
            return self.eigenvalues()
        rest = _power(len(self.eigenvalues()) - len(self.spikes), self.test_exponent)
        return [*self.spikes, *rest]


def _power(count: int, exponent: float) -> list[float]:
    powers = [k**-exponent for k in range(1, count + 1)]
    total = sum(powers)
    return [power / total for power in powers]


@cache
def _rotation(dimension: int, purpose: int) -> FloatArray:
    """(D, D), uniform among the orthogonal matrices."""
    normal = np.random.default_rng([dimension, purpose]).standard_normal((dimension, dimension))
    rotation, triangle = np.linalg.qr(normal)
    uniform: FloatArray = rotation * np.sign(np.diag(triangle))
    return uniform


@cache
def _spectral(key: str, rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (D,), largest first, and eigenvectors (D, D) of a covariance."""
    lengths = sorted({len(row) for row in rows})
    if lengths != [len(rows)]:
        raise ValueError(
            f"{key}: expected as many numbers in each row as there are rows, {len(rows)}, "
            f"got {', '.join(map(str, lengths))}"
        )
    matrix = np.array(rows, dtype=np.float64)
    if not np.isfinite(matrix).all():
        raise ValueError(f"{key}: expected finite numbers, got NaN or infinity")
    scale = float(np.abs(matrix).max())
    off = float(np.abs(matrix - matrix.T).max())
    if off > _ROUNDING * scale:
        raise ValueError(
            f"{key}: expected a symmetric matrix, got entries that differ by {off:.3g}"
        )
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values[0] < -_ROUNDING * scale or not values[-1] > 0:
        raise ValueError(
            f"{key}: expected no negative eigenvalue and a positive one, "
            f"got {values[0]:.3g} to {values[-1]:.3g}"
        )
    return np.maximum(values[::-1], 0), np.ascontiguousarray(vectors[:, ::-1])
