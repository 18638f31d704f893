"""Stochastic Lanczos quadrature: tr f(H) / N from a few random starts, with standard errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ...theory.spectrum import FloatArray
from ..curvature.operator import CurvatureOperator
from .block_lanczos import Krylov, block_lanczos, random_frame, whole_space
from .frame_mean import Estimate, frame_mean

__all__ = [
    "ColumnRules",
    "LanczosCoefficients",
    "LanczosQuadrature",
    "column_rules",
    "eigenvalue_resolution",
    "krylov_quadrature",
    "lanczos_quadrature",
]

# A group of eigenvectors has converged if its distance from the other eigenvalues is so many
# times its residual: the angle between it and the true eigenspace is then below the inverse.
_SEPARATED = 1e3
# Widths of the kernel, in half-ranges over steps, from which on Gauss's rule is exact for it: the
# Chebyshev coefficient of order 2 steps of a Gaussian so wide is about exp(-2 * 2^2).
_RESOLVED = 2.0


@dataclass(frozen=True)
class LanczosCoefficients:
    """H q_k = beta_k q_(k+1) + alpha_k q_k + beta_(k-1) q_(k-1),  averaged over random starts.

    Their limit for large N is `EffectiveSpectrum.jacobi`, as long as the number of steps is small
    against log N. An outlier of value lam has weight 1/N in a start on average, and so changes
    the moment of order p by lam^p / N: alpha_k and beta_k notice once (lam / bulk)^(2k) is of the
    order of N. Compare with ``jacobi(..., outliers=True)``, or in the first few steps.

    Nothing is taken out of the starts here: each has its own random weight at an outlier,
    notices it at a step of its own, and the mean is smeared where they do. `law_jacobi.law_jacobi`
    has the coefficients of the mean law instead, in which an outlier weighs 1/N.

    Attributes:
        alpha: (steps,) mean over starts, in curvature.
        beta: (steps - 1,) the same, not negative.
        alpha_errors: (steps,) standard errors; NaN from a single start.
        beta_errors: (steps - 1,) the same.
    """

    alpha: FloatArray
    beta: FloatArray
    alpha_errors: FloatArray
    beta_errors: FloatArray


@dataclass(frozen=True)
class LanczosQuadrature:
    """tr f(H) / N  ~  mean_j sum_i w_ji f(theta_ji).

    Attributes:
        size: N.
        nodes: theta, (starts, m) float64: Gauss's rule of each start, and the isolated
            eigenvalues that the joint Krylov space has found, which all starts share.
        weights: w, (starts, m), rows sum to 1; exactly 1/N for each eigenvalue found.
        free: number of eigenvalues that are not known one by one; 0 if all are.
        alpha: (starts, steps) Lanczos coefficients of each start.
        beta: (starts, steps - 1) the same.
        products: matrix-vector products spent.
    """

    size: int
    nodes: FloatArray
    weights: FloatArray
    free: int
    alpha: FloatArray
    beta: FloatArray
    products: int

    @property
    def starts(self) -> int:
        """Number of random starts."""
        return len(self.alpha)

    @property
    def steps(self) -> int:
        """Number of Lanczos steps of each."""
        return int(self.alpha.shape[1])

    @cached_property
    def coefficients(self) -> LanczosCoefficients:
        """Mean Lanczos coefficients; random even where the spectrum is exact."""
        alpha, beta = (frame_mean(rows, self.size) for rows in (self.alpha, self.beta))
        return LanczosCoefficients(alpha.value, beta.value, alpha.error, beta.error)

    def expectation(self, function: Callable[[FloatArray], FloatArray]) -> Estimate:
        """tr f(H) / N;  Gauss's rules are exact for polynomials of degree 2 steps - 1.

        Args:
            function: f, maps (m,) to (m,) or (m, k); the estimate then has shape () or (k,).
        """
        rules = zip(self.nodes, self.weights, strict=True)
        return frame_mean(np.stack([w @ function(theta) for theta, w in rules]), self.free)

    @property
    def trace(self) -> Estimate:
        """Tr H."""
        mean = self.expectation(lambda theta: theta)
        return Estimate(self.size * mean.value, self.size * mean.error, mean.degrees)

    def moments(self, count: int) -> Estimate:
        """Tr H^k / N for k = 1, ..., count, (count,)."""
        if not 1 <= count < 2 * self.steps:
            raise ValueError(f"count: expected 1 to {2 * self.steps - 1}, got {count}")
        return self.expectation(lambda theta: theta[:, None] ** np.arange(1, count + 1))

    @property
    def resolution(self) -> float:
        """Width of the narrowest Gaussian that the rules integrate to about 1e-3 of its height.

        Twice the half-range of the eigenvalues that are not isolated, over the number of steps.
        """
        random = self.weights.std(axis=0) > 0
        scattered = self.nodes[:, random if random.any() else slice(None)]
        reach = float(np.ptp(scattered)) / 2
        return _RESOLVED * (reach or abs(float(self.nodes.max())) or 1.0) / self.steps

    def density(self, points: FloatArray, width: float | None = None) -> Estimate:
        """Rho(x) = tr g(x - H) / N,  g the normal density of standard deviation ``width``.

        It integrates to 1 and has the eigenvalue zero in it. With a width below `resolution`
        single nodes show, of which the errors know nothing.

        Args:
            points: x, (k,).
            width: in curvature; by default `resolution`.
        """
        scale = self._width(width)
        factor = 1 / (scale * (2 * np.pi) ** 0.5)
        return self.expectation(
            lambda theta: factor * np.exp(-(((points - theta[:, None]) / scale) ** 2) / 2)
        )

    def cumulative(self, points: FloatArray, width: float | None = None) -> Estimate:
        """F(x) = tr G(x - H) / N,  G the integral of `density`'s kernel: share below x, smoothed.

        Args:
            points: x, (k,).
            width: in curvature; by default `resolution`.
        """
        from scipy.special import ndtr  # slow to import

        scale = self._width(width)
        return self.expectation(lambda theta: ndtr((points - theta[:, None]) / scale))

    def _width(self, width: float | None) -> float:
        if width is not None and not 0 < width < np.inf:
            raise ValueError(f"width: expected a positive number, got {width}")
        return width or self.resolution


def lanczos_quadrature(
    operator: CurvatureOperator, starts: int, steps: int, generator: torch.Generator
) -> tuple[LanczosQuadrature, ...]:
    """Tr f(H) / N from a random orthonormal frame, all columns advanced as one panel.

    Within the joint Krylov space each start has its own Gauss rule of ``steps`` nodes (arXiv
    2105.06595). Isolated eigenvalues that the space has found are taken out first and enter with
    their true weight 1/N, so that outliers add no random error.

    A matrix with no more than starts * (steps + 1) rows is formed, and its spectrum exact.

    Args:
        operator: H, one matrix or a batch. The basis takes starts * steps * N numbers.
        starts: columns of the frame, at least 2 for errors.
        steps: products with the panel.
        generator: draws the frame, always cold: started from known vectors the law would be
            another.

    Returns:
        One for each matrix of the batch, in order; a single one without a batch.

    Raises:
        ValueError: if a number is not positive, or a product is not finite.
    """
    if starts < 1 or steps < 1:
        raise ValueError(f"starts, steps: expected positive numbers, got {starts}, {steps}")
    size = operator.size
    starts, steps = min(starts, size), min(steps, size)
    if size <= starts * (steps + 1):
        krylov = whole_space(operator)
    else:
        start = random_frame(operator, starts, generator)
        krylov = block_lanczos(operator, start, steps, generator)
    return krylov_quadrature(krylov, starts, steps, generator)


def krylov_quadrature(
    krylov: Krylov, starts: int, steps: int, generator: torch.Generator
) -> tuple[LanczosQuadrature, ...]:
    """What `lanczos_quadrature` returns, from a Krylov space that is there already.

    Args:
        krylov: a run from a random frame, or a complete one.
        starts: columns of the frame. In a complete space, which may have another start or none,
            only Lanczos coefficients are random: they are those of a new frame.
        steps: coefficients of each start, no more than the space has steps.
        generator: draws that new frame.

    Raises:
        ValueError: if the space has another number of columns, or fewer steps.
    """
    joint, vectors = krylov.eigen
    size, width = krylov.basis.shape[-2], krylov.width
    if krylov.complete:
        starts, steps = min(starts, size), min(steps, size)
        noise = torch.randn(
            *joint.shape, starts, dtype=joint.dtype, device=generator.device, generator=generator
        )
        # Uniform in the eigenbasis is uniform in any.
        frame = torch.linalg.qr(noise).Q.mT.to(joint.device)
    elif starts == width and steps <= joint.shape[-1] // width:
        frame = vectors[..., :width, :]
    else:
        raise ValueError(
            f"starts, steps: expected {width} and at most {joint.shape[-1] // width}, as the "
            f"Krylov space has, got {starts} and {steps}"
        )
    alpha, beta = _recurrence(joint, frame, steps)
    rules = column_rules(krylov)
    batch = joint.shape[:-1]
    shape = (*batch, starts, rules.nodes.shape[-1])
    flat = (
        tensor.reshape(rules.free.numel(), *tensor.shape[len(batch) :]).cpu().numpy()
        for tensor in (
            rules.nodes.expand(shape),
            (rules.known + rules.random).expand(shape),
            rules.free,
            alpha,
            beta,
        )
    )
    return tuple(
        LanczosQuadrature(
            size=size,
            nodes=nodes[:, weights.any(axis=0)],
            weights=weights[:, weights.any(axis=0)],
            free=int(free),
            alpha=diagonal,
            beta=off_diagonal,
            products=krylov.basis.shape[-1],
        )
        for nodes, weights, free, diagonal, off_diagonal in zip(*flat, strict=True)
    )


@dataclass(frozen=True)
class ColumnRules:
    """One quadrature rule for each column of a Krylov space's start.

    Attributes:
        nodes: (*batch, width, m) float64; (*batch, 1, N) in a complete space.
        known: (*batch, 1, m) weights that are no estimates: 1/N at isolated eigenvalues.
        random: (*batch, width, m) the other weights; rows sum to free / N.
        free: (*batch,) int64, number of eigenvalues without known weights.
    """

    nodes: Tensor
    known: Tensor
    random: Tensor
    free: Tensor


def column_rules(krylov: Krylov) -> ColumnRules:
    """Gauss's rule of each column of a random frame on what is left beside converged eigenvalues.

    Converged eigenvalues that come fewer than ``width`` times have been found with their
    multiplicity, and have known weights. One that comes ``width`` times or more (zero, in a matrix
    without full rank) may have any multiplicity: each column estimates its weight, and Gauss's
    rule takes the rest, because by itself it would put such an atom less sharply. The joint nodes
    with their weights would do worse than a rule for each column: they come in clusters of
    ``width``, at which such a law is off by half a node of a single rule.
    """
    joint, vectors = krylov.eigen
    size, width = krylov.basis.shape[-2], krylov.width
    if krylov.complete:
        known = torch.full_like(joint, 1 / size)[..., None, :]
        nothing = torch.zeros_like(known)
        none = torch.zeros_like(joint[..., 0], dtype=torch.int64)
        return ColumnRules(joint[..., None, :], known, nothing, none)
    found, atom = _converged(krylov)
    free = size - found.sum(-1)
    share = (free.double() / size)[..., None, None]
    start = torch.where(found[..., None, :], 0.0, vectors[..., :width, :])
    frame = torch.linalg.qr(start.mT).Q.mT
    at_atom = torch.where(atom[..., None, :], frame, 0.0)
    rest = frame - at_atom
    length = rest.norm(dim=-1, keepdim=True)
    unit = rest / torch.where(length > 0, length, 1.0)
    alpha, beta = _recurrence(joint, unit, joint.shape[-1] // width)
    gauss, coordinates = torch.linalg.eigh(
        torch.diag_embed(alpha) + torch.diag_embed(beta, 1) + torch.diag_embed(beta, -1)
    )
    known = torch.cat(
        [torch.zeros_like(gauss[..., :1, :]), found[..., None, :].double() / size], -1
    )
    weights = torch.cat([(coordinates[..., 0, :] * length).square(), at_atom.square()], -1)
    nodes = torch.cat([gauss, joint[..., None, :].expand_as(frame)], -1)
    return ColumnRules(nodes, known, share * weights, free)


def eigenvalue_resolution(krylov: Krylov) -> Tensor:
    """(*batch, 1): the distance below which eigenvalues differ by rounding errors only."""
    largest = krylov.eigen[0].abs().amax(-1, keepdim=True)
    precision = 10 * torch.finfo(krylov.basis.dtype).eps
    return torch.where(largest > 0, precision * largest, 1.0)


def _converged(krylov: Krylov) -> tuple[Tensor, Tensor]:
    """Joint eigenvalues of known multiplicity, and those of an unknown one, (*batch, k) each."""
    joint, _ = krylov.eigen
    resolution = eigenvalue_resolution(krylov)
    residuals = torch.maximum(krylov.residual_estimates(), resolution)
    gap, left, right = joint.diff(dim=-1), residuals[..., :-1], residuals[..., 1:]
    # One of two neighbours may still move, but not as far as the other.
    apart = (gap > _SEPARATED * torch.minimum(left, right)) & (gap > 2 * torch.maximum(left, right))
    group = torch.cat([torch.zeros_like(joint[..., :1]), apart.cumsum(-1)], -1).long()
    nothing = torch.zeros_like(joint)
    members = nothing.scatter_add(-1, group, torch.ones_like(joint)).gather(-1, group)
    worst = nothing.scatter_reduce(-1, group, residuals, "amax").gather(-1, group)
    gaps = torch.where(apart, gap, 0.0)
    outside = torch.full_like(joint[..., :1], torch.inf)
    below, above = torch.cat([outside, gaps], -1), torch.cat([gaps, outside], -1)
    # Inside a group the gap is 0 here: a group's own are those at its ends.
    lower = nothing.scatter_reduce(-1, group, below, "amax").gather(-1, group)
    upper = nothing.scatter_reduce(-1, group, above, "amax").gather(-1, group)
    settled = torch.minimum(lower, upper) > _SEPARATED * worst
    few = members < krylov.width
    return settled & few, (settled & ~few) | (joint.abs() <= resolution) & ~(settled & few)


def _recurrence(nodes: Tensor, vectors: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Lanczos's algorithm for diag(nodes) from each row, a unit vector or zero, reorthogonalised.

    Args:
        nodes: (*batch, k).
        vectors: (*batch, rows, k).
        steps: at most k.

    Returns:
        alpha (*batch, rows, steps) and beta (*batch, rows, steps - 1); zeros from where a row has
        met fewer nodes than steps.
    """
    basis = vectors.new_zeros(*vectors.shape[:-1], steps, vectors.shape[-1])
    alpha = vectors.new_zeros(*vectors.shape[:-1], steps)
    beta = vectors.new_zeros(*vectors.shape[:-1], max(steps - 1, 0))
    smallest = 10 * torch.finfo(nodes.dtype).eps * nodes.abs().amax(-1)[..., None]
    vector = vectors
    for k in range(steps):
        basis[..., k, :] = vector
        product = nodes[..., None, :] * vector
        alpha[..., k] = (product * vector).sum(-1)
        if k == steps - 1:
            break
        built = basis[..., : k + 1, :]
        for _ in range(2):  # twice is enough to be orthogonal to rounding errors
            product = product - ((built @ product[..., None]).mT @ built).squeeze(-2)
        length = product.norm(dim=-1)
        beta[..., k] = torch.where(length > smallest, length, 0.0)
        vector = torch.where(
            (length > smallest)[..., None], product / length.clamp_min(1e-300)[..., None], 0.0
        )
    return alpha, beta
