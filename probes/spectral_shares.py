"""Trace, effective rank and share of negative curvature, from a spectrum's density."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..theory.quantity import Quantity
from ..theory.recurrence import PointMasses
from ..theory.spectrum import FloatArray, Jacobi, Spectrum

__all__ = ["SpectralShares", "share_quantities", "spectral_shares"]


@dataclass(frozen=True)
class SpectralShares:
    """Each with its standard error over the random starts; 0 where all eigenvalues are known.

    Attributes:
        trace: sum of the eigenvalues, in curvature.
        effective_rank: (sum |lam|)^2 / sum lam^2, the number of equal eigenvalues that would have
            the same sums (participation ratio): between 1 and N.
        negative_share: sum of |lam| over lam < 0, as a share of sum |lam|.
    """

    trace: tuple[float, float]
    effective_rank: tuple[float, float]
    negative_share: tuple[float, float]


def spectral_shares(spectrum: Spectrum) -> SpectralShares | None:
    """From all eigenvalues, or from the Gauss rule of the law of all N eigenvalues.

    With K Lanczos coefficients (`Spectrum.jacobi`) the trace N alpha_0 and the sum of squares
    N (alpha_0^2 + beta_0^2) are those of the measured law, and sum |lam| is exact up to what the
    rule does not tell apart. Errors are what the errors of the coefficients make of them, to first
    order, and for sum |lam| also the change with half of the coefficients.

    Returns:
        None without a density.
    """
    if spectrum.density is None or spectrum.jacobi is None:
        return None
    known = spectrum.density.eigenvalues
    if known.size:
        trace = float(known.sum())
        # Zeros come out on both sides.
        known = np.where(np.abs(known) > spectrum.density.resolution, known, 0.0)
        rank, negative = _rank_and_share(known, np.ones_like(known))
        return SpectralShares((trace, 0.0), (rank, 0.0), (negative, 0.0))
    jacobi, size = spectrum.jacobi, spectrum.size

    def of(found: Jacobi) -> FloatArray:
        law = _gauss(found)
        return np.array(_rank_and_share(law.points, size * law.masses))

    values, errors = _with_errors(of, jacobi)
    half = max(1, len(jacobi.diagonal) // 2)
    errors = np.hypot(errors, values - of(_first(jacobi, half)))
    first = size * float(jacobi.diagonal[0]), size * float(jacobi.diagonal_errors[0])
    (rank, negative), (rank_error, negative_error) = values.tolist(), errors.tolist()
    return SpectralShares(first, (rank, rank_error), (negative, negative_error))


def share_quantities(spectra: Sequence[Spectrum], units: dict[str, str]) -> list[Quantity]:
    """Quantities of each matrix, "hessian_trace", "hessian_effective_rank" and so on.

    Numbers where there is one block, else vectors over the blocks. A share that is 0 everywhere, as
    of semidefinite matrices, is left out.

    Args:
        spectra: measured.
        units: of the matrices by their names.
    """
    found: list[Quantity] = []
    for matrix in dict.fromkeys(spectrum.matrix for spectrum in spectra):
        own = [
            (spectrum.block, shares)
            for spectrum in spectra
            if spectrum.matrix == matrix and (shares := spectral_shares(spectrum)) is not None
        ]
        for part, unit in (
            ("trace", units[matrix]),
            ("effective_rank", "eigenvalues"),
            ("negative_share", "share"),
        ):
            pairs = np.array([getattr(shares, part) for _, shares in own])
            if not own or (part == "negative_share" and not pairs[:, 0].any()):
                continue
            one = len(own) == 1
            axes = () if one else (tuple(block for block, _ in own),)
            values, errors = pairs[0] if one else pairs.T
            name = f"{matrix.replace('-', '_')}_{part}"
            found.append(Quantity(name, values, unit, axes, errors=errors))
    return found


def _rank_and_share(points: FloatArray, numbers: FloatArray) -> tuple[float, float]:
    """Of eigenvalues, each so many times."""
    size = float((numbers * np.abs(points)).sum())
    if size == 0:
        return 0.0, 0.0
    squares = float((numbers * points**2).sum())
    return size**2 / squares, float((numbers * np.maximum(-points, 0)).sum()) / size


def _gauss(jacobi: Jacobi) -> PointMasses:
    matrix = np.diag(jacobi.diagonal)
    matrix += np.diag(jacobi.off_diagonal, 1) + np.diag(jacobi.off_diagonal, -1)
    points, vectors = np.linalg.eigh(matrix)
    return PointMasses(points, vectors[0] ** 2)


def _first(jacobi: Jacobi, count: int) -> Jacobi:
    return replace(
        jacobi,
        diagonal=jacobi.diagonal[:count],
        off_diagonal=jacobi.off_diagonal[: count - 1],
        diagonal_errors=jacobi.diagonal_errors[:count],
        off_diagonal_errors=jacobi.off_diagonal_errors[: count - 1],
    )


def _with_errors(of: Callable[[Jacobi], FloatArray], jacobi: Jacobi) -> tuple[FloatArray, ...]:
    """What is made of the coefficients, and of their errors one by one."""
    values = of(jacobi)
    total = np.zeros_like(values)
    for name in ("diagonal", "off_diagonal"):
        coefficients, errors = getattr(jacobi, name), getattr(jacobi, f"{name}_errors")
        for place, error in enumerate(errors):
            if not math.isfinite(error):
                return values, np.full_like(values, math.nan)
            moved = coefficients.copy()
            moved[place] += error
            if error:
                total += (of(replace(jacobi, **{name: moved})) - values) ** 2
    return values, np.sqrt(total)
