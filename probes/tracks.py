"""The tracks of one probing: its eigenpairs followed from the probing before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ..theory.matrix_kind import HESSIAN
from ..theory.protocol import Selection
from .curvature.batches import Batched
from .curvature.block import Block
from .curvature.borrowed import counted
from .curvature.loss_gradient import mean_gradient
from .krylov.eigenpairs import Eigenpairs
from .records.track import Track
from .setup import Setup
from .sharpness import Sharpness
from .tracking import Tracker

__all__ = ["Found", "found_pairs", "tracks"]


@dataclass(frozen=True)
class Found:
    """The eigenpairs of one block, to be followed.

    Attributes:
        selection: whose they are.
        values: (k,) the largest, largest first, then the smallest.
        vectors: (N, k).
        residuals: (k,).
        largest: how many are from the upper end.
        passes: products with a panel that they took.
        warm: whether the search started from the eigenvectors found before.
    """

    selection: Selection
    values: Tensor
    vectors: Tensor
    residuals: Tensor
    largest: int
    passes: int
    warm: bool


def found_pairs(
    pairs: Eigenpairs, selections: Sequence[Selection], passes: int, warm: bool
) -> list[Found]:
    """The eigenpairs of each block of one operator."""
    values, vectors, residuals = (
        array.reshape(len(selections), *array.shape[-axes:])
        for array, axes in ((pairs.values, 1), (pairs.vectors, 2), (pairs.residuals, 1))
    )
    return [
        Found(selection, values[i], vectors[i], residuals[i], pairs.largest, passes, warm)
        for i, selection in enumerate(selections)
    ]


def tracks(
    setup: Setup,
    module: nn.Module,
    batch: Batched,
    found: Sequence[Found],
    tracker: Tracker,
    sharpnesses: Mapping[str, Sharpness],
) -> tuple[Track, ...]:
    """How each block's eigenpairs go on, in their order; the tracker goes on with them.

    Args:
        setup: of the probe.
        module: unwrapped.
        batch: the probe sample of this process.
        found: eigenpairs.
        tracker: of the probe.
        sharpnesses: of the blocks, where steps can be compared with them.
    """
    with setup.processes.agreed():
        gradient, weight = mean_gradient(module, setup.loss, batch)
    gradient = setup.processes.mean(gradient, counted(batch, weight))
    weights = {
        name: parameter.detach().to(gradient.get(name, parameter).dtype)
        for name, parameter in module.named_parameters()
    }
    result = []
    for each in found:
        selection = each.selection
        block = Block(selection.block, selection.parameters, selection.rows)
        track = tracker.follow(
            selection.matrix,
            block,
            each.values,
            each.vectors,
            each.residuals,
            each.largest,
            gradient,
            weights,
        )
        sharp = sharpnesses.get(block.name) if selection.matrix == HESSIAN.name else None
        stability = math.nan if sharp is None else sharp.stability
        reason = "" if sharp is None else sharp.critical.reason
        result.append(
            replace(track, stability=stability, reason=reason, passes=each.passes, warm=each.warm)
        )
    used = {name for each in found for name in each.selection.parameters}
    tracker.remember(weights, used)
    return tuple(result)
