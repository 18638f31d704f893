"""Real eigenvalues beyond a bound of a matrix known by its products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..spectrum import FloatArray

__all__ = ["real_eigenpairs_beyond"]

_DENSE = 60  # rows up to which all eigenvalues are found at once
_LARGEST = 2500  # rows up to which they are where Krylov spaces do not settle
_CHECKED = 10  # products between two looks at the Ritz values
_LONGEST = 240  # products after which the Krylov space has not settled
_REPEATS = 3  # looks in a row that must agree
_RESIDUAL = 1e-12  # of a Ritz pair that counts as found, relative to the Ritz value
_REAL = 1e-9  # imaginary part, relative to the modulus, up to which an eigenvalue is real


def real_eigenpairs_beyond(
    product: Callable[[FloatArray], FloatArray], size: int, bound: float
) -> list[tuple[float, FloatArray]]:
    """All real eigenvalues w > bound, with right eigenvectors (size,), largest first.

    Arnoldi's Krylov space grows until every Ritz value with a real part beyond the bound has
    converged, and stays so. Eigenvalues short of the bound, however close together, are not waited
    for, which a library's restarts would do. Small matrices are formed.

    Args:
        product: the matrix times a vector (size,).
        size: its rows.
        bound: see above.

    Raises:
        ArithmeticError: if they are not found.
    """
    if size <= _DENSE:
        return _dense(product, size, bound)
    basis = np.zeros((_LONGEST + 1, size))
    hessenberg = np.zeros((_LONGEST + 1, _LONGEST))
    start = np.random.default_rng(0).standard_normal(size)
    basis[0] = start / np.linalg.norm(start)
    agreed = 0
    for k in range(min(_LONGEST, size)):
        new = product(basis[k])
        for _ in range(2):  # orthogonal to rounding
            inside = basis[: k + 1] @ new
            new = new - inside @ basis[: k + 1]
            hessenberg[: k + 1, k] += inside
        norm = float(np.linalg.norm(new))
        hessenberg[k + 1, k] = norm
        closed = norm <= _RESIDUAL * bound
        if not closed:
            basis[k + 1] = new / norm
        if closed or (k + 1) % _CHECKED == 0:
            values, vectors = np.linalg.eig(hessenberg[: k + 1, : k + 1])
            residuals = norm * np.abs(vectors[-1])
            beyond = values.real > bound
            settled = bool((residuals <= _RESIDUAL * np.abs(values))[beyond].all())
            agreed = agreed + 1 if settled else 0
            if closed or agreed == _REPEATS:
                return _real(values, vectors, bound, basis[: k + 1].T)
    if size <= _LARGEST:
        return _dense(product, size, bound)
    raise ArithmeticError(f"eigenvalues: expected those beyond {bound:.6g} to settle, they did not")


def _dense(
    product: Callable[[FloatArray], FloatArray], size: int, bound: float
) -> list[tuple[float, FloatArray]]:
    identity = np.eye(size)
    values, vectors = np.linalg.eig(np.stack([product(unit) for unit in identity], axis=1))
    return _real(values, vectors, bound, identity)


def _real(
    values: np.ndarray, vectors: np.ndarray, bound: float, basis: FloatArray
) -> list[tuple[float, FloatArray]]:
    """Those that are real and beyond the bound, their vectors in the basis's space."""
    chosen = np.flatnonzero((np.abs(values.imag) <= _REAL * np.abs(values)) & (values.real > bound))
    chosen = chosen[np.argsort(-values[chosen].real)]
    return [(float(values[i].real), basis @ vectors[:, i].real) for i in chosen]
