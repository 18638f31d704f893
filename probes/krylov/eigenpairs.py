"""Eigenpairs by count, beyond a value, or near a value, with true residuals."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.arguments import require_arguments
from ..curvature.operator import CurvatureOperator
from .beyond import eigenpairs_beyond
from .block_lanczos import BlockLanczos, Krylov, end_places
from .certificate import Certificate
from .near import eigenpairs_near
from .search import Found, Goal, Search, Shortage, residual_norms, spectral_scale

__all__ = ["Eigenpairs", "eigenpairs", "extreme_eigenpairs"]

# Residuals are estimated before they are measured: the difference must not spoil the verdict.
_MARGIN = 0.9
# Vectors found in several runs are each as accurate as asked for, and together half as much.
_BEYOND_MARGIN = 0.5


@dataclass(frozen=True)
class Eigenpairs:
    """Some eigenvalues of each matrix of a batch, and what finding them took.

    Attributes:
        values: (*batch, k) float64: the largest, largest first, then the smallest, smallest first;
            those near a value, nearest first.
        vectors: (*batch, N, k) unit eigenvectors, in the operator's dtype; k = 0 if not wanted.
        residuals: (*batch, k) float64, |H u - value u|, from products with H, not from the
            recurrence: some eigenvalue is at most that far from the value.
        largest: how many of the k are from the upper end.
        converged: (*batch, k), whether the residual is within the tolerance.
        products: matrix-vector products spent on each matrix, those of the residuals included.
        passes: products with a panel, each a pass over the data.
        seconds: wall time.
        peak_memory: bytes of basis and coefficients at their largest, products aside.
        outcome: what was reached, and what to do if it was not all that was asked for.
        certificates: how many eigenvalues are above and below the values asked for.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    largest: int
    converged: Tensor
    products: int
    passes: int
    seconds: float
    peak_memory: int
    outcome: str
    certificates: tuple[Certificate, ...] = ()


def eigenpairs(
    operator: CurvatureOperator,
    *,
    largest: int = 0,
    smallest: int = 0,
    above: float | None = None,
    below: float | None = None,
    near: tuple[float, int] | None = None,
    tolerance: float = 1e-3,
    start: Tensor | None = None,
    width: int | None = None,
    max_products: int = 4000,
    memory: int = 2**30,
    vectors: bool = True,
    generator: torch.Generator,
) -> Eigenpairs:
    """H u = lambda u by block Lanczos, fully reorthogonalised twice, restarted where memory ends.

    What is wanted is said in one of three ways: counts at the ends (``largest``, ``smallest``);
    everything ``above`` or ``below`` a value, with a certificate of the count; the eigenvalues
    ``near`` a value. Multiplicities are found up to ``width``, larger ones as far as rounding
    errors go, and all of them with a certificate. A matrix of fewer columns than a run usually
    takes is formed and its eigenvalues are exact.

    Args:
        operator: H, one matrix or a batch, which shares every pass.
        largest: number of eigenvalues at the upper end (fewer if H is smaller).
        smallest: number at the lower end.
        above: all eigenvalues above this value; NaN where a matrix has fewer than others.
        below: all eigenvalues below this value.
        near: a value, and how many of the eigenvalues nearest to it.
        tolerance: wanted residual as a share of the largest absolute eigenvalue.
        start: (*batch, N, w) columns close to eigenvectors, as from an earlier call. Random columns
            are always added, since an eigenvector orthogonal to the start would be missed.
        width: columns of a panel, by default `CurvatureOperator.panel_width`.
        max_products: stop after this many matrix-vector products a matrix, converged or not; those
            that measure residuals come on top.
        memory: bytes the basis may take, and beside it the products it came from, which give the
            residuals if there is room for them; else one more product does. A run that needs more
            is restarted.
        vectors: whether eigenvectors are returned.
        generator: draws the random columns.

    Raises:
        ValueError: if nothing or too much is asked for, an argument is out of range, the memory
            is too small for a run, or a product is not finite.
    """
    require_arguments(eigenpairs, locals())
    began = time.perf_counter()
    by_value = above is not None or below is not None
    if (largest != 0 or smallest != 0) + by_value + (near is not None) != 1:
        raise ValueError(
            "largest, smallest, above, below, near: expected either counts at the ends, or "
            "values to go beyond, or a value to be near, got "
            f"{(largest, smallest, above, below, near)}"
        )
    if not 0 < tolerance < math.inf:
        raise ValueError(f"tolerance: expected a positive number, got {tolerance}")
    search = Search(operator, width, max_products, memory, generator, start)
    if near is not None:
        found = eigenpairs_near(search, *near, tolerance)
    elif by_value:
        found = eigenpairs_beyond(search, above, below, _BEYOND_MARGIN * tolerance)
    else:
        found = _counted(search, largest, smallest, tolerance)
    converged = ~(found.residuals > tolerance * found.scale)
    copies = search.width == 1 and not by_value and not search.complete
    outcome = _outcome(converged, search.operator.products, found.shortage, "max_products", copies)
    return Eigenpairs(
        values=found.values,
        vectors=found.vectors if vectors else found.vectors[..., :0],
        residuals=found.residuals,
        largest=found.largest,
        converged=converged,
        products=search.operator.products,
        passes=search.operator.passes,
        seconds=time.perf_counter() - began,
        peak_memory=search.peak_memory,
        outcome="; ".join([outcome, *(each.outcome for each in found.certificates)]),
        certificates=found.certificates,
    )


