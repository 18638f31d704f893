"""The same jobs by this package: the only place that names its functions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from spectrain.models.softmax_regression import SoftmaxRegression
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.head_curvature import HeadCurvature, head_curvature
from spectrain.probes.curvature.module_curvature import CovarianceOperator, HessianOperator
from spectrain.probes.curvature.operator import CurvatureOperator
from spectrain.probes.krylov.block_lanczos import block_lanczos
from spectrain.probes.krylov.density import spectral_densities
from spectrain.probes.krylov.eigenpairs import Eigenpairs, eigenpairs, extreme_eigenpairs
from spectrain.probes.krylov.frames import random_frame
from spectrain.probes.krylov.krylov_space import krylov_space
from spectrain.theory.mixture.factors import Matrix
from spectrain.theory.spectrum import Density, FloatArray

from .peers import Law
from .problems import Problem

__all__ = [
    "COVARIANCE",
    "covariance",
    "density",
    "hessian",
    "largest",
    "law",
    "panels",
    "probing",
    "six_blocks",
    "top",
]

# What `covariance` measures.
COVARIANCE = "centred covariance"


def hessian(problem: Problem) -> CurvatureOperator:
    """By hand-written products where there are some, else by automatic differentiation."""
    if isinstance(problem.model, SoftmaxRegression):
        return head_curvature(problem.model, problem.inputs, problem.targets, [("hessian", ())])
    data = (problem.inputs, problem.targets)
    return HessianOperator(problem.model, problem.loss, data, Block("all"))


def covariance(problem: Problem) -> CurvatureOperator:
    """Of the gradients of the samples."""
    data = (problem.inputs, problem.targets)
    return CovarianceOperator(problem.model, problem.loss, data, Block("all"))


def largest(operator: CurvatureOperator, count: int, tolerance: float) -> Eigenpairs:
    """The largest eigenpairs; a run that does not reach the tolerance is an error."""
    generator = torch.Generator().manual_seed(0)
    pairs = eigenpairs(operator, largest=count, tolerance=tolerance, generator=generator)
    if not bool(pairs.converged.all()):
        raise RuntimeError(pairs.outcome)
    return pairs


def top(operator: Callable[[], CurvatureOperator], count: int, tolerance: float) -> FloatArray:
    """The largest eigenvalues, operator included."""
    values: FloatArray = largest(operator(), count, tolerance).values.reshape(-1).numpy()
    return values


def panels(operator: CurvatureOperator, steps: int, width: int) -> None:
    """That many products with panels, and the basis they span."""
    generator = torch.Generator().manual_seed(0)
    block_lanczos(operator, random_frame(operator, width, generator), steps, generator)


def density(
    operator: Callable[[], CurvatureOperator], steps: int, starts: int, seed: int = 0
) -> Density:
    """By Lanczos quadrature from a random frame, operator included."""
    found = operator()
    generator = torch.Generator().manual_seed(seed)
    krylov = block_lanczos(found, random_frame(found, starts, generator), steps, generator)
    traces = found.traces() if isinstance(found, HeadCurvature) else None
    return spectral_densities(krylov, traces)[0]


def law(measured: Density) -> Law:
    """Its counting function."""
    import numpy as np

    return lambda points: np.interp(
        points, measured.points, measured.cumulative, left=0.0, right=1.0
    )


def six_blocks(problem: Problem) -> HeadCurvature:
    """Hessian and information matrix of each class of a softmax regression with three."""
    matrices: tuple[Matrix, ...] = ("hessian", "information")
    return head_curvature(
        problem.model,
        problem.inputs,
        problem.targets,
        [(matrix, (row,)) for matrix in matrices for row in range(3)],
    )


def probing(problem: Problem, directions: Tensor) -> tuple[Tensor, Tensor, tuple[Density, ...]]:
    """What the demo measures at one step: both ends, densities and overlaps of the six blocks.

    Args:
        problem: a softmax regression.
        directions: (d, k), orthonormal.

    Returns:
        Eigenvalues (6, 9), overlaps (6, 9), densities.
    """
    operator = six_blocks(problem)
    generator = torch.Generator().manual_seed(0)
    krylov = krylov_space(operator, 6, 3, generator=generator, width=16, max_steps=40)
    pairs = extreme_eigenpairs(operator, krylov, 6, 3)
    densities = spectral_densities(krylov, operator.traces())
    overlaps = (directions.T @ pairs.vectors).square().sum(-2)
    return pairs.values, overlaps, densities
