"""Stochastic Lanczos quadrature: tr f(H) / N from a few random starts, with standard errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from ...models.arguments import require_arguments
from ...theory.spectrum import FloatArray
from ..curvature.operator import CurvatureOperator
from .block_lanczos import Krylov, block_lanczos
from .column_rules import column_rules, row_recurrences
from .forming import whole_space
from .frame_mean import Estimate, frame_mean
from .frames import random_frame

__all__ = [
    "LanczosCoefficients",
    "LanczosQuadrature",
    "krylov_quadrature",
    "lanczos_quadrature",
]

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
        rounding: distance by which nodes may be off, in curvature: what the residuals of known
            eigenvalues leave open, or rounding; 0 where the spectrum is exact.
    """

    size: int
    nodes: FloatArray
    weights: FloatArray
    free: int
    alpha: FloatArray
    beta: FloatArray
    products: int
    rounding: float

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

        The error is that over the starts, and sum_i w_i |f(theta_i + rounding) - f(theta_i)|.

        Args:
            function: f, maps (m,) to (m,) or (m, k); the estimate then has shape () or (k,).
        """
        rules = list(zip(self.nodes, self.weights, strict=True))
        mean = frame_mean(np.stack([w @ function(theta) for theta, w in rules]), self.free)
        if not self.rounding:
            return mean
        rounded = np.mean([w @ self._rounded(function, theta) for theta, w in rules], axis=0)
        return replace(mean, error=np.hypot(mean.error, rounded))

    def _rounded(
        self, function: Callable[[FloatArray], FloatArray], nodes: FloatArray
    ) -> FloatArray:
        """By how much rounding may have changed f at the nodes."""
        values = function(nodes)
        moved = np.abs(function(nodes + self.rounding) - values)
        return moved + 10 * np.finfo(float).eps * np.abs(values)

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
        reach = reach if reach > self.rounding else 0.0
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
    require_arguments(lanczos_quadrature, locals())
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
    alpha, beta = row_recurrences(joint, frame, steps)
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
            rules.rounding,
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
            rounding=float(moved),
        )
        for nodes, weights, free, diagonal, off_diagonal, moved in zip(*flat, strict=True)
    )
