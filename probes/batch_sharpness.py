"""Batch sharpness: the curvature that mini-batch gradients meet on their own batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ..models.arguments import require_least
from ..theory.matrix_kind import HESSIAN
from ..theory.quantity import Quantity
from .curvature.batches import Batch, sample_number
from .curvature.block import Block
from .curvature.loss_gradient import loss_gradient
from .curvature.losses import Loss
from .curvature.module_curvature import HessianOperator
from .stability import critical_sharpness

__all__ = ["BatchSharpness"]


@dataclass(frozen=True)
class BatchSharpness:
    """E_B[g_B^T H_B g_B / |g_B|^2],  g_B and H_B of a batch B of training; a `Measure`.

    The mean over batches of the curvature of each along its own gradient (arXiv 2412.20553, "Batch
    Sharpness"; not the ratio of the two means). A step of -eta g_B changes the loss of its own
    batch by -eta |g_B|^2 + (eta^2 / 2) g_B^T H_B g_B to second order: it rises where that curvature
    is above 2 / eta. Under SGD it is their mean that settles there, while the largest eigenvalue of
    the full Hessian stays below. With the whole sample as one batch it is the curvature along the
    gradient.

    The quantity is "batch_sharpness", with its standard error over the batches; they are drawn
    without replacement from the probe sample, which should be one of training data, each anew.

    Attributes:
        batch_size: samples in a batch, as the training has.
        batches: that are drawn, at least 2. Each costs a gradient and a product.
        learning_rate: the optimiser of the training: 2 / eta is then the threshold, of plain SGD;
            one with momentum or weight decay has none.
        name: of the quantity.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    batch_size: int
    batches: int = 16
    learning_rate: torch.optim.SGD | None = None
    name: str = "batch_sharpness"

    def __post_init__(self) -> None:
        require_least("batch_size", self.batch_size, 1)
        require_least("batches", self.batches, 2)

    def __call__(
        self, model: nn.Module, loss: Loss, batch: Batch, generator: torch.Generator
    ) -> Sequence[Quantity]:
        """The quantity.

        Raises:
            ValueError: if the probe sample is smaller than a batch, or a batch has no gradient.
        """
        number = sample_number(batch)
        if number < self.batch_size:
            raise ValueError(
                f"batch_size: expected at most the {number} samples of the probe sample, "
                f"got {self.batch_size}"
            )
        orders = (torch.randperm(number, generator=generator) for _ in range(self.batches))
        found = np.array(
            [_curvature(model, loss, _chosen(batch, order[: self.batch_size])) for order in orders]
        )
        error = float(found.std(ddof=1)) / math.sqrt(self.batches)
        value = float(found.mean())
        return [Quantity.number(self.name, value, HESSIAN.unit, error, self._threshold())]

    def _threshold(self) -> float:
        """2 / eta of plain gradient steps; NaN of others."""
        rate = self.learning_rate
        if not isinstance(rate, torch.optim.SGD):
            return math.nan
        if any(group["momentum"] or group["weight_decay"] for group in rate.param_groups):
            return math.nan
        trained = [parameter for group in rate.param_groups for parameter in group["params"]]
        return critical_sharpness(rate, 0, trained)


def _curvature(model: nn.Module, loss: Loss, batch: Batch) -> float:
    """g^T H g / |g|^2 of one batch."""
    gradient = loss_gradient(model, loss, *batch)
    flat = torch.cat([part.detach().flatten() for part in gradient.values()])
    square = float(flat.double().square().sum())
    if not square > 0:
        raise ValueError("loss: expected a gradient on every batch, got one of zero")
    operator = HessianOperator(model, loss, batch, Block("all", tuple(gradient)))
    product = operator @ flat[:, None]
    return float(flat.double() @ product[:, 0].double()) / square


def _chosen(batch: Batch, places: Tensor) -> Batch:
    """These samples of a batch; what has another first axis is kept whole."""
    number = sample_number(batch)

    def rows(leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == number:
            return leaf[places.to(leaf.device)]
        return leaf

    inputs, targets = batch
    if isinstance(targets, list):  # one for each sample, as the boxes of images
        return tree_map(rows, inputs), [targets[place] for place in places.tolist()]
    return tree_map(rows, inputs), tree_map(rows, targets)
