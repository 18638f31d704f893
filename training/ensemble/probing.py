"""Probings of all members at a step: together where their blocks are small ones of a head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from ...models.heads import HeadModel, LogisticHead, SoftmaxHead, TwoLayerHead
from ...probes.curvature.block import Block
from ...probes.curvature.head_curvature import HeadMatrix, head_curvature
from ...probes.curvature.matrix import Hessian, Information
from ...probes.records.record import Record
from ...probes.scores import scores_of
from ...probes.setup import Setup
from ...probes.sharpness import sharpness_quantities, sharpnesses
from ...theory.geometry import Geometry
from ...theory.protocol import Selection
from ...theory.quantity import Quantity
from ...theory.spectrum import Spectrum
from .formed_spectra import formed_spectra
from .member import Member

__all__ = ["JointProbe"]

_HEADS = (SoftmaxHead, LogisticHead, TwoLayerHead)
# Rows of a matrix up to which its eigendecomposition costs less than a Krylov run.
_FORMED = 1024


class JointProbe:
    """Probes members at the same step.

    Each gets the record that its own probe makes: loss, accuracy, statistics and eigenpairs up to
    rounding; densities of blocks that are formed are those of all eigenvalues.

    Args:
        members: of one group, as they are trained together.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._by_head = _is_of_head(members[0].probe.setup)

    def __call__(self, step: int, epoch: int) -> list[Record]:
        """A record for each member."""
        first = self._members[0].probe
        thorough = epoch in first.thorough_epochs
        selections = _selections(first.setup, thorough)
        if self._by_head and all(_rows(first.setup, each) <= _FORMED for each in selections):
            try:
                return self._formed(selections, step, epoch)
            except (ValueError, ArithmeticError, RuntimeError):
                pass  # what fails is a failure of one member's, and in its own record
        return [member.probe(step, epoch, thorough=thorough) for member in self._members]

    def _formed(self, selections: Sequence[Selection], step: int, epoch: int) -> list[Record]:
        samples = [
            cast(tuple[Tensor, Tensor], member.probe.setup.batch(step, 0))
            for member in self._members
        ]
        found: list[dict[tuple[str, str], Spectrum]] = [{} for _ in self._members]
        first = self._members[0].probe.setup
        for size in sorted({_rows(first, each) for each in selections}):
            group = [each for each in selections if _rows(first, each) == size]
            for own, spectra in zip(found, self._spectra(samples, group), strict=True):
                own.update({(each.matrix, each.block): each for each in spectra})
        return [
            _record(member, sample, own, selections, step, epoch)
            for member, sample, own in zip(self._members, samples, found, strict=True)
        ]

    def _spectra(
        self, samples: Sequence[tuple[Tensor, Tensor]], selections: Sequence[Selection]
    ) -> list[list[Spectrum]]:
        chosen = [(cast(HeadMatrix, each.matrix), each.rows) for each in selections]
        setups = [member.probe.setup for member in self._members]
        with torch.no_grad():
            return formed_spectra(
                [
                    head_curvature(setup.model, *sample, chosen)
                    for setup, sample in zip(setups, samples, strict=True)
                ],
                selections,
                [
                    None if setup.theory is None else setup.theory.reference(setup.model)
                    for setup in setups
                ],
                setups[0].measurement,
            )


def _is_of_head(setup: Setup) -> bool:
    """Whether all matrices are those of a provided head, and its criterion is the loss."""
    model = setup.model
    if not isinstance(model, HeadModel) or not isinstance(model.head, _HEADS):
        return False
    is_known = all(isinstance(matrix, Hessian | Information) for matrix in setup.matrices)
    is_whole = all(
        block.parameters == (model.direction_name,) for block in (*setup.blocks, *setup.rare_blocks)
    )
    if not is_known or not is_whole or setup.measures or setup.theory is None:
        return False
    return scores_of(model, setup.loss, *setup.batch(0, 0)).operator == "head"


def _selections(setup: Setup, thorough: bool) -> list[Selection]:
    """What a probing takes spectra of, in the order of its record."""
    blocks: tuple[Block, ...] = setup.blocks + (setup.rare_blocks if thorough else ())
    return [
        Selection(matrix.kind.name, block.name, tuple(block.resolve(setup.model)), block.rows)
        for block in blocks
        for matrix in setup.matrices
    ]


def _rows(setup: Setup, selection: Selection) -> int:
    """Of the matrix."""
    model = setup.model
    assert isinstance(model, HeadModel)
    count, dimension = model.get_parameter(model.direction_name).shape
    return (len(selection.rows) or count) * dimension


def _record(
    member: Member,
    sample: tuple[Tensor, Tensor],
    found: dict[tuple[str, str], Spectrum],
    selections: Sequence[Selection],
    step: int,
    epoch: int,
) -> Record:
    setup = member.probe.setup
    theory = setup.theory
    quantities = _scores(setup, *sample)
    record = Record(step, epoch, matrices=tuple(each.kind for each in setup.matrices))
    if theory is not None:
        clock = theory.clock(step)
        quantities += theory.statistics(setup.model, sample).quantities()
        record = replace(record, time=clock.time, clock=clock.label, reference=theory.directions)
    spectra = tuple(found[each.matrix, each.block] for each in selections)
    if setup.learning_rate is not None:
        known = list(zip(selections, spectra, strict=True))
        sharp = sharpnesses(setup, step, setup.model, sample, known, by_head=True)
        quantities += tuple(sharpness_quantities(sharp, [block.name for block in setup.blocks]))
    return replace(record, measured=Geometry(quantities, spectra), operator="head")


@torch.no_grad()
def _scores(setup: Setup, inputs: Tensor, targets: Tensor) -> tuple[Quantity, ...]:
    """Loss and accuracy on the probe sample, with their standard errors."""
    head = cast(HeadModel, setup.model).head
    assert isinstance(head, _HEADS)
    outputs = setup.model(inputs)
    losses = head.losses(outputs, targets).double()
    correct = head.correct(outputs, targets).double()
    return _mean("loss", losses, "loss"), _mean("accuracy", correct, "share")


def _mean(name: str, values: Tensor, unit: str) -> Quantity:
    error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Quantity.number(name, float(values.mean()), unit, error)