def extreme_eigenpairs(
    operator: CurvatureOperator,
    krylov: Krylov,
    largest: int,
    smallest: int,
    tolerance: float = 1e-3,
) -> Eigenpairs:
    """Eigenpairs at both ends from a Krylov space already built, with true residuals.

    Products, passes and memory are those of the space and of the residuals, seconds those of this
    call.

    Args:
        operator: the operator of ``krylov``.
        krylov: see `krylov_space`.
        largest: number at the upper end (fewer if the matrix is smaller).
        smallest: number at the lower end.
        tolerance: an eigenpair has converged if its residual is below this share of the largest
            absolute eigenvalue.
    """
    began = time.perf_counter()
    *_, columns = krylov.basis.shape
    upper, lower = min(largest, columns), min(smallest, columns)
    values, vectors, residuals = _measured(operator, krylov, upper, lower)
    converged = residuals <= tolerance * spectral_scale(krylov.eigen[0])
    more = 0 if krylov.images is not None else upper + lower
    products = columns + more
    bytes_held = krylov.basis.nbytes + krylov.coefficients.nbytes
    if krylov.images is not None:
        bytes_held += krylov.images.nbytes
    return Eigenpairs(
        values=values,
        vectors=vectors,
        residuals=residuals,
        largest=upper,
        converged=converged,
        products=products,
        passes=-(-columns // krylov.width) + (more > 0),
        seconds=time.perf_counter() - began,
        peak_memory=bytes_held,
        outcome=_outcome(
            converged, products, "products", "max_steps", krylov.width == 1 and not krylov.complete
        ),
    )


@dataclass(frozen=True)
class _Counts(Goal):
    """So many at either end, each with a residual below ``tolerance`` times the scale."""

    largest: int
    smallest: int
    tolerance: float

    def wanted(self, values: Tensor) -> tuple[int, int]:
        available = values.shape[-1]
        return min(self.largest, available), min(self.smallest, available)

    def distance(self, run: BlockLanczos) -> float:
        if run.columns < self.largest + self.smallest and not run.complete:
            return math.inf
        krylov = run.krylov()
        values, _ = krylov.eigen
        places = end_places(run.columns, *self.wanted(values), values.device)
        shares = krylov.residual_estimates()[..., places] / spectral_scale(values)
        return float(shares.max()) / self.tolerance


def _counted(search: Search, largest: int, smallest: int, tolerance: float) -> Found:
    """So many eigenpairs at either end."""
    if largest < 0 or smallest < 0:
        raise ValueError(f"largest, smallest: expected counts >= 0, got {largest} and {smallest}")
    size = search.operator.size
    wanted = min(largest, size) + min(smallest, size)
    search.expect(wanted)
    run, shortage = search.formed(wanted), None
    if run is None:
        frame, _ = search.frame(search.start)
        goal = _Counts(largest, smallest, _MARGIN * tolerance)
        images = search.fits_images(wanted)
        run, shortage = search.run(search.operator, frame, goal, images=images)
    krylov = run.krylov()
    values, _ = krylov.eigen
    upper, lower = min(largest, run.columns), min(smallest, run.columns)
    return Found(
        *_measured(search.operator, krylov, upper, lower), spectral_scale(values), upper, shortage
    )


def _measured(
    operator: CurvatureOperator, krylov: Krylov, upper: int, lower: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Ritz values and vectors at the ends, and the true residuals from H Q or one more product."""
    values, coordinates = krylov.eigen
    places = end_places(values.shape[-1], upper, lower, values.device)
    chosen = coordinates[..., places].to(krylov.basis.dtype)
    vectors, values = krylov.basis @ chosen, values[..., places]
    images = operator @ vectors if krylov.images is None else krylov.images @ chosen
    return values, vectors, residual_norms(images, vectors, values)


def _outcome(
    converged: Tensor, products: int, shortage: Shortage | None, budget: str, copies: bool
) -> str:
    """What was reached; if not all, what to do, by the name of the argument to raise.

    With ``copies``, those of a multiple eigenvalue may have been missed, as by a single column.
    """
    missing, total = int((~converged).sum()), converged.numel()
    if not missing and copies:
        return (
            f"{total} eigenvalues converged after {products} products: of a multiple one, a single "
            "column sees one copy; raise width"
        )
    if not missing:
        return f"all {total} eigenvalues converged after {products} products"
    advice = {
        "products": f"raise {budget}, or ask for fewer eigenvalues or a larger tolerance",
        "memory": "raise memory, or ask for fewer eigenvalues",
        None: "rounding limits the residual: use float64, or ask for a larger tolerance",
    }
    return (
        f"{missing} of {total} eigenvalues not converged after {products} products: "
        f"{advice[shortage]}"
    )
