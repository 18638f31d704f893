"""Matrices that a probe takes spectra of, as objects: what each is called, and its operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import nn

from ...theory.matrix_kind import COVARIANCE, GAUSS_NEWTON, HESSIAN, INFORMATION, MatrixKind
from .batches import Batch, Batched
from .block import Block
from .losses import Loss
from .module_curvature import (
    CovarianceOperator,
    GaussNewtonOperator,
    HessianOperator,
    InformationOperator,
)
from .operator import CurvatureOperator

__all__ = ["Covariance", "CurvatureMatrix", "GaussNewton", "Hessian", "Information"]


class CurvatureMatrix(Protocol):
    """A kind of curvature matrix; a system may bring one of its own."""

    @property
    def kind(self) -> MatrixKind:
        """Its name, title, letter and unit."""

    def operator(
        self, module: nn.Module, loss: Loss, batch: Batch, block: Block
    ) -> CurvatureOperator:
        """The matrix of one block on a batch (inputs, targets), known by its products.

        Those of this module also take a list of batches, over which they are a mean; others are
        given one.

        Raises:
            ValueError: naming why this module, loss or block has none.
        """


@dataclass(frozen=True)
class Hessian:
    """H = d^2 loss / dtheta^2, see `HessianOperator`."""

    @property
    def kind(self) -> MatrixKind:
        """`HESSIAN`."""
        return HESSIAN

    def operator(
        self, module: nn.Module, loss: Loss, batch: Batched, block: Block
    ) -> CurvatureOperator:
        """By automatic differentiation."""
        return HessianOperator(module, loss, batch, block)


@dataclass(frozen=True)
class Information:
    """F = (1/n) sum_l g_l g_l^T, g_l the gradient of sample l's loss, see `InformationOperator`."""

    @property
    def kind(self) -> MatrixKind:
        """`INFORMATION`."""
        return INFORMATION

    def operator(
        self, module: nn.Module, loss: Loss, batch: Batched, block: Block
    ) -> CurvatureOperator:
        """By automatic differentiation."""
        return InformationOperator(module, loss, batch, block)


@dataclass(frozen=True)
class GaussNewton:
    """G = J^T (d^2 loss / d outputs^2) J, J the Jacobian of the outputs: `GaussNewtonOperator`."""

    @property
    def kind(self) -> MatrixKind:
        """`GAUSS_NEWTON`."""
        return GAUSS_NEWTON

    def operator(
        self, module: nn.Module, loss: Loss, batch: Batched, block: Block
    ) -> CurvatureOperator:
        """By automatic differentiation."""
        return GaussNewtonOperator(module, loss, batch, block)


@dataclass(frozen=True)
class Covariance:
    """C = F - g g^T, the covariance of the samples' gradients, see `CovarianceOperator`."""

    @property
    def kind(self) -> MatrixKind:
        """`COVARIANCE`."""
        return COVARIANCE

    def operator(
        self, module: nn.Module, loss: Loss, batch: Batched, block: Block
    ) -> CurvatureOperator:
        """By automatic differentiation."""
        return CovarianceOperator(module, loss, batch, block)
