"""Which operators cover the spectra that a probing asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from torch import nn

from ..models.heads import HeadModel
from ..theory.protocol import Selection
from .curvature.batches import Batched, ordinary, together
from .curvature.block import Block
from .curvature.borrowed import counted
from .curvature.distributed import shared
from .curvature.head_curvature import HeadMatrix, head_curvature
from .curvature.matrix import Covariance, GaussNewton, Hessian, Information
from .curvature.operator import CurvatureOperator
from .setup import Setup
from .shared_spaces import SharedSpaces

__all__ = ["Group", "groups"]

# Means over batches, where there are several.
_OVER_BATCHES = (Hessian, Information, GaussNewton, Covariance)


@dataclass(frozen=True)
class Group:
    """Spectra that share the products of one operator.

    Attributes:
        selections: in the order of the operator's batch; a single one for an operator without.
        build: makes the operator, over the samples of all processes; raises what forbids it.
    """

    selections: tuple[Selection, ...]
    build: Callable[[], CurvatureOperator]


def groups(
    setup: Setup, module: nn.Module, batch: Batched, selections: Sequence[Selection], by_head: bool
) -> list[Group]:
    """Groups that cover all selections: blocks of equal size of a head are in one.

    Args:
        setup: of the probe.
        module: unwrapped.
        batch: the probe sample of this process, in one batch or several.
        selections: what is asked for.
        by_head: whether the loss is that of the module's head, whose products are hand-written.
    """
    found: list[Group] = []
    of_head: dict[int, list[Selection]] = {}
    of_samples: list[Selection] = []
    for selection in selections:
        matrix = setup.matrix(selection.matrix)
        hand_written = by_head and isinstance(matrix, Hessian | Information)
        if hand_written and _is_of_directions(module, selection):
            assert isinstance(module, HeadModel)
            of_head.setdefault(len(selection.rows) or module.head.directions, []).append(selection)
        elif isinstance(matrix, Information | Covariance):
            of_samples.append(selection)
        else:
            found.append(_differentiated(setup, module, batch, selection, None))
    found.extend(_hand_written(setup, module, batch, each) for each in of_head.values())
    spaces = SharedSpaces(setup, module, batch, of_samples)
    found.extend(_differentiated(setup, module, batch, each, spaces) for each in of_samples)
    return found


def _differentiated(
    setup: Setup,
    module: nn.Module,
    batch: Batched,
    selection: Selection,
    spaces: SharedSpaces | None,
) -> Group:
    def build() -> CurvatureOperator:
        known = None if spaces is None else spaces.of(selection)
        if known is not None:
            return known
        block = Block(selection.block, selection.parameters, selection.rows)
        with setup.processes.agreed():
            matrix = setup.matrix(selection.matrix)
            if isinstance(matrix, _OVER_BATCHES):
                local = matrix.operator(module, setup.loss, batch, block)
            else:
                local = matrix.operator(module, setup.loss, together(batch), block)
        return shared(local, counted(batch, local.weight), setup.processes)

    return Group((selection,), build)


def _hand_written(
    setup: Setup, module: nn.Module, batch: Batched, selections: Sequence[Selection]
) -> Group:
    chosen = [(cast(HeadMatrix, each.matrix), each.rows) for each in selections]

    def build() -> CurvatureOperator:
        with setup.processes.agreed():
            inputs, targets = together(batch)
            head = head_curvature(module, ordinary(inputs), ordinary(targets), chosen)
        return shared(head, counted(batch, head.weight), setup.processes)

    return Group(tuple(selections), build)


def _is_of_directions(module: nn.Module, selection: Selection) -> bool:
    """Whether the block is made of rows of a head's direction parameter."""
    return isinstance(module, HeadModel) and selection.parameters == (module.direction_name,)
