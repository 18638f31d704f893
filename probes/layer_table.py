"""The layers of a module side by side: curvature and gradient of each, as a measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..models.arguments import require_least
from ..theory.quantity import Quantity
from ..theory.spectrum import FloatArray
from .curvature.batches import Batch
from .curvature.block import Block
from .curvature.layers import Layers, layer_blocks
from .curvature.loss_gradient import loss_gradient
from .curvature.losses import Loss
from .curvature.matrix import CurvatureMatrix, Hessian
from .curvature.operator import CurvatureOperator
from .krylov.block_lanczos import Krylov, block_lanczos
from .krylov.block_traces import BlockTraces, block_traces
from .krylov.forming import whole_space
from .krylov.frames import random_frame
from .krylov.lanczos_quadrature import LanczosQuadrature, krylov_quadrature

__all__ = ["LayerTable"]

# Columns of a layer's panel: its errors are over so many random starts.
_STARTS = 4


@dataclass(frozen=True)
class LayerTable:
    """Of each layer l with Hessian H_ll and gradient g_l; a `Measure`.

    ====================== =====================================================================
    quantity               meaning
    ====================== =====================================================================
    layer_trace            tr H_ll, with standard errors over random vectors
    layer_trace_share      tr H_ll / tr H
    layer_gradient_share   |g_l|^2 / |g|^2
    layer_largest          largest eigenvalue of H_ll; its error is its residual
    layer_smallest         smallest eigenvalue of H_ll
    layer_effective_rank   (sum |lam|)^2 / sum lam^2 over its eigenvalues
    layer_negative_share   sum of |lam| over lam < 0, as a share of sum |lam|
    ====================== =====================================================================

    Traces of all layers come from the same ``products`` with the matrix of the whole module
    (`block_traces`), whose vectors are kept by half; the last four rows take ``layer_products``
    with each layer's own, and are left out for 0. A product with a layer costs nearly as much as
    one with the whole module. With few of them small negative eigenvalues stay unseen: the error of
    the negative share says so.

    Attributes:
        layers: see `layer_blocks`.
        products: with the whole module, at least 2.
        layer_products: with each layer; 0 or at least 8. A layer of no more rows is formed.
        matrix: of which kind.
        name: for messages, and what the names of the quantities begin with.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    layers: Layers = "layers"
    products: int = 64
    layer_products: int = 48
    matrix: CurvatureMatrix = Hessian()  # noqa: RUF009 -- frozen
    name: str = "layer"

    def __post_init__(self) -> None:
        require_least("products", self.products, 2)
        if self.layer_products and self.layer_products < 2 * _STARTS:
            raise ValueError(
                f"layer_products: expected 0, or at least {2 * _STARTS}, got {self.layer_products}"
            )

    def __call__(
        self, model: nn.Module, loss: Loss, batch: Batch, generator: torch.Generator
    ) -> Sequence[Quantity]:
        """The quantities, each a vector over the layers.

        Args:
            model: any.
            loss: of (outputs, targets), twice differentiable.
            batch: the probe sample.
            generator: on the CPU, source of the random vectors.

        Raises:
            ValueError: as the matrix's operator.
        """
        blocks = layer_blocks(model, self.layers)
        everything = Block("all", tuple(name for block in blocks for name in block.parameters))
        order = list(everything.resolve(model))
        places = [[order.index(name) for name in block.resolve(model)] for block in blocks]
        whole = self.matrix.operator(model, loss, batch, everything)
        found = block_traces(whole, places, self.products, generator)
        unreached = set(getattr(whole, "unreached", ()))
        del whole  # its graphs
        table = _Columns(self.name, tuple(block.name for block in blocks))
        self._traces(table, found)
        self._gradients(table, blocks, loss_gradient(model, loss, *batch))
        if self.layer_products:
            rows = [
                _NOTHING
                if unreached.issuperset(block.parameters)
                else self._own(self.matrix.operator(model, loss, batch, block), generator)
                for block in blocks
            ]
            for place, (column, unit) in enumerate(self._of_eigenvalues):
                values, errors = np.array([row[place] for row in rows]).T
                table.add(column, values, unit, errors)
        return table.quantities

    @property
    def _of_eigenvalues(self) -> tuple[tuple[str, str], ...]:
        unit = self.matrix.kind.unit
        return (
            ("largest", unit),
            ("smallest", unit),
            ("effective_rank", "eigenvalues"),
            ("negative_share", "share"),
        )

    def _traces(self, table: _Columns, found: BlockTraces) -> None:
        table.add("trace", found.value, self.matrix.kind.unit, found.error)
        if found.value.sum():
            shares, errors = found.shares
            table.add("trace_share", shares, "share", errors)

    def _gradients(
        self, table: _Columns, blocks: Sequence[Block], gradient: dict[str, torch.Tensor]
    ) -> None:
        squares = np.array(
            [
                math.fsum(float(gradient[name].double().square().sum()) for name in each.parameters)
                for each in blocks
            ]
        )
        if squares.sum():
            table.add("gradient_share", squares / squares.sum(), "share", None)

    def _own(
        self, operator: CurvatureOperator, generator: torch.Generator
    ) -> tuple[tuple[float, float], ...]:
        """Largest, smallest, effective rank and negative share, each with its error."""
        size = operator.size
        starts = min(_STARTS, size)
        steps = max(1, min(self.layer_products // starts, size))
        if size <= self.layer_products:
            krylov = whole_space(operator)
        else:
            frame = random_frame(operator, starts, generator)
            krylov = block_lanczos(operator, frame, steps, generator)
        steps = min(steps, krylov.basis.shape[-1] // starts)
        (rule,) = krylov_quadrature(krylov, starts, steps, generator)
        values, residuals = krylov.eigen[0], krylov.residual_estimates()
        ends = [(float(values[end]), float(residuals[end])) for end in (-1, 0)]
        rank, (share, share_error) = _rank_and_share(rule)
        return (*ends, rank, (share, math.hypot(share_error, _unseen_share(krylov))))


_NOTHING = ((0.0, 0.0),) * 4


class _Columns:
    """Quantities over the same layers."""

    def __init__(self, name: str, layers: tuple[str, ...]) -> None:
        self.quantities: list[Quantity] = []
        self._name, self._layers = name, layers

    def add(self, column: str, values: FloatArray, unit: str, errors: FloatArray | None) -> None:
        name = f"{self._name}_{column}"
        self.quantities.append(Quantity(name, values, unit, (self._layers,), errors=errors))


def _unseen_share(krylov: Krylov) -> float:
    """What share of negative curvature the Ritz values may hide, each within its residual.

    One at theta that stands for eigenvalues as far as r on both sides has (theta^2 + r^2)^(1/2) for
    the mean of their sizes, half of what that is more than |theta| being negative.
    """
    values, vectors = krylov.eigen
    weights = vectors[: krylov.width].square().mean(0)
    sizes = torch.hypot(values, krylov.residual_estimates())
    hidden = (weights * (sizes - values.abs())).sum() / 2
    total = float((weights * sizes).sum())
    return float(hidden) / total if total else 0.0


def _rank_and_share(rule: LanczosQuadrature) -> tuple[tuple[float, float], tuple[float, float]]:
    """Effective rank and share of negative curvature, with errors to first order."""
    sizes, squares, negative = rule.expectation(
        lambda lam: np.stack([np.abs(lam), lam**2, np.maximum(-lam, 0)], 1)
    ).value.tolist()
    if sizes == 0:
        return (0.0, 0.0), (0.0, 0.0)
    rank, share = rule.size * sizes**2 / squares, negative / sizes
    rank_error = rule.expectation(
        lambda lam: rank * (2 * np.abs(lam) / sizes - lam**2 / squares)
    ).error
    share_error = rule.expectation(
        lambda lam: (np.maximum(-lam, 0) - share * np.abs(lam)) / sizes
    ).error
    return (rank, float(rank_error)), (share, float(share_error))
